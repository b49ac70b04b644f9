"""The options of `llmstream map` as one object, and what excludes what among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import stdio
from ..errors import UsageError, option
from ..request.choices import require_checkable
from . import stop_options
from .request_command import RequestValues
from .tool_options import program_options

if TYPE_CHECKING:
    from ..net.programs import ProgramOptions

MEANINGLESS = (  # with a batch
    *("jobs", "rpm", "tpm", "window", "unordered", "events", "max_failures", "resume_cut", "fallback_on"),
    *("within", "check", "check_retries", "first_token_timeout", "stall_timeout", "timeout"),
    *("run_tools", "tool_jobs", "tool_timeout", "max_turns"),
)


class MapOptions(RequestValues):
    """The values of map's parameters."""

    template: str | None
    jsonl: bool
    files: bool
    null: bool
    tool_jobs: int
    unordered: bool
    window: int | None
    has_input: bool
    events: bool
    journal: str | None
    batch: bool
    no_wait: bool
    cancel_batch: bool
    rpm: float | None
    tpm: float | None
    max_failures: int

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(params)
        self.batch = self.batch or self.no_wait or self.cancel_batch

    def check_rivals(self) -> dict[str, bool]:
        """Returns what excludes a check of the answers, and whether it is there. Raises UsageError as `stops` does."""
        return {"stop conditions": self.stops() is not None, option("batch"): self.batch}

    def tools(self) -> ProgramOptions | None:
        """Returns how tools are run, None where they are not. Raises UsageError where the tools are missing."""
        if self.run_tools and "within" in self.names:
            raise UsageError(f"{option('run_tools')} and {option('within')} exclude each other: leave one out")
        has_tools = "tools" in self.names
        return program_options(self.run_tools, has_tools, self.catalogue, self.tool_jobs, self.tool_timeout)


def check(values: MapOptions) -> None:
    """Raises UsageError for options that exclude each other. What has no meaning of the configuration's is left out."""
    if values.batch:
        _check_batch(values)
        _drop_meaningless(values)
    if values.journal is not None and values.events:
        raise UsageError("--journal and --events exclude each other: choose one")
    if values.has_input and values.events:
        raise UsageError("--input and --events exclude each other: choose one")
    if values.jsonl and (values.null or values.files):
        raise UsageError(f"--jsonl reads an object a line: leave {'-0' if values.null else '--files'} out")
    require_checkable(values.options, values.check_rivals(), shapes_vary=values.jsonl)
    if values.jsonl or values.asks_for_check:  # a record may ask for a check, too
        stop_options.limit_cpu_time()


def _drop_meaningless(values: MapOptions) -> None:
    """Leaves out what has no meaning with a batch; a line says so where a prompt file asks for it."""
    table = values.file.head.data.get("options", {}) if values.file else {}
    for name in ("check", "within"):
        if values.file and table.get(name):
            stdio.note(
                "map", f"{values.file.path}: {option(name)} has no meaning with {option('batch')}: it is left out"
            )
    for each in values.options:
        for name in ("within", "check", "check_retries"):
            each.pop(name, None)


def _check_batch(values: MapOptions) -> None:
    """Raises UsageError for options that have no meaning with a batch."""
    if values.journal is None:
        raise UsageError(f"{option('batch')} keeps its batches in a journal: add {option('journal', 'FILE')}")
    if values.no_wait and values.cancel_batch:
        raise UsageError(f"{option('no_wait')} and {option('cancel_batch')} exclude each other: choose one")
    for name in values.on_line:
        if name in MEANINGLESS or name.startswith("until_"):
            raise UsageError(f"{option(name)} has no meaning with {option('batch')}: leave it out")
        if name == "dry_run" and values.cancel_batch:
            raise UsageError(f"{option('dry_run')} sends nothing: leave {option('cancel_batch')} out")
        if name == "stats_file" and values.cancel_batch:
            raise UsageError(f"{option('cancel_batch')} has no statistics: leave {option('stats_file')} out")
        if name == "output_file" and (values.no_wait or values.cancel_batch):
            other = option("no_wait" if values.no_wait else "cancel_batch")
            raise UsageError(f"{other} may print nothing, and {option('output')} would be empty: leave one out")
