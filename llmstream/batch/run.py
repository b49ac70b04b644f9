"""Runs many prompts as many streams on one loop.

One round: start the requests that may start, write what is finished, wait, collect the events that have arrived. A
prompt is read only when a stream and the window of the order have room for it. An answer is in the journal before it
is printed. A slow reader of stdout blocks this process in its write; TCP back-pressure then reaches the providers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from ..errors import Error, Incomplete, OutputFailed, ReaderGone, Signalled, UsageError, option
from ..net.generation import Generation
from ..net.loop import Loop
from ..request.choices import Choices
from ..signals import SignalsDeferred
from .job_turns import JobTurns
from .output import Output
from .pending import Pending
from .prompts import Job, Prompts
from .record_builder import Record
from .run_options import RunOptions
from .sender import Sender
from .source import Source
from .totals import Totals

if TYPE_CHECKING:
    from .journal import Journal
    from .spending import Spending

SLOW_WRITE_S = 0.5  # a write that blocks for longer restarts the clocks of the providers' silence


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
        self.output = Output(options.events, options.window if options.ordered else None, journal, totals)
        self._sender = Sender(loop, options, totals, None if journal is None else self.output.add_queued)
        self._spending: Spending | None = None
        if options.max_cost is not None:
            from .spending import Spending

            self._spending = Spending(options.max_cost)
        self._prompts = Prompts(source, builder, journal, options.digest, self._spending)
        self._has_journal = journal is not None
        if not (options.records_name_models and self._prompts.target.is_fallback):
            self._sender.require(self._prompts.target)  # before any input is read
        self._turns = JobTurns(loop, options, self.output)
        self._pending = Pending(self._prompts, self.output.may_start)
        self._following: dict[Job, Callable[[Job], object]] = {}  # jobs that go on, and what sends their next request

    @property
    def running(self) -> int:
        """How many prompts are running, waiting for a retry or for their tools."""
        return len(self._sender.jobs) + len(self._turns.jobs) + len(self._following)

    @property
    def tokens(self) -> int:
        """Output tokens so far; each piece of an answer that has not ended counts as one."""
        return self.totals.output_tokens + sum([job.builder.pieces for job in self._sender.jobs])

    @property
    def throttled(self) -> int:
        """How many responses were 429."""
        return self._sender.throttled

    @property
    def waits_for(self) -> str:
        """Why the next prompt is not sent yet, "" where it only waits for a free stream."""
        return self._sender.waits_for

    def run(self, tick: Callable[[], float | None] = lambda: None) -> None:
        """Sends all prompts and writes their records.

        `tick` is called once a round, and returns when it is to be called again. However the run ends, the answers
        that are complete are in the journal, and are written, if there is a reader. Raises ReaderGone, OutputFailed,
        and the errors of the input.
        """
        output = self.output
        try:
            self._run_rounds(tick)
            output.add_rest()
            output.flush()
        except ReaderGone:
            self._close()
            raise
        except BaseException as error:
            self._turns.close()
            if isinstance(error, OutputFailed | Signalled):  # not where an answer may lack a part
                self._collect_rest()
            self._end_early()
            raise
        self._close()
        if self._source.error:
            raise self._source.error

    def _run_rounds(self, tick: Callable[[], float | None]) -> None:
        output = self.output
        while True:
            if output.commit_at < inf:
                output.commit_due(self._loop.now())  # first, because it makes room in the window
            self._start_jobs()
            full = output.full  # jobs wait for the flush: the next round starts them at once
            if output.has_lines:
                self._flush()
            if self._source.exhausted and output.empty and not (self._pending or self.running):
                return
            self._loop.wait(0.0 if full else min(self._sender.start_at, output.commit_at, tick() or inf))
            self._collect_events()

    def _close(self) -> None:
        """Ends all requests and programs, and commits what is finished."""
        self._turns.close()
        self._sender.close()
        self.output.commit()

    def _end_early(self) -> None:
        """Closes everything, and writes the lines of finished answers, those behind unfinished ones too."""
        try:
            self.output.commit()  # first: the next signal kills
            self.output.add_committed()
        finally:
            try:
                self._close()
            finally:
                self._write_rest()

    def _write_rest(self) -> None:
        self.output.add_rest()
        try:
            count = self.output.flush_rest()
        except ReaderGone:
            return
        except OutputFailed as error:
            self._options.note(error.message)
            return
        if count:
            lines = "1 line is" if count == 1 else f"{count:,} lines are"
            self._options.note(f"{lines} not written: the reader of stdout takes nothing")

    def _flush(self) -> None:
        before = self._loop.now()
        self.output.flush()
        if self._loop.now() - before > SLOW_WRITE_S:
            self._sender.restart_stall_clocks()

    # Starting requests.

    def _start_jobs(self) -> None:
        """Starts all requests that may start now: the retries of a provider before its new prompts."""
        for failed in self._sender.send_due():
            self.output.add_answer(failed, self._loop.now())
        pending = self._pending
        pending.begin_round()
        while self._has_stream and not self.output.full and not self._reached_max_failures():
            if (job := pending.take()) is None:
                return
            if job.record is None:
                if self._spending and not self._may_spend(job, self._spending):
                    return
                self._turns.prepare(job)
                if not self._sender.start(job):
                    if self._sender.is_late or not self._source.names_models:
                        pending.put_back(job)
                        return
                    pending.wait(job)
                    continue
            if job.record is not None:
                self.output.add_record(job)

    @property
    def _has_stream(self) -> bool:
        """Whether a stream is free; a prompt that waits for its provider takes none from those of other providers."""
        waiting = min(self._sender.waiting, self._options.jobs) if self._source.names_models else 0
        return self.running - waiting < self._options.jobs

    def _reached_max_failures(self) -> bool:
        """Returns whether too many prompts have failed; then the run ends with those that are running."""
        limit = self._options.max_failures
        if not limit or self.totals.new_failures < limit:
            return False
        if self._pending or not self._source.exhausted:
            prompts = "1 prompt has" if limit == 1 else f"{limit:,} prompts have"
            self._options.note(f"{prompts} failed ({option('max_failures')}): no more are sent")
            self._source.stop()
            self._pending.clear()
        return True

    def _may_spend(self, job: Job, spending: Spending) -> bool:
        """Returns whether the limit of the cost lets a job start now; ends the run where it never will.

        What is under way may turn out to cost less than it may, so the job waits for it.
        """
        if spending.allows(job.usd + self._running_usd()):
            return True
        if not self.running:
            error = spending.error(job.usd, self._has_journal)
            self._options.note(error.message)
            self.totals.status = max(self.totals.status, error.status)
            self._source.stop()
            self._pending.clear()
        else:
            self._pending.put_back(job)
        return False

    def _running_usd(self) -> float:
        """Returns what the prompts that are running may cost, in US dollars."""
        return sum(job.usd for jobs in (self._sender.jobs, self._turns.jobs) for job in jobs)

    def _ask_next(self, job: Job) -> None:
        """Sends the request that follows an answer, if the limit of the cost lets it; else the job gets a record."""
        error: Error | None = None
        if spending := self._spending:
            try:
                job.usd = spending.expected(job.choices[:1], self._prompts.output_tokens)
            except UsageError as too_dear:
                error = Incomplete(f"the next turn is not sent: {too_dear.message}")
            if not error and not spending.allows(job.usd + self._running_usd()):
                error = spending.error(job.usd, self._has_journal)
        if error:
            job.fail(error)
        else:
            self._sender.ask_next(job)

    def _follow(self, job: Job) -> None:
        """Lets a job go on after an answer."""
        self._following[job] = self._ask_next

    # Collecting answers.

    def _collect_events(self) -> None:
        awake = self._sender.awake
        with SignalsDeferred():  # which would lose an answer between two steps
            while awake:
                job = next(iter(awake))
                del awake[job]
                self._collect(job)
        while self._following:
            job = next(iter(self._following))
            self._following.pop(job)(job)
            if job.record is not None:
                self.output.add_answer(job, self._loop.now())

    def _collect_rest(self) -> None:
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
            if self._options.events:
                self.output.add_events(job.row.index, events)
        if generation.over:
            self._complete(job)

    def _fails_early(self, job: Job) -> bool:
        """Returns whether a generation has ended so that another model is to be asked."""
        cause = job.generation.early_failure
        return cause is not None and job.falls_back(cause)

    def _may_ask_again(self, job: Job) -> bool:
        """Returns whether a wrong answer may be asked for again; events are written already."""
        usd = job.usd + self._running_usd()
        return bool(
            job.check_retries and not self._options.events and (not self._spending or self._spending.allows(usd))
        )

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
        self.totals.add_generation(target.provider, target.model, generation.exchange)
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
            self._following[job] = self._sender.ask_next
        elif cause and self._sender.fall_back(job, cause):
            self._following[job] = self._sender.ask_next
        else:
            job.record = record
            if problems:
                from ..request.answer_check import wrong

                failure = wrong(problems)
            if failure is not None:
                job.fail(failure)
            del job.builder  # its text is in the record
            self.output.add_answer(job, self._loop.now())
