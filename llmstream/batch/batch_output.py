"""Writes the records of prompts that batches have answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from ..errors import Error, Signalled
from ..signals import SignalsDeferred
from .journal import Entry
from .output import Output
from .prompts import Job
from .record_builder import Record
from .totals import Totals


def write(
    jobs: list[Job],
    results: Mapping[Entry, tuple[Record, Error | None]],
    totals: Totals,
    note: Callable[[str], object],
) -> None:
    """Writes the records of all prompts, in their order; after a signal, as long as the reader takes them."""
    output, rest = Output(False, None, None, totals), deque(jobs)

    def add_next() -> None:
        with SignalsDeferred():
            job = rest.popleft()
            if job.record is None:
                job.record, failure = results[job.entries[0]]
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
        output.write_rest(note)
        raise
