"""`llmstream map` with streams: a stream for each prompt, many at once, and the progress of them all."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from .. import stdio
from ..batch.progress import Progress
from ..batch.run import Run
from ..batch.run_options import RunOptions
from ..errors import OutputFailed, ReaderGone
from ..providers.registry import SDK
from .map_input import MapInput
from .map_options import MapOptions
from .run_end import RunEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..batch.journal import Journal
    from ..batch.totals import Totals
    from ..core.request import Request
    from ..net.attempts import Resume
    from ..net.programs import ProgramOptions
    from ..providers.target import Target
    from ..request.choices import Choices

NAME = "map"
WAITING_JOBS = 500  # the default of --jobs for answers that come hours later
WINDOW = 1000  # answers that may wait for an earlier one, unless there are more streams
SDK_FILES = 3  # descriptors of a stream through an SDK: a pipe and a connection; one without an SDK has one
TOOL_FILES = 2  # of a program: its stdin and its stdout
SPARE_FILES = 32  # descriptors beside those of streams
DRAW_INTERVAL_S = 0.1  # between two updates of the progress


def run(
    values: MapOptions,
    prompts: MapInput,
    builder: Choices,
    tools: ProgramOptions | None,
    digest: Callable[[Target, Request], str],
    totals: Totals,
    journal: Journal | None,
) -> None:
    """Sends all prompts, prints their records, and reports the end."""
    options = _run_options(values, builder.targets, tools, digest)
    streams = Run(prompts.loop, prompts.source, builder, options, totals, journal)
    end = RunEnd(totals, values)  # before anything is paid for
    prompts.explain_silence()
    typing = os.isatty(stdio.STDIN)  # on the line where the progress would be
    progress = Progress(prompts.count(), values.quiet or typing)
    stdio.clear_progress = progress.give_way
    failed = has_written = True
    try:
        streams.run(partial(_show, progress, streams))
        failed = False
    except (ReaderGone, OutputFailed):
        has_written = False
        raise
    finally:
        progress.close()
        end.report(streams.running, streams.throttled, failed=failed, shows_totals=has_written)


def _show(progress: Progress, run: Run) -> float | None:
    """Shows the progress; returns when to show it again, None for never."""
    now, totals = time.monotonic(), run.totals
    if not progress.shown:
        return None
    if progress.due(now):
        done = totals.done + totals.earlier
        progress.update(done, totals.failed, run.running, run.tokens, totals.cost(), now, run.waits_for)
    return now + DRAW_INTERVAL_S


def _run_options(
    values: MapOptions,
    targets: list[Target],
    tools: ProgramOptions | None,
    digest: Callable[[Target, Request], str],
) -> RunOptions:
    jobs = _open_files_for(_jobs(values), targets, values.tool_jobs if values.run_tools else 0)
    return RunOptions(
        jobs=jobs,
        window=values.window or max(WINDOW, 4 * jobs),
        ordered=not (values.unordered or values.events),
        events=values.events,
        rpm=values.rpm,
        tpm=values.tpm,
        max_cost=values.max_cost,
        max_failures=values.max_failures,
        stops=values.stops if values.stops() else lambda: None,
        resume=_Resuming(),
        digest=digest,
        tools=tools,
        progress="" if values.quiet else NAME,
        note=partial(stdio.note, NAME),
        records_name_models=values.jsonl,
    )


def _jobs(values: MapOptions) -> int:
    """Returns how many streams may run at once: more by default where their answers come hours later."""
    return WAITING_JOBS if "jobs" not in values.on_line and "within" in values.names else values.jobs


def _open_files_for(jobs: int, targets: list[Target], tool_jobs: int) -> int:
    """Returns the number of streams that the limit of open files allows, at most `jobs`; the limit is raised.

    `tool_jobs` is how many programs may run beside them.
    """
    spare = SPARE_FILES + TOOL_FILES * tool_jobs
    files = SDK_FILES if any(target.row.transport == SDK for target in targets) else 1  # of a stream
    limit = stdio.raise_open_files(max(stdio.OPEN_FILES, jobs * files + spare))
    most = max(1, (limit - spare) // files)
    if jobs <= most:
        return jobs
    stdio.note(NAME, f"limited to {most} streams: the limit of open files is {limit} (raise it with ulimit -n)")
    return most


class _Resuming:
    """The strategies of --resume-cut; that a target has none is noted once."""

    def __init__(self) -> None:
        self._notes: set[str] = set()

    def __call__(self, target: Target) -> Resume | None:
        from ..net import resume

        return resume.of(target, self._note)

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.add(text)
            stdio.note(NAME, text)
