"""A run of `llmstream map`, from its options to its exit status."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from .. import stdio
from ..batch.totals import Totals
from ..errors import ReaderGone, UsageError, option
from ..request.choices import Choices
from .map_input import MapInput
from .map_options import MapOptions, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..batch.journal import Journal
    from ..core.request import Request
    from ..providers.target import Target

NAME = "map"


def run(values: MapOptions) -> int:
    """Answers the prompts on stdin; returns the exit status."""
    check(values)
    builder = _choices(values)
    prompts, tools, digest = MapInput(values), values.tools(), _digest(values)
    if values.dry_run:
        return _dry_run(values, prompts, builder, digest)
    totals, journal = Totals(), _open(values)
    try:
        if values.batch:
            from . import map_batch

            assert journal
            map_batch.run(values, prompts, builder, digest, totals, journal)
        else:
            from . import map_streams

            map_streams.run(values, prompts, builder, tools, digest, totals, journal)
    except ReaderGone:
        return totals.status
    finally:
        prompts.note_oddities()
        _end(journal, values.journal)
    return totals.status


def _choices(values: MapOptions) -> Choices:
    """Returns what builds the requests. Raises UsageError for what is wrong with those of all prompts."""
    if values.events:
        for each in values.options:
            each["reasoning"] = True
    builder = Choices(NAME, values.options, os.environ, values.catalogue, values.check_rivals(), bool(values.run_tools))
    if builder.reads_stdin:
        raise UsageError("stdin has the prompts, so no option can read it: name a file")
    if not values.jsonl:  # no record can have other options: what is wrong with these is an error before any is read
        target, request, *_ = builder.requests("-")[0]
        target.body(request)
    if values.max_cost is not None:
        _require_prices(builder, values.max_cost, values.jsonl, values.batch)
    return builder


def _require_prices(builder: Choices, limit: float, jsonl: bool, batch: bool) -> None:
    """Raises UsageError where prices are missing, or the shortest prompt may cost too much; of records, when read."""
    from ..batch.spending import Spending
    from ..config.max_cost import require_prices
    from ..config.prices import BATCH

    require_prices()
    if not jsonl:
        Spending(limit, tier=BATCH if batch else "").expected(builder.requests("-"), 0)


def _digest(values: MapOptions) -> Callable[[Target, Request], str]:
    """Returns what hashes all that an answer depends on."""

    def digest(target: Target, request: Request) -> str:
        from ..batch.journal import digest

        body = target.body(request._replace(within=None))  # which is about the way, not about the answer
        prefill = request.prefill.text if request.prefill else ""
        runs = [values.run_tools] if values.run_tools else []  # whose results are in the answer
        return digest([target.provider, target.api, target.url, body, prefill, values.until, *runs])

    return digest


def _dry_run(values: MapOptions, prompts: MapInput, builder: Choices, digest: Callable[[Target, Request], str]) -> int:
    """Prints what the prompts may cost, as requests or in a batch; returns the exit status."""
    from ..batch.dry_run import DryRun
    from ..batch.prompts import Prompts
    from ..config.prices import BATCH
    from ..core.report import dollars

    has_journal = values.journal is not None and os.path.exists(values.journal)
    journal = _open(values) if has_journal else None
    prompts.explain_silence()
    jobs = Prompts(prompts.source, builder, journal, digest)
    waiting = journal.in_batches() if journal else frozenset()
    run = DryRun(prompts.loop, jobs, BATCH if values.batch else "", waiting)
    stdio.write(run.text(has_journal).encode())
    if values.max_cost is not None and run.usd > values.max_cost:
        limit = option("max_cost", f"{values.max_cost:g}")
        stdio.note(NAME, f"{dollars(run.usd)} is more than {limit}: the run would stop before its end", stays=True)
    if run.failure:
        stdio.note(NAME, run.failure, stays=True)
    return run.status


def _open(values: MapOptions) -> Journal | None:
    """Opens the journal, if there is one. Raises UsageError where it has batches, and the run is not one of batches."""
    path = values.journal
    if path is None:
        return None
    from ..batch.journal import Journal

    journal = Journal(path, partial(_note_unused, path))
    if journal.torn_bytes:
        stdio.note(NAME, f"{path} ends with an incomplete line, which is left out")
    if journal.queued and values.batch and not values.cancel_batch:
        raise UsageError(f"{path} has responses that are not collected: leave {option('batch')} out to collect them")
    if journal.batches and not values.batch:
        raise UsageError(f"{path} has batches that are not collected: add {option('batch')} to collect them")
    return journal


def _note_unused(path: str, count: int) -> None:
    """Notes that a journal has answers, but none to the prompts that were read."""
    answers = "1 answer, but not" if count == 1 else f"{count:,} answers, but none"
    why = "with another prompt, template, model or option a request is another one"
    stdio.note(NAME, f"{path} has {answers} to these requests: {why}")


def _end(opened: Journal | None, journal: str | None) -> None:
    """Closes the journal. Notes answers of other requests, and responses that are left."""
    changed = opened.changed if opened and not opened.is_unused else 0
    if opened:
        opened.close()
    if count := len(opened.queued) if opened else 0:
        responses = "1 response is" if count == 1 else f"{count:,} responses are"
        stdio.note(NAME, f"{responses} queued: run map with the same prompts and journal for the answers", stays=True)
    if changed:
        if changed == 1:
            answers = f"1 answer of {journal} belongs to another request"
        else:
            answers = f"{changed:,} answers of {journal} belong to other requests"
        stdio.note(NAME, f"{answers}: sending the prompt{'' if changed == 1 else 's'} again")
