"""`llmstream map --batch`: the prompts go out as batches, and the answers come back later."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from .. import stdio
from ..batch import batch_output, queued
from ..batch.batch_apis import api_of
from ..batch.batches import Batches
from ..batch.prompts import Job, Prompts
from ..batch.spending import require_affordable
from ..errors import Error, ReaderGone, Signalled, UsageError, option
from ..net.fetch import Fetcher
from .run_end import RunEnd

if TYPE_CHECKING:
    from ..batch.journal import Journal
    from ..batch.totals import Totals
    from ..core.request import Request
    from ..providers.target import Target
    from ..request.choices import Choices
    from .map_input import MapInput
    from .map_options import MapOptions

NAME = "map"
HOW_TO_GO_ON = f"run the same command again to collect the answers, or with {option('cancel_batch')} to cancel"


def run(
    values: MapOptions,
    prompts: MapInput,
    builder: Choices,
    digest: Callable[[Target, Request], str],
    totals: Totals,
    journal: Journal,
) -> None:
    """Sends what no batch has, waits for the answers, prints all records, and reports the end."""
    if len(builder.targets) > 1:
        raise UsageError(f"a batch goes to one model: name one {option('model')}")
    choice = builder.requests("-")[0]
    api_class = api_of(choice.target)
    note = (lambda text: None) if values.quiet else (lambda text: stdio.note(NAME, text))
    with closing(Fetcher()) as fetcher:
        api = api_class(fetcher, choice.target, choice.retries)
        batches = Batches(api, journal, totals, fetcher.sleep, note)
        try:
            if values.cancel_batch:
                _cancel(batches, fetcher, choice.target, journal)
            else:
                jobs = Prompts(prompts.source, builder, journal, digest)
                _answer(values, prompts, jobs, batches, totals)
        except (Error, Signalled):
            _note_left(batches)
            raise


def _answer(values: MapOptions, prompts: MapInput, unread: Prompts, batches: Batches, totals: Totals) -> None:
    """Answers the prompts, unless batches are left to a later run, and reports the end."""
    end, jobs = RunEnd(totals, values), None
    failed = shows_totals = True
    try:
        jobs = _wait(values, prompts, unread, batches)
        if jobs is not None:
            batch_output.write(jobs, batches.results, totals, partial(stdio.note, NAME))
        failed = False
    except (Error, ReaderGone):
        shows_totals = False
        raise
    finally:
        if jobs is None:
            _count_results(batches, totals)
        totals.retries = batches.retries
        end.report(batches.unfinished, batches.throttled, failed=failed, shows_totals=shows_totals)


def _wait(values: MapOptions, prompts: MapInput, unread: Prompts, batches: Batches) -> list[Job] | None:
    """Sends what no batch has, and waits for the answers; returns all jobs, None where batches are left."""
    batches.recover()
    batches.collect()
    prompts.explain_silence()
    jobs = [*unread.read(prompts.loop)]
    if values.max_cost is not None:
        require_affordable((job.choices for job in batches.unsent(jobs)), values.max_cost)
    batches.send(jobs)
    if batches.collect():
        batches.send(jobs)
    if batches.running and values.no_wait:
        _note_left(batches)
        return None
    batches.wait(jobs)
    return jobs


def _count_results(batches: Batches, totals: Totals) -> None:
    """Counts the prompts whose results a later run prints; they do not change the exit status."""
    for _, failure in batches.results.values():
        if failure:
            totals.failed += 1
        else:
            totals.done += 1


def _cancel(batches: Batches, fetcher: Fetcher, target: Target, journal: Journal) -> None:
    """Cancels the batches in the journal, or the responses."""
    if journal.queued:
        count = queued.cancel(fetcher, target, journal)
        stdio.note(NAME, f"{'1 response is' if count == 1 else f'{count:,} responses are'} cancelled")
        return
    batches.recover()
    if not batches.running:
        stdio.note(NAME, "the journal has no batches to cancel")
    batches.cancel()
    _note_left(batches, f"run the command without {option('cancel_batch')} to collect what was answered")


def _note_left(batches: Batches, advice: str = HOW_TO_GO_ON) -> None:
    """Notes how to go on, where batches are left."""
    if batches.running:
        left = "1 batch is" if batches.running == 1 else f"{batches.running:,} batches are"
        stdio.note(NAME, f"{left} not collected: {advice}", stays=True)
