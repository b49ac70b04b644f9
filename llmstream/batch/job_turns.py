"""Continues the prompts of map after an answer with tool calls, or one that the provider paused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..core.exchange import Exchange
from ..core.request import Message
from ..net.generation import Generation
from ..net.loop import Loop
from .output import Output
from .prompts import Job
from .run_options import RunOptions

if TYPE_CHECKING:
    from ..net.programs import Programs


class JobTurns:
    """Runs the tools of jobs, and prepares their next requests. `jobs` are those whose tools run."""

    def __init__(self, loop: Loop, options: RunOptions, output: Output) -> None:
        self.jobs: set[Job] = set()
        self._output, self._writes_events = output, options.events
        self._programs: Programs | None = None
        self._is_closed = False
        if options.tools:
            from ..net.programs import Programs

            self._programs = Programs(options.tools, loop, options.note)

    def prepare(self, job: Job) -> None:
        """Makes the requests of a new job keep what sending an answer back needs, where it may have several turns."""
        if self._writes_events and any(choice.may_pause for choice in job.choices):
            from ..request.turns import Parts

            job.parts = Parts()
        job.choices = [choice.with_native() if self._programs or choice.may_pause else choice for choice in job.choices]

    def follow(self, job: Job, generation: Generation, ask_next: Callable[[Job], object]) -> bool:
        """Begins the next turn after a generation that has ended; returns whether there is one.

        `ask_next` is called with the job when its next request is to be sent. Raises Incomplete where the turns have
        reached their limit.
        """
        if not job.choices[0].request.native:
            return False
        from ..request.tools import tools_of
        from ..request.turns import may_go_on

        message, count = job.answer.message(generation.exchange), len(job.exchanges) + 1
        if not may_go_on(message, generation, self._programs is not None, count, job.choices[0].max_turns):
            return False
        go_on = partial(self._go_on, job, message, generation.exchange, ask_next)
        if message.calls and self._programs:
            self.jobs.add(job)
            if self._is_closed:
                return True
            tools = tools_of(job.choices[0].request, job.target)
            self._programs.start(message.calls, tools, go_on, f"line {job.row.line}: ")
        else:
            go_on([])
        return True

    def close(self) -> None:
        """Kills the programs, and starts no more."""
        self._is_closed = True
        if self._programs:
            self._programs.close()

    def _go_on(
        self,
        job: Job,
        message: Message,
        exchange: Exchange,
        ask_next: Callable[[Job], object],
        results: Sequence[Message],
    ) -> None:
        from ..request.turns import tool_results

        self.jobs.discard(job)
        if job.parts:
            if exchange.is_paused:
                job.parts.go_on(exchange)
            else:
                job.parts.end()
        self._output.add_events(job.row.index, tool_results(results))
        job.go_on([message, *results], exchange)
        job.may_fall_back = False  # the model's calls, and maybe its events, are there
        ask_next(job)
