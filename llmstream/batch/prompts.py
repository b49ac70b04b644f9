"""Makes jobs of rows: requests to send, or the records that an earlier run has put into the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..core.exchange import Exchange
from ..core.request import Message, Request
from ..errors import Error
from ..net.generation import Generation
from ..net.loop import Loop
from ..providers.target import Target
from ..request.answer import AnswerBuilder, continued
from ..request.choices import Choice, Choices
from .learned_rate import InFlight
from .pace import Pace
from .record_builder import Record, RecordBuilder, one_sentence, with_error
from .rows import Row
from .source import Source

if TYPE_CHECKING:
    from ..core.stop.stops import Stops
    from ..request.turns import Parts
    from .journal import Journal
    from .spending import Spending

FIRST_OUTPUT_TOKENS = 256  # expected of an answer before the first one has ended


class Job:
    """One prompt of a run. It has a request, or, where that cannot or need not be sent, a record from the start."""

    choices: list[Choice]  # the request to the model that is asked now, and then to those that may be asked after it
    entries: list[tuple[str, str]]  # of each choice: its key and digest in the journal
    names_model: bool  # whether the record is to name the model
    tokens: int  # its expected cost, input and output
    usd = 0.0  # what it may cost, in US dollars, where the run has a limit
    pace: Pace
    builder: RecordBuilder
    answer: AnswerBuilder  # of an answer that may be sent back
    parts: Parts | None = None  # of an answer that may be paused, where its events are written
    generation: Generation
    stops: Stops | None = None  # of the answer, all of its parts if the provider pauses it
    check_retries = 0  # how often a wrong answer may still be asked for again
    is_wrong = False  # whether the journal leaves the last answer out: it fails its check, or still calls tools
    exchanges: tuple[Exchange, ...] = ()  # of the answers before the last one: wrong ones, and those with calls
    goes_on = False  # whether the request follows an answer of the same model
    may_fall_back = True
    is_retry = False  # whether the generation's next request is a retry
    in_flight: InFlight | None = None  # the attempt that runs now
    record: Record | None = None
    queued = ""  # the id of a background response that an earlier run has queued for it
    earlier = False  # the record is from the journal
    failure = ""  # the message of its error, with options marked

    def __init__(self, row: Row) -> None:
        self.row = row

    @property
    def target(self) -> Target:
        """The model that is asked now."""
        return self.choices[0].target

    def falls_back(self, error: Error) -> bool:
        """Returns whether the next model is to be asked after an error before any output."""
        return self.may_fall_back and len(self.choices) > 1 and self.choices[0].falls_back(error)

    def fall_back(self) -> None:
        """Moves on to the next model."""
        del self.choices[0], self.entries[:1]
        self.goes_on = False

    def problems(self, record: Record) -> list[str]:
        """Returns what the check finds wrong with the answer of a record that has one, whole and without calls."""
        check = self.choices[0].check
        if check is None or "finish" not in record or "error" in record:
            return []
        if record["finish"] == "tool_calls" or ("tool_calls" in record and not record["text"]):
            return []
        return check.problems(record["text"])

    def correct(self, text: str, problems: list[str], exchange: Exchange) -> None:
        """Makes the request what asks again for a wrong answer."""
        from ..request.answer_check import correction

        answer = [Message("assistant", text)] if text else []
        self.go_on([*answer, correction(problems)], exchange)
        self.check_retries -= 1

    def go_on(self, turns: list[Message], exchange: Exchange) -> None:
        """Makes the request what follows an answer, that of `exchange`; `turns` are the answer and what follows it."""
        choice = self.choices[0]
        request = continued(choice.request, turns, exchange.native_container())
        self.choices[0] = choice._replace(request=request)
        self.exchanges += (exchange,)
        self.tokens += sum(len(turn.content) for turn in turns) // 4
        self.builder.begin_answer(exchange.is_paused)
        self.goes_on = True

    def fail(self, error: Error) -> None:
        """Adds an error to the record, which may have an answer or a part of it."""
        self.failure = one_sentence(error)
        self.record = with_error(self.record or (self.builder.partial() if self.goes_on else {}), error)


class Prompts:
    """The jobs of a source. `target` is that of rows without options. Raises UsageError for invalid options."""

    def __init__(
        self,
        source: Source,
        builder: Choices,
        journal: Journal | None,
        digest: Callable[[Target, Request], str],
        spending: Spending | None = None,
    ) -> None:
        self._spending = spending
        self._source, self._builder, self._journal, self._digest = source, builder, journal, digest
        self._choices = builder.requests("-")
        self.target = self._choices[0].target
        self._names: dict[str, int] = {}  # in the journal: how many prompts have had each
        self._output_tokens = float(FIRST_OUTPUT_TOKENS)  # of an answer, the moving average

    def next(self) -> Job | None:
        """Returns the next job, None where no row is there yet. A job whose row is wrong has failed already."""
        row = self._source.next()
        if row is None:
            if self._journal and self._source.exhausted:
                self._journal.note_unused()
            return None
        job = Job(row)
        try:
            if row.error:
                raise row.error
            self._prepare(job)
        except Error as error:
            job.fail(error)
        return job

    def read(self, loop: Loop) -> Iterator[Job]:
        """Yields all jobs, as the loop reads the source. Raises the error of the input at its end."""
        while True:
            if job := self.next():
                yield job
            elif self._source.exhausted:
                break
            else:
                loop.wait()
        if self._source.error:
            raise self._source.error

    @property
    def output_tokens(self) -> int:
        """The output tokens that are expected of an answer."""
        return int(self._output_tokens)

    def count_output(self, tokens: int) -> None:
        """Updates the estimate of output tokens per answer by an answer that has ended."""
        self._output_tokens += (tokens - self._output_tokens) / 8

    def _prepare(self, job: Job) -> None:
        """Makes the job's request, and takes its record from the journal, if it is there."""
        row = job.row
        if row.options:
            job.choices = self._builder.requests(row.prompt, row.options)
        else:
            job.choices = [one._replace(request=one.request._replace(prompt=row.prompt)) for one in self._choices]
        request = job.choices[0].request
        job.names_model = len(job.choices) > 1
        job.tokens = request.size() // 4 + (request.max_tokens or int(self._output_tokens))
        job.check_retries = job.choices[0].check_retries
        job.entries = []
        if self._journal:
            self._find(job, self._journal)
        if self._spending and job.record is None:
            job.usd = self._spending.expected(job.choices, int(self._output_tokens))

    def _find(self, job: Job, journal: Journal) -> None:
        """Looks for the answer of an earlier run, whose digest is that of the request to the model that answered."""
        digests = [self._digest(choice.target, choice.request) for choice in job.choices]
        names = [(digest, [digest]) for digest in digests] if job.row.id is None else [(f"id {job.row.id!r}", digests)]
        for name, matching in names:
            number = self._names[name] = self._names.get(name, 0) + 1  # equal prompts have a record each
            key = name if number == 1 else f"{name} {number}"
            job.entries += [(key, digest) for digest in matching]
            job.record = job.record or self._valid(job, journal.find(key, *matching))
        job.earlier = job.record is not None
        if journal.queued and not job.earlier:
            self._find_queued(job, journal)

    def _find_queued(self, job: Job, journal: Journal) -> None:
        """Looks for the background response that an earlier run has queued for one of the job's models."""
        for at, (key, digest) in enumerate(job.entries):
            queued = journal.queued.get(key)
            if queued and queued.digest == digest:
                job.queued = queued.id
                del job.choices[:at], job.entries[:at]
                job.choices[0] = job.choices[0].waiting(queued.window)
                return

    def _valid(self, job: Job, record: Record | None) -> Record | None:
        """Returns a record of an earlier run, None where its answer is wrong, as it may have had no check."""
        return None if record and job.problems(record) else record
