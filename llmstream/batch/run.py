"""Runs many prompts as many streams on one loop.

One round: start the requests that may start, write what is finished, wait, collect the events that have arrived. A
prompt is read only when a stream and the window of the order have room for it. An answer is in the journal before it
is printed. A slow reader of stdout blocks this process in its write; TCP back-pressure then reaches the providers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from ..errors import OutputFailed, ReaderGone, Signalled, option
from ..net.loop import Loop
from ..request.choices import Choices
from .collector import Collector
from .job_turns import JobTurns
from .output import Output
from .pending import Pending
from .prompts import Job, Prompts
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

            self._spending = Spending(options.max_cost, self._running_usd, has_journal=journal is not None)
        self._prompts = Prompts(source, builder, journal, options.digest, self._spending)
        if not (options.records_name_models and self._prompts.target.is_fallback):
            self._sender.require(self._prompts.target)  # before any input is read
        self._turns = JobTurns(loop, options, self.output)
        self._collector = Collector(
            loop, self._sender, self._turns, self._prompts, self.output, totals, self._spending, options.events
        )
        self._pending = Pending(self._prompts, self.output.may_start)

    @property
    def running(self) -> int:
        """How many prompts are running, waiting for a retry or for their tools."""
        return len(self._sender.jobs) + len(self._turns.jobs) + len(self._collector.jobs)

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
                self._collector.collect_rest()
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
            self._collector.collect()

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
                self.output.write_rest(self._options.note)

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
        if spending.allows(job.usd):
            return True
        if not self.running:
            error = spending.error(job.usd)
            self._options.note(error.message)
            self.totals.status = max(self.totals.status, error.status)
            self._source.stop()
            self._pending.clear()
        else:
            self._pending.put_back(job)
        return False

    def _running_usd(self) -> float:
        """Returns what the prompts that are running may cost, in US dollars."""
        return sum(job.usd for jobs in (self._sender.jobs, self._turns.jobs, self._collector.jobs) for job in jobs)
