"""The stop condition that a whole fenced code block meets."""

from __future__ import annotations

from ..markdown.fences import Closed, FenceEvent, Fences, Opened
from .condition import Condition, Span


class CodeBlock(Condition):
    """The `count`-th block, from the line of its opening fence to that of its closing one."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count
        self._fences = Fences()
        self._start: int | None = None  # the offset of the open block

    def feed(self, text: str) -> Span | None:
        return self._take(self._fences.feed(text))

    def close(self) -> Span | None:
        return self._take(self._fences.close())

    @property
    def start(self) -> int:
        return self._fences.undecided if self._start is None else self._start

    @property
    def certain(self) -> int:
        return self._fences.undecided if self._start is not None and self._fences.contained else self._fences.end

    def _take(self, events: list[FenceEvent]) -> Span | None:
        for event in events:
            if isinstance(event, Opened):
                self._start = event.start
            elif isinstance(event, Closed):
                start, self._start = self.start, None
                self._left -= event.whole
                if not self._left:
                    self._decided_at = event.decided_at
                    return start, event.end
        return None
