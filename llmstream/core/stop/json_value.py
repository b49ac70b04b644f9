"""The stop condition of a whole JSON object or array."""

from __future__ import annotations

from ..json.documents import Documents
from ..json.scanner import Scanner
from .condition import Condition, Span


class _Spans(Documents):
    """The spans of the documents, whose text it does not keep."""

    def __init__(self) -> None:
        super().__init__(Scanner(), arrays=True)
        self.found: list[Span] = []

    def ended(self, text: str, i: int) -> None:
        self.found.append((self._start, self._base + i))

    @property
    def reached(self) -> int:
        """The end of the text so far."""
        return self._base

    @property
    def start(self) -> int:
        """Where the document that is open, or may be, begins; else the end of the text."""
        return self._start if self._mode in (self._inside, self._opening) else self._base


class JsonValue(Condition):
    """The `count`-th object or array that stands in the text, and in no other; it is met at its last bracket."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._spans = _Spans()
        self._moment = 0

    def feed(self, text: str) -> Span | None:
        spans = self._spans
        spans.take(text)
        if len(spans.found) < self._left:
            self._left -= len(spans.found)
            spans.found.clear()
            return None
        span = spans.found[self._left - 1]
        self._moment = span[1]
        return span

    @property
    def start(self) -> int:
        return self._spans.start

    @property
    def certain(self) -> int:
        return self._spans.reached

    def moment(self) -> int:
        return self._moment
