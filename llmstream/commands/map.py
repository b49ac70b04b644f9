"""`llmstream map`: many prompts in, many answers out, many streams at once."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .. import stdio
from ..core.kinds import ANSWER, MODEL, NETWORK, OUTPUT, PROMPT, Integer, Number
from ..errors import OutputFailed, ReaderGone, UsageError, option
from ..providers.registry import SDK, Catalogue
from ..providers.resolve import Target
from ..request.choices import Choices, require_checkable
from ..request.prompt import SILENCE_S, join_words
from . import options, stop_options
from .raw_control import raw_control
from .request_command import RequestCommand, output_file, prompt_file
from .stats_file import StatsFile, stats_file
from .tool_options import program_options, tool_options
from .types import Value, in_group

if TYPE_CHECKING:
    from ..batch.file_template import FileTemplate
    from ..batch.journal import Journal
    from ..batch.rows import Rows
    from ..batch.run import Run
    from ..batch.run_options import RunOptions
    from ..batch.source import Source
    from ..batch.template import Template
    from ..batch.totals import Totals
    from ..core.request import Request
    from ..net.attempts import Resume
    from ..net.loop import Loop
    from ..net.programs import ProgramOptions
    from ..request.prompt_file import PromptFile

NAME = "map"
COUNT, LIMIT, RATE = Value(Integer(1)), Value(Integer(0)), Value(Number(above=0))
WAITING_JOBS = 500  # the default of --jobs for answers that come hours later
WINDOW = 1000  # answers that may wait for an earlier one, unless there are more streams
SDK_FILES = 3  # descriptors of a stream through an SDK: a pipe and a connection; one without an SDK has one
TOOL_FILES = 2  # of a program: its stdin and its stdout
SPARE_FILES = 32  # descriptors beside those of streams
DRAW_INTERVAL_S = 0.1  # between two updates of the progress


@stop_options.options("until-")
@click.command(NAME, cls=RequestCommand)
@click.argument("template", required=False)
@prompt_file
@in_group(PROMPT, "--jsonl", is_flag=True, help="Read JSON objects, not text: prompt, id, model.")
@in_group(PROMPT, "--files", is_flag=True, help="Read names of files that hold the prompts.")
@in_group(PROMPT, "-0", "--null", is_flag=True, help="Prompts end with NUL, not with a newline.")
@options.of_request(PROMPT, MODEL, ANSWER)
@tool_options
@in_group(ANSWER, "--tool-jobs", type=COUNT, default=8, metavar="N", help="Run at most N tools at once (8).")
@in_group(ANSWER, "--max-cost", type=Value(Number(above=0)), metavar="USD", help="Cost at most USD, by estimate.")
@output_file
@in_group(OUTPUT, "--unordered", is_flag=True, help="Print answers as they end, not in order.")
@in_group(OUTPUT, "--window", type=COUNT, metavar="N", help="Let N answers wait for an earlier one (1000).")
@in_group(OUTPUT, "--input", "has_input", is_flag=True, help="Put what was read into the answer's line.")
@in_group(OUTPUT, "--events", is_flag=True, help="Write all events as they come, each with index.")
@in_group(OUTPUT, "--journal", type=click.Path(), metavar="FILE", help="Keep answers in FILE; a rerun does the rest.")
@in_group(OUTPUT, "--batch", is_flag=True, help="Send batches: half the price, within a day.")
@in_group(OUTPUT, "--no-wait", is_flag=True, help="Leave the batches; a later run collects them.")
@in_group(OUTPUT, "--cancel-batch", is_flag=True, help="Cancel the batches or responses in the journal.")
@raw_control
@in_group(OUTPUT, "-u", "--usage", is_flag=True, help="At the end, write costs and times to stderr.")
@stats_file
@in_group(OUTPUT, "-q", "--quiet", is_flag=True, help="Show no progress; no notes if all goes well.")
@in_group(OUTPUT, "--dry-run", is_flag=True, help="Print the estimated cost; send nothing.")
@in_group(
    NETWORK, "-j", "--jobs", type=COUNT, default=8, metavar="N", help="Run N streams at once (8), with --within 500."
)
@in_group(NETWORK, "--rpm", type=RATE, metavar="N", help="Send at most N requests a minute.")
@in_group(NETWORK, "--tpm", type=RATE, metavar="N", help="Use at most N tokens a minute.")
@in_group(NETWORK, "--max-failures", type=LIMIT, default=0, metavar="N", help="Stop after N failed prompts (none).")
@options.of_request(NETWORK)
def command(
    template: str | None,
    file: PromptFile | None,
    variables: dict[str, str],
    options: list[dict[str, Any]],
    catalogue: Catalogue,
    jobs: int,
    jsonl: bool,
    files: bool,
    null: bool,
    has_input: bool,
    journal: str | None,
    usage: bool,
    quiet: bool,
    dry_run: bool,
    batch: bool,
    no_wait: bool,
    cancel_batch: bool,
    **params: Any,
) -> int:
    """Answer many prompts, one a line of stdin, many at once; print a line of JSON for each.

    TEMPLATE is the prompt, with {} for the line, or {name} for a field of a --jsonl line. 0 turns a time-out off.

    \b
    llmstream map < prompts.txt > answers.ndjson
    llmstream map -j 50 'Translate into French: {}' < lines.txt | jq -r .text
    llmstream map --journal run.journal < prompts.txt > answers.ndjson
    jq -c '{prompt: .q}' q.json | llmstream map --jsonl --schema 'answer'
    find . -name '*.md' -print0 | llmstream map -0 'What may {} be about?'
    """
    stdio.require_stdout()
    batch = batch or no_wait or cancel_batch
    if batch:
        _check_batch(options, journal, no_wait, cancel_batch)
    not_objects = "-0" if null else "--files" if files else ""
    _check_options(journal, params["events"], has_input, not_objects if jsonl else "")
    from ..batch.record_splitter import RecordSplitter
    from ..batch.source import Source
    from ..net.loop import Loop

    has_stops = stop_options.stops(dict(params), "until-") is not None  # a wrong one is an error at once
    require_checkable(options, {"stop conditions": has_stops}, shapes_vary=jsonl)
    if params["events"]:
        for each in options:
            each["reasoning"] = True
    builder = Choices(NAME, options, os.environ, catalogue)
    if builder.reads_stdin:
        raise UsageError("stdin has the prompts, so no option can read it: name a file")
    if not jsonl:  # no record can have other options: what is wrong with these is an error before any is read
        target, request, *_ = builder.requests("-")[0]
        target.body(request)
    if params["max_cost"] is not None:
        _require_prices(builder, params["max_cost"], jsonl, batch)
    form = _template(template, file, variables, None if jsonl else ["name"] if files else [])
    rows = _rows(jsonl, files, form, has_input)
    loop = Loop()
    separator = b"\0" if null else b"\n"
    source = Source(loop, RecordSplitter(separator), rows)
    from ..batch.totals import Totals

    totals = Totals()
    opened = (
        None if dry_run and journal is not None and not os.path.exists(journal) else _open(journal, batch, cancel_batch)
    )
    run_options = _run_options(
        params, _clamped(_jobs(options, jobs), builder.targets, params["tool_jobs"] if params["run_tools"] else 0)
    )
    run_options = run_options._replace(
        tools=_program_options(params, options, catalogue),
        progress="" if quiet else NAME,
        note=partial(stdio.note, NAME),
        records_name_models=jsonl,
    )
    explain_silence = partial(_explain_silence, loop, source, "a NUL after each" if null else "one a line")
    if dry_run:
        explain_silence()
        return _dry_run(loop, source, builder, run_options, opened, batch)
    try:
        if batch:
            from . import map_batch

            assert opened
            batch_options = map_batch.BatchOptions(
                quiet, usage, no_wait, cancel_batch, params["max_cost"], explain_silence
            )
            map_batch.run(loop, source, builder, run_options.digest, totals, opened, batch_options)
        else:
            from ..batch.run import Run

            run = Run(loop, source, builder, run_options, totals, opened)
            explain_silence()
            _run(run, totals, quiet, usage, separator, params["stats_file"])
    except ReaderGone:
        return totals.status
    finally:
        _note_oddities(rows.undecodable, opened, journal)
    return totals.status


def _check_batch(options: list[dict[str, Any]], journal: str | None, no_wait: bool, cancel: bool) -> None:
    """Raises UsageError for what has no meaning with a batch; of a configuration's, it is left out."""
    from . import map_batch

    map_batch.check_options(click.get_current_context(), journal, no_wait, cancel)
    for each in options:
        for name in ("within", "check", "check_retries"):
            each.pop(name, None)


def _jobs(options: list[dict[str, Any]], jobs: int) -> int:
    """Returns how many streams may run at once: more by default where their answers come hours later."""
    is_default = click.get_current_context().get_parameter_source("jobs") is ParameterSource.DEFAULT
    return WAITING_JOBS if is_default and any("within" in each for each in options) else jobs


def _program_options(
    params: dict[str, Any], options: list[dict[str, Any]], catalogue: Catalogue
) -> ProgramOptions | None:
    names = set[str]().union(*options)
    if params["run_tools"] and "within" in names:
        raise UsageError(f"{option('run_tools')} and {option('within')} exclude each other: leave one out")
    return program_options(
        params["run_tools"], "tools" in names, catalogue, params["tool_jobs"], params["tool_timeout"]
    )


def _check_options(journal: str | None, events: bool, has_input: bool, not_objects: str) -> None:
    """Raises UsageError for options that exclude each other; `not_objects` is one that --jsonl excludes, if any."""
    if journal is not None and events:
        raise UsageError("--journal and --events exclude each other: choose one")
    if has_input and events:
        raise UsageError("--input and --events exclude each other: choose one")
    if not_objects:
        raise UsageError(f"--jsonl reads an object a line: leave {not_objects} out")


def _require_prices(builder: Choices, limit: float, jsonl: bool, batch: bool) -> None:
    """Raises UsageError where prices are missing, or the shortest prompt may cost too much; of records, when read."""
    from ..batch.spending import Spending
    from ..config.max_cost import require_prices
    from ..config.prices import BATCH

    require_prices()
    if not jsonl:
        Spending(limit, BATCH if batch else "").expected(builder.requests("-"), 0)


def _dry_run(
    loop: Loop, source: Source, builder: Choices, options: RunOptions, journal: Journal | None, batch: bool
) -> int:
    """Prints what the prompts may cost, as requests or in a batch; returns the exit status."""
    from ..batch.dry_run import DryRun
    from ..batch.prompts import Prompts
    from ..config.prices import BATCH

    prompts = Prompts(source, builder, journal, options.digest)
    run = DryRun(loop, source, prompts, BATCH if batch else "", journal.in_batches() if journal else frozenset())
    stdio.write(run.text().encode())
    if run.failure:
        stdio.note(NAME, run.failure, stays=True)
    return run.status


def _template(
    operand: str | None, file: PromptFile | None, variables: dict[str, str], fields: list[str] | None
) -> Template | FileTemplate | None:
    """Returns the template of all prompts, None where there is none; `fields` are those of FileTemplate."""
    if file:
        if operand is not None:
            raise UsageError(f"{file.path} is the template: leave {operand} out")
        if file.from_stdin:
            raise UsageError("stdin has the prompts, so -f cannot read it: name a file")
        from ..batch.file_template import FileTemplate

        return FileTemplate(file, variables, fields)
    if operand is None:
        return None
    from ..batch.template import Template

    if os.path.isfile(operand):
        stdio.note(NAME, f"{operand} is a file, but its name is the template here: < {operand} reads prompts from it")
    return Template(join_words(NAME, (operand,)))


def _rows(jsonl: bool, files: bool, template: Template | FileTemplate | None, has_input: bool) -> Rows:
    if files:
        from ..batch.file_rows import FileRows

        return FileRows(template, has_input)
    from ..batch.rows import Rows

    return Rows(jsonl, template, has_input)


def _note_oddities(undecodable: int, opened: Journal | None, journal: str | None) -> None:
    """Notes prompts with invalid UTF-8, answers in the journal of other requests, and responses that are left."""
    changed = opened.changed if opened else 0
    if undecodable:
        prompts = "1 prompt is" if undecodable == 1 else f"{undecodable:,} prompts are"
        stdio.note(NAME, f"{prompts} not valid UTF-8: invalid bytes are replaced by U+FFFD", stays=True)
    if count := len(opened.queued) if opened else 0:
        responses = "1 response is" if count == 1 else f"{count:,} responses are"
        stdio.note(NAME, f"{responses} queued: run map with the same prompts and journal for the answers", stays=True)
    if changed:
        if changed == 1:
            answers = f"1 answer of {journal} belongs to another request"
        else:
            answers = f"{changed:,} answers of {journal} belong to other requests"
        stdio.note(NAME, f"{answers}: sending the prompt{'' if changed == 1 else 's'} again")


def _run_options(params: dict[str, Any], jobs: int) -> RunOptions:
    from ..batch.run_options import RunOptions

    until = {name: value for name, value in params.items() if name.startswith("until_")}
    has_condition = stop_options.stops(dict(params), "until-") is not None

    def digest(target: Target, request: Request) -> str:
        from ..batch.journal import digest

        body = target.body(request._replace(within=None))  # which is about the way, not about the answer
        prefill = request.prefill.text if request.prefill else ""
        runs = [params["run_tools"]] if params["run_tools"] else []  # whose results are in the answer
        return digest([target.provider, target.api, target.url, body, prefill, until, *runs])

    return RunOptions(
        jobs=jobs,
        window=params["window"] or max(WINDOW, 4 * jobs),
        ordered=not (params["unordered"] or params["events"]),
        events=params["events"],
        rpm=params["rpm"],
        tpm=params["tpm"],
        max_cost=params["max_cost"],
        max_failures=params["max_failures"],
        stops=lambda: stop_options.stops(dict(params), "until-") if has_condition else None,
        resume=_Resuming(),
        digest=digest,
    )


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


def _open(path: str | None, batch: bool, cancel: bool) -> Journal | None:
    """Opens the journal, if there is one. Raises UsageError where it has batches, and the run is not one of batches."""
    if path is None:
        return None
    from ..batch.journal import Journal

    journal = Journal(path)
    if journal.torn_bytes:
        stdio.note(NAME, f"{path} ends with an incomplete line, which is left out")
    if journal.queued and batch and not cancel:
        raise UsageError(f"{path} has responses that are not collected: leave {option('batch')} out to collect them")
    if journal.batches and not batch:
        raise UsageError(f"{path} has batches that are not collected: add {option('batch')} to collect them")
    return journal


def _clamped(jobs: int, targets: list[Target], tool_jobs: int) -> int:
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


def _explain_silence(loop: Loop, source: Source, form: str) -> None:
    """Notes that prompts are expected, if stdin stays silent; `form` says how they are set apart."""
    if os.isatty(stdio.STDIN):
        if os.isatty(stdio.STDERR):
            stdio.note(NAME, f"type prompts, {form}, then Ctrl-D")
        return

    def explain() -> None:
        if not source.has_read:
            stdio.note(NAME, "waiting for prompts on stdin")

    loop.call_at(loop.now() + SILENCE_S, explain)


def _run(run: Run, totals: Totals, quiet: bool, usage: bool, separator: bytes, stats_path: str | None) -> None:
    """Runs the prompts with progress on a terminal, and writes the lines at the end, however the run ends."""
    from ..batch.progress import Progress

    stats = StatsFile(stats_path, NAME) if stats_path is not None else None  # before anything is paid for
    typing = os.isatty(stdio.STDIN)  # on the line where the progress would be
    progress = Progress(_count_records(separator), quiet or typing)
    stdio.clear_progress = progress.give_way
    started, failed = time.monotonic(), True

    def tick() -> float | None:
        now = time.monotonic()
        if not progress.shown:
            return None
        if progress.due(now):
            done = totals.done + totals.earlier
            progress.update(done, totals.failed, run.running, run.tokens, totals.cost(), now, run.waits_for)
        return now + DRAW_INTERVAL_S

    try:
        run.run(tick)
        failed = False
    except (ReaderGone, OutputFailed):  # some answers are not written: the line would count them as done
        quiet = True
        raise
    finally:
        progress.close()
        if not quiet:
            stdio.note(NAME, totals.summary(time.monotonic() - started, run.running, priced=usage))
            if totals.failure:
                stdio.note(NAME, f"{'that' if totals.failed == 1 else 'the first'} failed: {totals.failure}")
        if usage:
            stdio.note(NAME, totals.times(run.throttled), stays=True)
        if stats:
            stats.append(totals.record(time.monotonic() - started, run.running, run.throttled), failed)


def _count_records(separator: bytes) -> int | None:
    """Returns the number of separators on stdin, about that of the prompts; None if stdin is no file."""
    import stat

    try:
        if not stat.S_ISREG(os.fstat(stdio.STDIN).st_mode) or not os.isatty(stdio.STDERR):
            return None
        position, records = os.lseek(stdio.STDIN, 0, os.SEEK_CUR), 0
        while chunk := os.pread(stdio.STDIN, 1 << 20, position):
            position += len(chunk)
            records += chunk.count(separator)
    except OSError:
        return None
    return records
