"""Lines on stdout: in the order of the prompts where that is wanted, and none before it is in the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import stdio
from ..core.events import Event
from ..core.render import EventRenderer
from . import answer
from .order import Order
from .prompts import Job
from .totals import Totals

if TYPE_CHECKING:
    from .journal import Journal

FLUSH = 1 << 16  # bytes of output that are worth a write of their own
BATCH = 0.05  # seconds for which finished prompts wait to be put on disk together


class Output:
    """What is certain waits for `flush`. `window` is how far the order may run ahead, None for no order.

    `events`: what arrives is printed, and of a record only the error. `save_at` is when `save` wants to be called.
    """

    def __init__(self, events: bool, window: int | None, journal: Journal | None, totals: Totals) -> None:
        self._events, self._journal, self._totals = events, journal, totals
        self._order = None if window is None else Order(window)
        self._renderer = EventRenderer(None)
        self._unsaved: list[Job] = []
        self._lines: list[bytes] = []
        self._size = 0
        self.save_at: float | None = None
        self.before: Callable[[], None] = lambda: None  # a write

    @property
    def empty(self) -> bool:
        """Whether nothing is left to be saved or written."""
        return not (self._unsaved or self._lines)

    @property
    def full(self) -> bool:
        """Whether it is time to write."""
        return self._size >= FLUSH

    def may_start(self, index: int) -> bool:
        """Whether there is room for what a prompt will give."""
        return self._order is None or self._order.may_start(index)

    def arrived(self, index: int, events: list[Event]) -> None:
        """Events of a prompt that is under way."""
        if self._events and events:
            head = {"index": index}
            self._put(b"".join([self._renderer.line({**head, **event.as_dict()}, 0.0) for event in events]))

    def answered(self, job: Job, now: float) -> None:
        """A prompt has its record, by this run; one that failed is not kept: the next run tries it again."""
        if self._journal and job.record and "finish" in job.record:
            self._journal.add(job.key, job.digest, job.record)
            self._unsaved.append(job)
            self.save_at = self.save_at or now + BATCH
        else:
            self.known(job)

    def known(self, job: Job) -> None:
        """A prompt has its record, and nothing of it is to be kept."""
        assert job.record is not None
        self._totals.finished(job.record, job.earlier)
        line = b""
        if not self._events:
            line = self._renderer.line({**answer.head(job.row), **job.record}, 0.0)
        elif "error" in job.record:
            line = self._renderer.line({"index": job.row.index, "type": "error", **job.record["error"]}, 0.0)
        self._put(self._order.put(job.row.index, line) if self._order else line)

    def save(self, now: float) -> None:
        """Puts on disk what has waited for long enough. Raises OutputFailed."""
        if self.save_at is not None and now >= self.save_at:
            self.save_all()
            saved, self._unsaved = self._unsaved, []
            for job in saved:
                self.known(job)

    def save_all(self) -> None:
        """Puts on disk all that is to be kept. Raises OutputFailed."""
        self.save_at = None
        if self._journal and self._unsaved:
            self._journal.commit()

    def flush(self) -> None:
        """Writes what is certain; returns when whoever reads has taken it. Raises ReaderGone, OutputFailed."""
        if not self._lines:
            return
        data = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        self.before()
        stdio.write(data)

    def _put(self, data: bytes) -> None:
        if data:
            self._lines.append(data)
            self._size += len(data)
