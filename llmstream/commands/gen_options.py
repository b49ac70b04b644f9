"""The options of `llmstream gen` as one object, and what excludes what among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError, option
from ..request.builder import SHAPES
from ..request.choices import require_checkable
from . import stop_options
from .request_command import RequestValues
from .tool_options import program_options

if TYPE_CHECKING:
    from ..net.programs import ProgramOptions


class GenOptions(RequestValues):
    """The values of gen's parameters."""

    prompt: tuple[str, ...]
    chat: str | None
    keep_cut: bool
    no_stdin: bool
    events: bool
    timing: bool
    line: bool
    reasoning: bool
    sources: bool
    no_newline: bool
    pretty: bool
    no_wrap: bool
    record: str | None
    speed: float

    @property
    def writes_events(self) -> bool:
        """Whether the output is events, not text."""
        return self.events or self.timing

    @property
    def writes_data(self) -> bool:
        """Whether the output is not for a terminal to draw."""
        return self.dry_run or self.writes_events or self.line or bool(SHAPES & self.names)

    def tools(self) -> ProgramOptions | None:
        """Returns how tools are run, None where they are not. Raises UsageError where the tools are missing."""
        return program_options(self.run_tools, "tools" in self.names, self.catalogue, self.jobs, self.tool_timeout)

    def check(self) -> None:
        """Raises UsageError for options that exclude each other, or that lack another one."""
        has_stops = self.stops() is not None  # a wrong one is an error at once
        if self.line and self.writes_events:
            raise UsageError("--line and --events exclude each other: leave one out")
        if self.keep_cut and self.chat is None:
            raise UsageError(f"--keep-cut needs {option('chat', 'FILE')}: name the conversation's file")
        tools = self.tools()
        if tools and self.record is not None:
            raise UsageError("--record keeps one answer, and --run-tools asks for several: leave one out")
        if not tools and "tools" in self.names and not (self.writes_events or self.line or self.chat):
            raise UsageError(f"{option('tools')} needs --events, --line, --chat or --run-tools: a call is not text")
        require_checkable(self.options, {"stop conditions": has_stops, "--record": self.record is not None})
        if self.asks_for_check:
            stop_options.limit_cpu_time()
