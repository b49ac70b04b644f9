"""Many prompts, many streams, one loop.

One round: start what may start, wait, take what has arrived, print what is certain. A prompt is read only when a stream
is free for it and the window of the order has room. Whatever is printed is in the journal before. A slow reader of
stdout stops this process in its write, and so, in the end, the providers.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..core import values
from ..core.request import Request
from ..core.retry import RetryBudget, RetryPolicy
from ..core.timing import Timeouts
from ..errors import Error, Refused, Unavailable
from ..net.generation import Generation
from ..net.loop import Loop
from ..net.transports import Routes
from ..providers.resolve import Target
from ..request.builder import RequestBuilder
from . import answer
from .output import Output
from .pace import Pace
from .prompts import Job, Prompts
from .source import Source
from .totals import Totals

if TYPE_CHECKING:
    from ..core.stop.stops import Stops
    from ..net.resume import Resume
    from .journal import Journal

FAST_DECODER_JOBS = 16  # streams at once that are worth a quicker decoder
BUSY = 0.5  # seconds of a reader's slowness that count as none of the provider's


class Options(NamedTuple):
    """How the prompts are worked on."""

    jobs: int
    window: int  # prompts that may be ahead of the oldest unfinished one
    ordered: bool
    events: bool
    rpm: float | None
    tpm: float | None
    stops: Callable[[], Stops | None]
    resume: Callable[[Target], Resume | None]
    digest: Callable[[Target, Request], str]  # of all that an answer depends on


class Run:
    """`run` goes through all prompts; `totals` are what they came to."""

    def __init__(
        self,
        loop: Loop,
        source: Source,
        asking: RequestBuilder,
        timeouts: Timeouts,
        retries: RetryPolicy,
        options: Options,
        totals: Totals,
        journal: Journal | None = None,
    ) -> None:
        self._loop, self._source, self._options = loop, source, options
        self._budget = RetryBudget(retries.limit, options.jobs)
        self._timeouts, self._retries = timeouts, retries._replace(budget=self._budget.use)
        self._routes = Routes(loop, options.jobs)
        self._prompts = Prompts(source, asking, journal, options.digest)
        self._routes.to(self._prompts.target, 0)  # what is wrong with it is told before anything is read
        self.output = Output(options.events, options.window if options.ordered else None, journal, totals)
        self._paces: dict[str, Pace] = {}  # by address
        self._next: Job | None = None  # read, and not yet allowed to start
        self._jobs: set[Job] = set()
        self._woken: dict[Job, None] = {}
        self._again: list[tuple[float, int, Job]] = []  # a heap of those that wait to be sent again
        self._ready: dict[Pace, deque[Job]] = {}  # those whose time has come, while their provider's has not
        self._start_at: float | None = None
        self.totals = totals

    @property
    def running(self) -> int:
        """Prompts under way."""
        return len(self._jobs)

    @property
    def tokens(self) -> int:
        """Tokens of output so far; a piece of an answer that still grows is taken for one."""
        return self.totals.output_tokens + sum([job.answer.pieces for job in self._jobs])

    @property
    def throttled(self) -> int:
        """How often a provider spoke of its rate limit."""
        return sum(pace.throttled for pace in self._paces.values())

    def run(self, tick: Callable[[], float | None] = lambda: None) -> None:
        """Works until the input is at its end and all is done.

        `tick` is called once a round, and says when it wants to be called again. However it ends, what is finished is
        in the journal. Raises ReaderGone, OutputFailed, and what is wrong with the input.
        """
        output = self.output
        try:
            while True:
                output.save(self._loop.now())  # before anything starts: it makes room in the window
                self._start()
                full = output.full  # which has kept some from starting
                self._flush()
                if self._done():
                    break
                times = [at for at in (self._start_at, output.save_at, tick()) if at is not None]
                self._loop.wait(0.0 if full else min(times, default=None))
                self._collect()
        finally:
            self._close()
        if self._source.fault:
            raise self._source.fault

    def _done(self) -> bool:
        return self._source.over and self.output.empty and not (self._next or self._jobs)

    def _close(self) -> None:
        for job in self._jobs:
            job.generation.close()
        self._routes.close()
        self.output.save_all()

    def _flush(self) -> None:
        before = self._loop.now()
        self.output.flush()
        if self._loop.now() - before > BUSY:
            for job in self._jobs:
                job.generation.caught_up()

    # What starts.

    def _start(self) -> None:
        """Sends what may be sent now; of one provider's, what was sent before comes first."""
        self._start_at = None
        self._start_again()
        while len(self._jobs) < self._options.jobs and not self.output.full:
            following = self._next = self._next or self._prompts.next()
            if following is None or not self.output.may_start(following.row.index):
                return
            job = following
            if job.record is None and (reason := self._closed(job)):
                job.record = {"error": answer.error(Unavailable(reason))}
            if job.record is None:
                if self._ready.get(self._pace(job)) or not self._may_send(job):
                    return
                self._begin(job)
            else:
                self.output.known(job)
            self._next = None

    def _pace(self, job: Job) -> Pace:
        pace = self._paces.get(job.target.url)
        if pace is None:
            options = self._options
            pace = Pace(options.jobs, options.rpm, options.tpm, self._retries.max_wait)
            self._paces[job.target.url] = pace
        return pace

    def _closed(self, job: Job) -> str:
        """Why nothing is sent to its provider any more."""
        return self._pace(job).closed(self._loop.now())

    def _start_again(self) -> None:
        """Sends again what may be; one that still waits holds up none but those of its provider whose time has come."""
        now = self._loop.now()
        while self._again and self._again[0][0] <= now:
            job = heapq.heappop(self._again)[2]
            self._ready.setdefault(self._pace(job), deque()).append(job)
        if self._again:
            self._start_at = self._again[0][0]
        for queue in self._ready.values():
            while queue:
                if queue[0] not in self._jobs:  # a condition's time has come while it waited
                    queue.popleft()
                elif reason := self._closed(queue[0]):
                    self._give_up(queue.popleft(), Unavailable(reason))
                elif self._may_send(queue[0]):
                    self._send(queue.popleft())
                else:
                    break

    def _may_send(self, job: Job) -> bool:
        """Whether it may go out now; if not, the round ends in time for it."""
        now = self._loop.now()
        start, _ = self._pace(job).earliest(now, job.tokens)
        if now < start < math.inf:
            self._start_at = start if self._start_at is None else min(start, self._start_at)
        return start <= now

    def _begin(self, job: Job) -> None:
        options, wake = self._options, partial(self._woken.__setitem__, job, None)
        try:
            target, transport = self._routes.to(job.target, job.request.size())
            job.generation = Generation(
                target,
                job.request,
                self._timeouts,
                self._retries,
                transport,
                stops=options.stops(),
                resume=options.resume(target),
                wake=wake,
                later=partial(self._later, job),
            )
            job.in_flight = self._pace(job).sent(self._loop.now(), job.tokens)
            self._jobs.add(job)
            job.generation.start()
            if len(self._jobs) == FAST_DECODER_JOBS:
                values.use_msgspec()
        except Error as error:
            self._fail(job, error)

    def _send(self, job: Job) -> None:
        job.in_flight = self._pace(job).sent(self._loop.now(), job.tokens)
        job.generation.send()

    def _later(self, job: Job, when: float) -> None:
        """A try has failed, and there is to be another."""
        self.totals.retries += 1
        self._settle(job)
        heapq.heappush(self._again, (when, job.row.index, job))

    # What arrives.

    def _collect(self) -> None:
        while self._woken:
            job = next(iter(self._woken))
            del self._woken[job]
            generation = job.generation
            self._answered(job)
            events = generation.take()
            job.answer.feed(events)
            self.output.arrived(job.row.index, events)
            if generation.over:
                self._over(job)

    def _answered(self, job: Job) -> None:
        """Tells the pace what the head of the response said; of a failure, once its words are there, too.

        A quota that is spent is a 429 as well, but no matter of pace.
        """
        exchange, request = job.generation.exchange, job.in_flight
        if request is None or request.answered or not exchange.status or (exchange.status >= 400 and not exchange.over):
            return
        refused = isinstance(exchange.failure, Refused)
        status = 400 if refused else exchange.status
        self._pace(job).answered(request, self._loop.now(), status, {} if refused else exchange.headers, time.time())

    def _settle(self, job: Job) -> None:
        """A request is over."""
        self._answered(job)
        usage = job.generation.exchange.usage
        if job.in_flight is not None:
            tokens = usage.input_tokens + usage.output_tokens if usage else None
            self._pace(job).ended(job.in_flight, self._loop.now(), tokens)
            job.in_flight = None

    def _over(self, job: Job) -> None:
        self._settle(job)
        self._jobs.discard(job)
        generation, target = job.generation, job.target
        if generation.failure is None:  # what fails again and again must not live on its own failures
            self._budget.give_back()
        usage = generation.exchange.usage
        self.totals.used(target.provider, target.model, usage, generation.timing)
        if usage is not None:
            self._prompts.answered(usage.output_tokens)
        job.record = job.answer.record(generation)
        del job.generation, job.answer  # which refer to the job: no garbage collection comes in time
        self.output.answered(job, self._loop.now())

    def _give_up(self, job: Job, error: Error) -> None:
        """It is not to be sent again."""
        job.generation.close()
        job.generation.failure = error
        self._over(job)

    def _fail(self, job: Job, error: Error) -> None:
        """It could not be sent."""
        if job.in_flight is not None:
            self._pace(job).ended(job.in_flight, self._loop.now(), None)
        self._jobs.discard(job)
        job.record = {"error": answer.error(error)}
        self.output.known(job)
