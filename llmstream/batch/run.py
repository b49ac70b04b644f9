"""Runs many prompts as many streams on one loop.

One round: start the requests that may start, write what is finished, wait, collect the events that have arrived. A
prompt is read only when a stream and the window of the order have room for it. An answer is in the journal before it
is printed. A slow reader of stdout blocks this process in its write; TCP back-pressure then reaches the providers.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from ..core import json_codec
from ..core.request import Request
from ..core.retry import RetryBudget
from ..errors import Error, Refused, Unavailable, UsageError, option
from ..net.generation import Generation
from ..net.loop import Loop
from ..net.transports import Routes
from ..providers.resolve import Target
from ..request.choices import Choices
from .failing_models import FailingModels
from .output import Output
from .pace import Pace
from .prompts import Job, Prompts
from .record_builder import RecordBuilder
from .source import Source
from .totals import Totals

if TYPE_CHECKING:
    from ..core.stop.stops import Stops
    from ..net.attempts import Resume
    from .journal import Journal
    from .spending import Spending

MSGSPEC_STREAMS = 16  # at once, for which a quicker decoder is worth its import
SLOW_WRITE_S = 0.5  # a write that blocks for longer restarts the clocks of the providers' silence


class RunOptions(NamedTuple):
    """The options of a run."""

    jobs: int  # streams at once
    window: int  # prompts that may be ahead of the oldest unfinished one, where `ordered`
    ordered: bool
    events: bool  # print events, not records
    rpm: float | None  # requests a minute, None for no cap
    tpm: float | None  # tokens a minute
    max_cost: float | None  # US dollars that end the run
    max_failures: int  # failed prompts that end the run, 0 for no limit
    stops: Callable[[], Stops | None]  # makes the stop conditions of one prompt
    resume: Callable[[Target], Resume | None]  # how a target continues a cut answer
    digest: Callable[[Target, Request], str]  # hashes all that an answer depends on
    progress: str = ""  # the command that shows the download of the embedded model, "" for none
    note: Callable[[str], object] = lambda text: None  # called with a sentence for the user
    records_name_models: bool = False  # so that a default model may not be needed


class Run:
    """One run of map: `run` sends all prompts of the source, `totals` counts them."""

    def __init__(
        self,
        loop: Loop,
        source: Source,
        builder: Choices,
        options: RunOptions,
        totals: Totals,
        journal: Journal | None = None,
    ) -> None:
        self._loop, self._source, self._options, self.totals = loop, source, options, totals
        self._routes = Routes(loop, options.jobs, progress=options.progress, note=options.note)
        self._spending: Spending | None = None
        if options.max_cost is not None:
            from .spending import Spending

            self._spending = Spending(options.max_cost)
        self._prompts = Prompts(source, builder, journal, options.digest, self._spending)
        self._has_journal = journal is not None
        if not (options.records_name_models and self._prompts.target.is_fallback):
            self._routes.to(self._prompts.target, 0)  # raises what is wrong with it before any input is read
        self.output = Output(options.events, options.window if options.ordered else None, journal, totals)
        self._paces: dict[str, Pace] = {}  # by the provider's URL
        self._budgets: dict[str, RetryBudget] = {}  # likewise
        self._failing = FailingModels()
        self._next: Job | None = None  # read, but not yet allowed to start
        self._jobs: set[Job] = set()  # running, or waiting for a retry
        self._awake: dict[Job, None] = {}  # whose generation has news; a dict keeps their order
        self._retry_heap: list[tuple[float, int, Job]] = []  # jobs that wait for a retry, by its time
        self._retries_due = defaultdict[Pace, deque[Job]](deque)  # jobs whose retry waits only for the pace
        self._start_at = inf  # when the next request may start

    @property
    def running(self) -> int:
        """How many prompts are running, or waiting for a retry."""
        return len(self._jobs)

    @property
    def tokens(self) -> int:
        """Output tokens so far; each piece of an answer that has not ended counts as one."""
        return self.totals.output_tokens + sum([job.builder.pieces for job in self._jobs])

    @property
    def throttled(self) -> int:
        """How many responses were 429."""
        return sum(pace.rate.throttled for pace in self._paces.values())

    def run(self, tick: Callable[[], float | None] = lambda: None) -> None:
        """Sends all prompts and writes their records.

        `tick` is called once a round, and returns when it is to be called again. However the run ends, the answers
        that are complete are in the journal. Raises ReaderGone, OutputFailed, and the errors of the input.
        """
        output = self.output
        try:
            while True:
                output.commit_due(self._loop.now())  # first, because it makes room in the window
                self._start_jobs()
                full = output.full  # jobs wait for the flush: the next round starts them at once
                self._flush()
                if self._source.exhausted and output.empty and not (self._next or self._jobs):
                    break
                self._loop.wait(0.0 if full else min(self._start_at, output.commit_at, tick() or inf))
                self._collect_events()
        finally:
            for job in self._jobs:
                job.generation.close()
            self._routes.close()
            output.commit()
        if self._source.error:
            raise self._source.error

    def _flush(self) -> None:
        before = self._loop.now()
        self.output.flush()
        if self._loop.now() - before > SLOW_WRITE_S:
            for job in self._jobs:
                job.generation.restart_stall_clock()

    # Starting requests.

    def _start_jobs(self) -> None:
        """Starts all requests that may start now: the retries of a provider before its new prompts."""
        self._start_retries()
        while len(self._jobs) < self._options.jobs and not self.output.full and not self._reached_max_failures():
            job = self._next = self._next or self._prompts.next()
            if job is None or not self.output.may_start(job.row.index):
                return
            if job.record is None:
                if self._spending and not self._may_spend(job, self._spending):
                    return
                if error := self._choose(job):
                    self.totals.unsent += isinstance(error, Refused)
                    job.fail(error)
                elif self._retries_due[job.pace] or not self._may_start(job):
                    return
                else:
                    self._start_job(job)
            if job.record is not None:
                self.output.add_record(job)
            self._next = None

    def _reached_max_failures(self) -> bool:
        """Returns whether too many prompts have failed; then the run ends with those that are running."""
        limit = self._options.max_failures
        if not limit or self.totals.new_failures < limit:
            return False
        if self._next or not self._source.exhausted:
            prompts = "1 prompt has" if limit == 1 else f"{limit:,} prompts have"
            self._options.note(f"{prompts} failed ({option('max_failures')}): no more are sent")
            self._source.stop()
            self._next = None
        return True

    def _may_spend(self, job: Job, spending: Spending) -> bool:
        """Returns whether the limit of the cost lets a job start now; ends the run where it never will.

        What is under way may turn out to cost less than it may, so the job waits for it.
        """
        if spending.allows(job.usd + sum(running.usd for running in self._jobs)):
            return True
        if not self._jobs:
            error = spending.error(job.usd, self._has_journal)
            self._options.note(error.message)
            self.totals.status = max(self.totals.status, error.status)
            self._source.stop()
            self._next = None
        return False

    def _start_retries(self) -> None:
        """Sends the retries that are due, as far as the pace of each provider lets them."""
        now = self._loop.now()
        while self._retry_heap and self._retry_heap[0][0] <= now:
            job = heapq.heappop(self._retry_heap)[2]
            self._retries_due[job.pace].append(job)
        self._start_at = self._retry_heap[0][0] if self._retry_heap else inf
        for pace, queue in [*self._retries_due.items()]:
            while queue:
                job = queue[0]
                if job in self._jobs:  # else a stop condition ended it while it waited
                    if reason := pace.pause.closed(now):
                        job.generation.close()
                        job.generation.failure = Unavailable(reason)
                        self._complete(job)
                    elif self._may_start(job):
                        self._send(job)
                        if job.record is not None:
                            self.output.add_answer(job, now)
                    else:
                        break
                queue.popleft()

    def _may_start(self, job: Job) -> bool:
        """Returns whether the job's request may start now; if not, lets the loop wake up in time for it."""
        now = self._loop.now()
        start, _ = job.pace.earliest(now, job.tokens)
        if start > now:
            self._start_at = min(self._start_at, start)
        return start <= now

    def _choose(self, job: Job) -> Error | None:
        """Moves a job on to the first of its models that may be asked; returns why it has none."""
        while True:
            target, retries = job.target, job.choices[0].retries
            if target.url not in self._paces:
                options = self._options
                self._paces[target.url] = Pace(options.jobs, options.rpm, options.tpm, retries.max_wait)
                self._budgets[target.url] = RetryBudget(retries.limit, options.jobs)
            job.pace = self._paces[target.url]
            error = self._failing.error(target, is_last=len(job.choices) == 1)
            if error is None and (reason := job.pace.pause.closed(self._loop.now())):
                error = Unavailable(reason)
            if error is None or not self._fall_back(job, error):
                return error

    def _fall_back(self, job: Job, error: Error) -> bool:
        """Moves a job on to its next model after an error; returns whether there is one to be asked."""
        if not job.falls_back(error):
            return False
        before = job.target
        job.fall_back()
        if note := self._failing.note(before, job.target, error):
            self._options.note(note)
        return True

    def _start_job(self, job: Job) -> None:
        """Sends the first request of a job, which gets a record where that fails."""
        if self._connect(job):
            self._send(job)
        if len(self._jobs) == MSGSPEC_STREAMS:
            json_codec.use_msgspec()

    def _connect(self, job: Job) -> bool:
        """Makes the generation of a job; returns False where that fails, and the job is not sent now."""
        options, choice = self._options, job.choices[0]
        budget = self._budgets[choice.target.url]
        try:
            target, transport = self._routes.to(choice.target, choice.request.size())
            job.generation = Generation(
                target,
                choice.request,
                choice.timeouts,
                choice.retries._replace(budget=budget.use),
                transport,
                stops=options.stops(),
                resume=options.resume(target) if choice.resumes else None,
                wake=partial(self._awake.__setitem__, job, None),
                on_retry=partial(self._schedule_retry, job),
                shows_reasoning=choice.request.reasoning,
            )
        except Error as error:
            self._unsent(job, error)
            return False
        job.builder = RecordBuilder(choice.request.is_limited, choice.target if job.names_model else None)
        job.is_retry = False
        self._jobs.add(job)
        return True

    def _send(self, job: Job) -> None:
        """Sends the next request of a job, which gets a record where that fails."""
        generation = job.generation
        job.in_flight = job.pace.sent(self._loop.now(), job.tokens)
        try:
            (generation.send if job.is_retry else generation.start)()
        except Error as error:
            job.pace.ended(job.in_flight, self._loop.now(), None)
            job.in_flight = None
            self._jobs.discard(job)
            self._unsent(job, error)

    def _unsent(self, job: Job, error: Error) -> None:
        """Handles an error before a request was sent: another model is asked, or the job gets a record."""
        if self._fall_back(job, error):
            self._ask_next(job)
        else:
            job.fail(error)

    def _ask_next(self, job: Job) -> None:
        """Queues the request to the model that a job has moved on to; the job gets a record where that fails."""
        if error := self._choose(job):
            job.fail(error)
        elif self._connect(job):
            self._retries_due[job.pace].append(job)
            self._start_at = self._loop.now()

    def _schedule_retry(self, job: Job, when: float) -> None:
        """Ends an attempt that failed; the next one is to start at `when`."""
        job.is_retry = True
        self.totals.retries += 1
        self._end_request(job)
        heapq.heappush(self._retry_heap, (when, job.row.index, job))

    # Collecting answers.

    def _collect_events(self) -> None:
        while self._awake:
            job = next(iter(self._awake))
            del self._awake[job]
            generation = job.generation
            self._tell_pace(job)
            if not self._fails_early(job):
                events = generation.take()
                job.builder.feed(events)
                self.output.add_events(job.row.index, events)
            if generation.over:
                self._complete(job)

    def _tell_pace(self, job: Job) -> None:
        """Passes the head of a response to the pace, once; that of an error only when its body is complete.

        The body tells a rate limit from a spent quota, which is 429 as well, but not a matter of pace.
        """
        exchange, request = job.generation.exchange, job.in_flight
        if request is None or request.answered or not exchange.status or (exchange.status >= 400 and not exchange.over):
            return
        refused = isinstance(exchange.failure, Refused)
        status = 400 if refused else exchange.status
        job.pace.answered(request, self._loop.now(), status, {} if refused else exchange.headers, time.time())

    def _end_request(self, job: Job) -> None:
        """Passes the end of a request, and what it cost, to the pace."""
        self._tell_pace(job)
        usage = job.generation.exchange.usage
        if job.in_flight is not None:
            tokens = usage.input_tokens + usage.output_tokens if usage else None
            job.pace.ended(job.in_flight, self._loop.now(), tokens)
            job.in_flight = None

    def _fails_early(self, job: Job) -> bool:
        """Returns whether a generation has ended so that another model is to be asked."""
        cause = job.generation.early_failure
        return cause is not None and job.falls_back(cause)

    def _may_ask_again(self, job: Job) -> bool:
        """Returns whether a wrong answer may be asked for again; events are written already."""
        usd = job.usd + sum(running.usd for running in self._jobs)
        return bool(
            job.check_retries and not self._options.events and (not self._spending or self._spending.allows(usd))
        )

    def _complete(self, job: Job) -> None:
        """Makes the record of a generation that has ended, or lets another model answer."""
        self._end_request(job)
        self._jobs.discard(job)
        generation, target = job.generation, job.target
        if generation.failure is None:  # failures do not refill the budget of retries
            self._budgets[target.url].give_back()
        if note := self._failing.ended(target, generation, is_last=len(job.choices) == 1):
            self._options.note(note)
        self.totals.add_generation(target.provider, target.model, generation.exchange)
        if self._spending:
            self._spending.add(target, job.choices[0].request, generation.exchange)
        if (usage := generation.exchange.usage) is not None:
            self._prompts.count_output(usage.output_tokens)
        cause = generation.early_failure
        record, failure = job.builder.record(generation, job.wrong)
        del job.generation, job.builder  # a cycle of references: garbage collection would come too late
        problems: list[str] = []
        if failure is None:
            try:
                problems = job.problems(record)
            except UsageError as error:
                failure = error
        job.is_wrong = bool(problems)
        if problems and self._may_ask_again(job):
            job.correct(record["text"], problems, generation.exchange)
            self._ask_next(job)
        elif cause and self._fall_back(job, cause):
            self._ask_next(job)
        else:
            job.record = record
            if problems:
                from ..request.answer_check import wrong

                failure = wrong(problems)
            if failure is not None:
                job.fail(failure)
        if job.record is not None:
            self.output.add_answer(job, self._loop.now())
