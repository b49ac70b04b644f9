"""Writes the records to stdout: in the order of the prompts, if asked for, and each only once the journal has it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from .. import stdio
from ..core.events import Event, ToolCall
from ..core.render import EventRenderer
from ..errors import OutputFailed, ReaderGone, Signalled
from ..signals import SignalsDeferred
from .order import Order
from .prompts import Job
from .record_builder import render, with_data
from .totals import Totals

if TYPE_CHECKING:
    from .journal import Journal

FLUSH_BYTES = 1 << 16  # output that is worth a write of its own
PATIENCE_S = 1.0  # with a reader that takes nothing, when the run ends early
COMMIT_DELAY_S = 0.05  # for which finished prompts wait to be written to the journal together


class Output:
    """Collects lines until `flush` writes them.

    `events`: print events as they arrive, and of a record only its error. `window`: how many prompts may be ahead of
    the oldest unfinished one, None to print in any order. `commit_at`: when `commit_due` is to be called.
    """

    def __init__(self, events: bool, window: int | None, journal: Journal | None, totals: Totals) -> None:
        self._events, self._journal, self._totals = events, journal, totals
        self._order = None if window is None else Order(window)
        self._renderer = EventRenderer(None)
        self._uncommitted: list[Job] = []
        self._lines = bytearray()
        self._written, self._counts = b"", list[int]()  # what is being written, and how many bytes of it each time
        self._is_broken = False  # whether stdout cannot be written
        self.commit_at = inf

    @property
    def empty(self) -> bool:
        """Whether nothing is left to be committed or written."""
        return not (self._uncommitted or self._lines)

    @property
    def has_lines(self) -> bool:
        """Whether there is something to write."""
        return bool(self._lines)

    @property
    def full(self) -> bool:
        """Whether enough is collected for a write."""
        return len(self._lines) >= FLUSH_BYTES

    def may_start(self, index: int) -> bool:
        """Returns whether the window has room for the record of a prompt."""
        return self._order is None or self._order.may_start(index)

    def add_events(self, index: int, events: list[Event]) -> None:
        """Adds the events of a running prompt."""
        if self._events:
            for event in events:
                fields = event.as_dict()
                if isinstance(event, ToolCall):  # whose own index is that of the call
                    fields = {"type": event.type, "call": fields.pop("index"), **fields}
                self._lines += self._renderer.line({"index": index, **fields}, 0.0)

    def add_answer(self, job: Job, now: float) -> None:
        """Adds a record of this run, an answer by way of the journal; failures and wrong ones are left to the next."""
        if self._journal and job.record and "finish" in job.record and not job.is_wrong:
            self._journal.add(*job.entries[0], job.record)
            self._uncommitted.append(job)
            self.commit_at = min(self.commit_at, now + COMMIT_DELAY_S)
        else:
            if job.is_wrong and job.choices[0].request.within:
                self.add_queued(job, "")  # the next run is to get another answer
            self.add_record(job)

    def add_queued(self, job: Job, id: str) -> None:
        """Adds the id of a job's background response, or "", to the journal; the next commit is due at once."""
        if self._journal:
            self._journal.add_queued(*job.entries[0], id, job.choices[0].request.within or "")
            self.commit_at = 0.0

    def add_record(self, job: Job) -> None:
        """Counts and adds a record that is in the journal, or that does not belong there."""
        with SignalsDeferred():
            self._totals.add_record(job.record or {}, job.earlier, job.failure)
            line = self._line(job)
            self._lines += self._order.put(job.row.index, line) if self._order else line

    def _line(self, job: Job) -> bytes:
        """Returns the line of a record, b"" where its events are it."""
        row, record = job.row, job.record or {}
        if not self._events:
            if "text" in record:  # else there may have been no request
                record = with_data(record, job.choices[0].request)
            head = {"index": row.index, "id": row.id, "line": row.line, "input": row.input}
            return render({name: value for name, value in head.items() if value is not None} | record)
        if "error" in record:
            return self._renderer.line({"index": row.index, "type": "error", **record["error"]}, 0.0)
        return b""

    def add_rest(self) -> None:
        """Adds the lines behind prompts that were dropped."""
        if self._order:
            self._lines += self._order.rest()

    def commit_due(self, now: float) -> None:
        """Commits and adds the records that have waited long enough. Raises OutputFailed."""
        if now >= self.commit_at:
            self.commit()
            self.add_committed()

    def add_committed(self) -> None:
        """Adds the records that the last commit has put into the journal."""
        with SignalsDeferred():
            jobs, self._uncommitted = self._uncommitted, []
            for job in jobs:
                self.add_record(job)

    def commit(self) -> None:
        """Writes all finished answers to the journal. Raises OutputFailed."""
        self.commit_at = inf
        if self._journal:
            self._journal.commit()

    def flush(self) -> None:
        """Writes the lines; returns when the reader has taken them. Raises ReaderGone, OutputFailed."""
        if self._lines:
            with SignalsDeferred():
                self._written, self._counts, self._lines = bytes(self._lines), [], bytearray()
            try:
                stdio.write(self._written, counts=self._counts)
            except (ReaderGone, OutputFailed):
                self._is_broken = True
                raise
            self._written = b""

    def write_rest(self, note: Callable[[str], object]) -> None:
        """Writes what a signal or an error has left of the lines; notes how many the reader has not taken."""
        self.add_rest()
        try:
            count = self._flush_rest()
        except ReaderGone:
            return
        except Signalled:
            note("not all lines are written: another signal came before the reader of stdout took them")
            raise
        except OutputFailed as error:
            note(error.message)
            return
        if count:
            lines = "1 line is" if count == 1 else f"{count:,} lines are"
            note(f"{lines} not written: the reader of stdout takes nothing")

    def _flush_rest(self) -> int:
        """Writes the rest of the lines; returns how many the reader has not taken.

        Does nothing where a write has failed. Raises ReaderGone, OutputFailed.
        """
        if self._is_broken:
            return 0
        data = self._written[sum(self._counts) :] + self._lines
        self._written, self._lines = b"", bytearray()
        return stdio.write_while_read(data, PATIENCE_S).count(b"\n")
