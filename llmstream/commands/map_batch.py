"""`llmstream map --batch`: the prompts go out as batches, and the answers come back later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from .. import stdio
from ..batch.batch_apis import api_of
from ..batch.batches import Batches
from ..batch.output import Output
from ..batch.prompts import Job, Prompts
from ..batch.spending import Spending
from ..config import max_cost
from ..config.prices import BATCH
from ..core.report import dollars
from ..dialects import RESPONSES
from ..errors import Error, ReaderGone, Refused, Signalled, UsageError, option
from ..net.fetch import Fetcher
from ..net.polling import GONE, WITHOUT_ANSWER
from ..net.transfer import HttpRequest
from ..signals import SignalsDeferred
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
HTTP_BAD_REQUEST = 400
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
            _print(jobs, batches, totals)
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
    jobs = _read(prompts, unread)
    if values.max_cost is not None:
        _check_cost(batches.unsent(jobs), values.max_cost)
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
        _cancel_queued(fetcher, target, journal)
        return
    batches.recover()
    if not batches.running:
        stdio.note(NAME, "the journal has no batches to cancel")
    batches.cancel()
    _note_left(batches, f"run the command without {option('cancel_batch')} to collect what was answered")


def _cancel_queued(fetcher: Fetcher, target: Target, journal: Journal) -> None:
    """Cancels the background responses of `map --within`; forgets those that will have no answer."""
    if target.api != RESPONSES or not target.row.windows:
        raise UsageError(
            f"the journal has responses of OpenAI: give the {option('model')} and {option('api')} of its run"
        )
    cancelled = 0
    for key, queued in [*journal.queued.items()]:
        url = f"{target.url}/{quote(queued.id, safe='')}/cancel"
        try:
            response = fetcher.call(target, HttpRequest("POST", url, target.headers(), {}, target.cert))
            ended = isinstance(response, dict) and response.get("status") in WITHOUT_ANSWER
        except Refused as error:
            if error.http_status not in (GONE, HTTP_BAD_REQUEST):
                raise
            ended = error.http_status == GONE  # else it has its answer, and cannot be cancelled any more
        if ended:
            cancelled += 1
            journal.add_queued(key, queued.digest, "", queued.window)
            journal.commit()
    responses = "1 response is" if cancelled == 1 else f"{cancelled:,} responses are"
    stdio.note(NAME, f"{responses} cancelled")


def _read(prompts: MapInput, unread: Prompts) -> list[Job]:
    """Reads all prompts. Raises the error of the input."""
    jobs, source = [], prompts.source
    while not source.exhausted:
        if job := unread.next():
            jobs.append(job)
        elif not source.exhausted:
            prompts.loop.wait()
    if source.error:
        raise source.error
    return jobs


def _check_cost(jobs: list[Job], limit: float) -> None:
    """Raises UsageError where jobs may cost more than the limit, in US dollars: what a batch does cannot be stopped."""
    spending, usd = Spending(limit, tier=BATCH), 0.0
    for job in jobs:
        target, request = job.choices[0][:2]
        if max_cost.size(target, request).max_output is None:
            raise UsageError(
                f"{option('max_cost')} of a batch needs {option('max_tokens')}: nothing else limits answers"
            )
        usd += spending.expected(job.choices, 0)
    if usd > limit:
        advice = f"set a lower {option('max_tokens')}, or raise the limit"
        cost = f"the prompts may cost {dollars(usd)}, more than {option('max_cost', f'{limit:g}')}"
        raise UsageError(f"{cost}: {advice}; none is sent")


def _note_left(batches: Batches, advice: str = HOW_TO_GO_ON) -> None:
    """Notes how to go on, where batches are left."""
    if batches.running:
        left = "1 batch is" if batches.running == 1 else f"{batches.running:,} batches are"
        stdio.note(NAME, f"{left} not collected: {advice}", stays=True)


def _print(jobs: list[Job], batches: Batches, totals: Totals) -> None:
    """Writes the records of all prompts, in their order; after a signal, as long as the reader takes them."""
    output, rest = Output(False, None, None, totals), deque(jobs)

    def add_next() -> None:
        with SignalsDeferred():
            job = rest.popleft()
            if job.record is None:
                job.record, failure = batches.results[job.entries[0]]
                if failure:
                    job.fail(failure)
            output.add_record(job)

    try:
        while rest:
            add_next()
            if output.full:
                output.flush()
        output.flush()
    except Signalled:
        while rest:
            add_next()
        output.write_rest(partial(stdio.note, NAME))
        raise
