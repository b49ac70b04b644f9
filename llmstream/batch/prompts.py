"""Rows into requests, or at once into the records that an earlier run has kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.request import Request
from ..errors import Error
from ..net.generation import Generation
from ..providers.resolve import Target
from ..request.builder import RequestBuilder
from .learned_rate import InFlight
from .record_builder import Record, RecordBuilder, error_record
from .rows import Row
from .source import Source

if TYPE_CHECKING:
    from .journal import Journal

OUTPUT = 256  # tokens of an answer, until some are known


class Job:
    """A prompt of many: its request, or at once its record. `key` and `digest` are the journal's."""

    target: Target
    request: Request
    tokens: int  # that it may cost
    builder: RecordBuilder
    generation: Generation
    in_flight: InFlight | None = None  # the attempt that runs now
    key = digest = ""
    record: Record | None = None
    earlier = False  # the record is another run's

    def __init__(self, row: Row) -> None:
        self.row = row


class Prompts:
    """The jobs of a source. `target` is the one of rows that name no other. Raises UsageError."""

    def __init__(
        self, source: Source, builder: RequestBuilder, journal: Journal | None, digest: Callable[[Target, Request], str]
    ) -> None:
        self._source, self._builder, self._journal, self._digest = source, builder, journal, digest
        self.target, self._request = builder.request("-")  # of every row without options of its own
        self._seen: dict[str, int] = {}  # how often a name in the journal has come up
        self._output = float(OUTPUT)

    def next(self) -> Job | None:
        """The next one, if one is there already. What is wrong with it is its record."""
        row = self._source.next()
        if row is None:
            return None
        job = Job(row)
        try:
            if row.error:
                raise row.error
            self._prepare(job)
        except Error as error:
            job.record = error_record(error)
        return job

    def answered(self, tokens: int) -> None:
        """An answer was of so many tokens: the next ones are thought to be alike."""
        self._output += (tokens - self._output) / 8

    def _prepare(self, job: Job) -> None:
        row = job.row
        if row.options:
            job.target, job.request = self._builder.with_overrides(row.options).request(row.prompt)
        else:
            job.target, job.request = self.target, self._request._replace(prompt=row.prompt)
        request = job.request
        job.builder = RecordBuilder(bool(request.max_tokens or any("tokens" in name for name, _ in request.extra)))
        job.tokens = request.size() // 4 + (request.max_tokens or int(self._output))
        if self._journal:
            self._look_up(job, self._journal)

    def _look_up(self, job: Job, journal: Journal) -> None:
        """What an earlier run has kept. A name may come up many times: each time is a prompt of its own."""
        job.digest = self._digest(job.target, job.request)
        name = job.digest if job.row.id is None else f"id {job.row.id!r}"
        times = self._seen[name] = self._seen.get(name, 0) + 1
        job.key = name if times == 1 else f"{name} {times}"
        job.record = journal.find(job.key, job.digest)
        job.earlier = job.record is not None
