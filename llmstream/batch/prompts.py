"""Makes jobs of rows: requests to send, or the records that an earlier run has put into the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.request import Request
from ..errors import Error
from ..net.generation import Generation
from ..providers.resolve import Target
from ..request.builder import RequestBuilder
from .learned_rate import InFlight
from .pace import Pace
from .record_builder import Record, RecordBuilder, one_sentence, with_error
from .rows import Row
from .source import Source

if TYPE_CHECKING:
    from .journal import Journal

FIRST_OUTPUT_TOKENS = 256  # expected of an answer before the first one has ended


class Job:
    """One prompt of a run. It has a request, or, where that cannot or need not be sent, a record from the start."""

    target: Target
    request: Request
    tokens: int  # its expected cost, input and output
    pace: Pace
    builder: RecordBuilder
    generation: Generation
    in_flight: InFlight | None = None  # the attempt that runs now
    key = digest = ""  # its name in the journal
    record: Record | None = None
    earlier = False  # the record is from the journal
    failure = ""  # the message of its error, with options marked

    def __init__(self, row: Row) -> None:
        self.row = row

    def fail(self, error: Error) -> None:
        """Adds an error to the record, which may have an answer or a part of it."""
        self.failure = one_sentence(error)
        self.record = with_error(self.record or {}, error)


class Prompts:
    """The jobs of a source. `target` is that of rows without options. Raises UsageError for invalid options."""

    def __init__(
        self, source: Source, builder: RequestBuilder, journal: Journal | None, digest: Callable[[Target, Request], str]
    ) -> None:
        self._source, self._builder, self._journal, self._digest = source, builder, journal, digest
        self.target, self._request = builder.request("-")
        self._names: dict[str, int] = {}  # in the journal: how many prompts have had each
        self._output_tokens = float(FIRST_OUTPUT_TOKENS)  # of an answer, the moving average

    def next(self) -> Job | None:
        """Returns the next job, None where no row is there yet. A job whose row is wrong has failed already."""
        row = self._source.next()
        if row is None:
            return None
        job = Job(row)
        try:
            if row.error:
                raise row.error
            self._prepare(job)
        except Error as error:
            job.fail(error)
        return job

    def count_output(self, tokens: int) -> None:
        """Updates the estimate of output tokens per answer by an answer that has ended."""
        self._output_tokens += (tokens - self._output_tokens) / 8

    def _prepare(self, job: Job) -> None:
        """Makes the job's request, and takes its record from the journal, if it is there."""
        row = job.row
        if row.options:
            job.target, job.request = self._builder.with_overrides(row.options).request(row.prompt)
        else:
            job.target, job.request = self.target, self._request._replace(prompt=row.prompt)
        request = job.request
        job.builder = RecordBuilder(request.is_limited)
        job.tokens = request.size() // 4 + (request.max_tokens or int(self._output_tokens))
        if self._journal:
            job.digest = self._digest(job.target, request)
            name = job.digest if row.id is None else f"id {row.id!r}"
            number = self._names[name] = self._names.get(name, 0) + 1  # equal prompts have a record each
            job.key = name if number == 1 else f"{name} {number}"
            job.record = self._journal.find(job.key, job.digest)
            job.earlier = job.record is not None
