"""Sends the requests of jobs: to the first of their models that may be asked, and again when a retry is due."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial
from math import inf

from ..core import json_codec
from ..core.retry import RetryBudget
from ..errors import Error, Refused, Unavailable
from ..net.generation import Generation
from ..net.loop import Loop
from ..net.transfer import Transport
from ..net.transports import Routes
from ..providers.target import Target
from ..request.answer import AnswerBuilder
from .failing_models import FailingModels
from .pace import Pace
from .prompts import Job
from .record_builder import RecordBuilder
from .run_options import RunOptions
from .totals import Totals

NOTE_INTERVAL_S = 60.0  # between two notes on trouble that all responses may have
STARTS_S = 0.005  # for which requests are started before the answers that run are looked at
MSGSPEC_STREAMS = 16  # at once, for which a quicker decoder is worth its import


class Sender:
    """Sends requests as the pace of each provider lets it. A job that cannot be sent gets a record.

    `jobs` have a request that runs, or that waits for a retry. `awake` are those whose generation has news, in order.
    `start_at` is when the next request may start, infinite where that is not known yet. `waits_for` is why not at once,
    "" where only the streams that run are in its way. `on_queued`, where given, is called with a job and the id of its
    background response, which then outlives the run.
    """

    def __init__(
        self, loop: Loop, options: RunOptions, totals: Totals, on_queued: Callable[[Job, str], object] | None
    ) -> None:
        self._on_queued = on_queued
        self._loop, self._options, self._totals = loop, options, totals
        self._routes = Routes(loop, options.jobs, progress=options.progress, note=options.note)
        self._paces: dict[str, Pace] = {}  # by the provider's URL
        self._budgets: dict[str, RetryBudget] = {}  # likewise
        self._failing = FailingModels()
        self.jobs: set[Job] = set()
        self.awake: dict[Job, None] = {}
        self.start_at, self.waits_for = inf, ""
        self._next_note_at = -inf  # when trouble with a background response is to be noted again
        self._starts_until = 0.0
        self._retry_heap: list[tuple[float, int, Job]] = []  # jobs that wait for a retry, by its time
        self._due = defaultdict[Pace, deque[Job]](deque)  # jobs whose request waits only for the pace

    @property
    def throttled(self) -> int:
        """How many responses were 429."""
        return sum(pace.rate.throttled for pace in self._paces.values())

    @property
    def is_late(self) -> bool:
        """Whether this round has used its time for starts, and the running answers need attention."""
        return self._loop.now() > self._starts_until

    @property
    def waiting(self) -> int:
        """How many of the jobs wait for a retry, or for the pace of their provider."""
        return len(self._retry_heap) + sum(map(len, self._due.values()))

    def require(self, target: Target) -> None:
        """Checks a target before any request. Raises the errors of `Routes.to`."""
        self._routes.to(target, 0)

    def close(self) -> None:
        """Ends all requests."""
        for job in self.jobs:
            job.generation.close()
        self._routes.close()

    def restart_stall_clocks(self) -> None:
        """Restarts the stall clocks of all generations after the process was blocked."""
        for job in self.jobs:
            job.generation.restart_stall_clock()

    # New requests.

    def start(self, job: Job) -> bool:
        """Starts a new job, or makes its record where it cannot be sent; returns False where it has to wait."""
        if error := self._choose(job):
            self._totals.unsent += isinstance(error, Refused)
            job.fail(error)
            return True
        if self._due[job.pace] or not self._may_start(job):
            return False
        if self._connect(job):
            self._send(job)
        if len(self.jobs) == MSGSPEC_STREAMS:
            json_codec.use_msgspec()
        return True

    def ask_next(self, job: Job) -> None:
        """Queues the next request of a job that is under way; the job gets a record where that fails."""
        if error := self._choose(job):
            job.fail(error)
        elif self._connect(job):
            self._due[job.pace].append(job)
            self.start_at = self._loop.now()

    def send_due(self) -> list[Job]:
        """Sends the requests that are due, as the pace of each provider lets them; returns the jobs that failed."""
        failed: list[Job] = []
        now = self._loop.now()
        self._starts_until, self.waits_for = now + STARTS_S, ""
        while self._retry_heap and self._retry_heap[0][0] <= now:
            job = heapq.heappop(self._retry_heap)[2]
            self._due[job.pace].append(job)
        self.start_at = self._retry_heap[0][0] if self._retry_heap else inf
        for pace, queue in [*self._due.items()]:
            while queue:
                job = queue[0]
                if job in self.jobs and not job.generation.over:  # else a stop condition ended it while it waited
                    if reason := pace.pause.closed(now):
                        job.generation.close()
                        job.generation.failure = Unavailable(reason)
                        self.awake[job] = None
                        self.start_at = now
                    elif self._may_start(job):
                        self._send(job)
                        if job.record is not None:
                            failed.append(job)
                    else:
                        break
                queue.popleft()
        return failed

    def fall_back(self, job: Job, error: Error) -> bool:
        """Moves a job on to its next model after an error; returns whether there is one to be asked."""
        if not job.falls_back(error):
            return False
        before = job.target
        job.fall_back()
        if note := self._failing.note(before, job.target, error):
            self._options.note(note)
        return True

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
            if error is None or not self.fall_back(job, error):
                return error

    def _may_start(self, job: Job) -> bool:
        """Returns whether the job's request may start now; if not, lets the loop wake up in time for it."""
        now = self._loop.now()
        start, reason = job.pace.earliest(now, job.tokens)
        if start <= now > self._starts_until:
            self.start_at = now
            return False
        if start > now:
            self.start_at = min(self.start_at, start)
            self.waits_for = self.waits_for or (reason if start < inf else "")
        return start <= now

    def _connect(self, job: Job) -> bool:
        """Makes the generation of a job; returns False where that fails, and the job is not sent now."""
        options, choice = self._options, job.choices[0]
        budget = self._budgets[choice.target.url]
        try:
            if not (job.exchanges and job.exchanges[-1].is_paused):
                job.stops = options.stops()
            target, transport = self._routes.to(choice.target, choice.request.size())
            if choice.request.within:
                transport = self._polling(job, transport, target)
            if not job.goes_on:
                named = choice.target if job.names_model else None
                job.builder = RecordBuilder(choice.request.is_limited, named, choice.request.wants_json)
            job.generation = Generation(
                target,
                choice.request,
                choice.timeouts,
                choice.retries._replace(budget=budget.use),
                transport,
                stops=job.stops,
                resume=options.resume(target) if choice.resumes else None,
                wake=partial(self.awake.__setitem__, job, None),
                on_retry=partial(self._schedule_retry, job),
                on_text=None if choice.request.native or options.events else job.builder.add_text,
                shows_reasoning=choice.request.reasoning,
            )
        except Error as error:
            self._unsent(job, error)
            return False
        job.answer = AnswerBuilder()
        job.is_retry = False
        self.jobs.add(job)
        return True

    def _polling(self, job: Job, transport: Transport, target: Target) -> Transport:
        """Returns the transport of a background response, at first of the one that an earlier run has queued."""
        from ..net.polling import Polling

        id, job.queued = job.queued, ""
        if self._on_queued is None:
            return Polling(transport, target, note=self._note_trouble)
        on_queued = partial(self._on_queued, job)
        return Polling(transport, target, on_queued=on_queued, note=self._note_trouble, id=id, keeps=True)

    def _note_trouble(self, text: str) -> None:
        """Notes a problem with a response, at most once in NOTE_INTERVAL_S for all responses."""
        if (now := self._loop.now()) >= self._next_note_at:
            self._next_note_at = now + NOTE_INTERVAL_S
            self._options.note(text)

    def _send(self, job: Job) -> None:
        """Sends the next request of a job, which gets a record where that fails."""
        generation = job.generation
        job.in_flight = job.pace.sent(self._loop.now(), job.tokens)
        try:
            (generation.send if job.is_retry else generation.start)()
        except Error as error:
            job.pace.ended(job.in_flight, self._loop.now(), None)
            job.in_flight = None
            self.jobs.discard(job)
            self._unsent(job, error)

    def _unsent(self, job: Job, error: Error) -> None:
        """Handles an error before a request was sent: another model is asked, or the job gets a record."""
        if self.fall_back(job, error):
            self.ask_next(job)
        else:
            job.fail(error)

    def _schedule_retry(self, job: Job, when: float) -> None:
        """Ends an attempt that failed; the next one is to start at `when`."""
        job.is_retry = True
        self._totals.retries += 1
        self._end_request(job)
        heapq.heappush(self._retry_heap, (when, job.row.index, job))

    # The ends of requests.

    def tell_pace(self, job: Job) -> None:
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
        self.tell_pace(job)
        usage = job.generation.exchange.usage
        if job.in_flight is not None:
            tokens = usage.input_tokens + usage.output_tokens if usage else None
            job.pace.ended(job.in_flight, self._loop.now(), tokens)
            job.in_flight = None

    def end(self, job: Job) -> None:
        """Ends the request of a job whose generation is over."""
        self._end_request(job)
        self.jobs.discard(job)
        generation, target = job.generation, job.target
        if generation.failure is None:  # failures do not refill the budget of retries
            self._budgets[target.url].give_back()
        if note := self._failing.ended(target, generation, is_last=len(job.choices) == 1):
            self._options.note(note)
