"""Collects the answers of prompts: their events as they come, their records, and what follows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import signals
from ..errors import Error, Incomplete, UsageError
from ..net.generation import Generation
from ..net.loop import Loop
from .job_turns import JobTurns
from .output import Output
from .prompts import Job, Prompts
from .record_builder import Record
from .sender import Sender
from .totals import Totals

if TYPE_CHECKING:
    from .spending import Spending


class Collector:
    """Takes the events of the jobs that the sender has sent, until their records are in the output.

    `jobs` are those that go on after an answer, each with what sends its next request. `writes_events`: the output has
    the events as they come.
    """

    def __init__(
        self,
        loop: Loop,
        sender: Sender,
        turns: JobTurns,
        prompts: Prompts,
        output: Output,
        totals: Totals,
        spending: Spending | None,
        writes_events: bool,
    ) -> None:
        self.jobs: dict[Job, Callable[[Job], object]] = {}
        self._loop, self._sender, self._turns, self._prompts = loop, sender, turns, prompts
        self._output, self._totals, self._spending, self._writes_events = output, totals, spending, writes_events

    def collect(self) -> None:
        """Collects what has arrived, and sends the requests that follow answers."""
        awake = self._sender.awake
        with signals.SignalsDeferred():  # which would lose an answer between two steps
            while awake and not signals.pending:  # a check may take seconds
                job = next(iter(awake))
                del awake[job]
                self._collect(job)
        while self.jobs:
            job = next(iter(self.jobs))
            self.jobs.pop(job)(job)
            if job.record is not None:
                self._output.add_answer(job, self._loop.now())

    def collect_rest(self) -> None:
        """Collects what has arrived when the run ends early; no request follows."""
        for job in [*self._sender.jobs]:
            self._collect(job)

    def _collect(self, job: Job) -> None:
        """Takes the events of a job, and completes it where they are the last."""
        generation, request = job.generation, job.in_flight
        if request and not request.answered:
            self._sender.tell_pace(job)
        if not (generation.over and self._fails_early(job)):
            events = generation.take()
            job.builder.feed(events)
            if job.choices[0].request.native:
                job.answer.feed(events)
            if self._writes_events:
                events = job.parts.feed(generation.exchange, events) if job.parts else events
                self._output.add_events(job.row.index, events)
        if generation.over:
            self._complete(job)

    def _fails_early(self, job: Job) -> bool:
        """Returns whether a generation has ended so that another model is to be asked."""
        cause = job.generation.early_failure
        return cause is not None and job.falls_back(cause)

    def _may_ask_again(self, job: Job) -> bool:
        """Returns whether a wrong answer may be asked for again; events are written already."""
        may_spend = self._spending is None or self._spending.allows(job.usd)
        return bool(job.check_retries and not self._writes_events and may_spend)

    def _complete(self, job: Job) -> None:
        """Makes the record of a generation that has ended, or lets what follows it begin."""
        generation = job.generation
        self._sender.end(job)
        del job.generation  # a cycle of references: garbage collection would come too late
        self._count(job, generation)
        limit: Error | None = None
        try:
            if self._turns.follow(job, generation, self._follow):
                return
        except Incomplete as error:
            limit = error
        record, failure = job.builder.record(generation, job.exchanges)
        self._conclude(job, generation, record, limit or failure, is_last=limit is not None)

    def _count(self, job: Job, generation: Generation) -> None:
        """Counts what an answer has cost."""
        target = job.target
        self._totals.add_generation(target.provider, target.model, generation.exchange)
        if self._spending:
            self._spending.add(target, job.choices[0].request, generation.exchange)
        if (usage := generation.exchange.usage) is not None:
            self._prompts.count_output(usage.output_tokens)

    def _conclude(
        self, job: Job, generation: Generation, record: Record, failure: Error | None, *, is_last: bool
    ) -> None:
        """Keeps the record of an answer, or has the prompt answered again; `is_last`: its turns are used up."""
        cause = generation.early_failure
        problems: list[str] = []
        if failure is None:
            try:
                problems = job.problems(record)
            except UsageError as error:
                failure = error
        job.is_wrong = is_last or bool(problems)
        if problems and self._may_ask_again(job):
            job.correct(record["text"], problems, generation.exchange)
            self.jobs[job] = self._sender.ask_next
        elif cause and self._sender.fall_back(job, cause):
            self.jobs[job] = self._sender.ask_next
        else:
            job.record = record
            if problems:
                from ..request.answer_check import wrong

                failure = wrong(problems)
            if failure is not None:
                job.fail(failure)
            del job.builder  # its text is in the record
            if job.parts:
                self._output.add_events(job.row.index, job.parts.end())
            self._output.add_answer(job, self._loop.now())

    def _ask_next(self, job: Job) -> None:
        """Sends the request that follows an answer, if the limit of the cost lets it; else the job gets a record."""
        error: Error | None = None
        if spending := self._spending:
            try:
                job.usd = spending.expected(job.choices[:1], self._prompts.output_tokens)
            except UsageError as too_dear:
                error = Incomplete(f"the next turn is not sent: {too_dear.message}")
            if not error and not spending.allows(job.usd):
                error = spending.error(job.usd)
        if error:
            job.fail(error)
        else:
            self._sender.ask_next(job)

    def _follow(self, job: Job) -> None:
        """Lets a job go on after an answer."""
        self.jobs[job] = self._ask_next
