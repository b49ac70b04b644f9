"""The stop condition that a whole JSON object or array meets."""

from __future__ import annotations

from ..json.documents import MAX_SIZE, Documents
from ..json.scanner import Scanner
from .condition import Condition, Span


class _Spans(Documents[Span]):
    """Collects the spans of JSON documents, not their text."""

    def __init__(self, limit: int) -> None:
        super().__init__(Scanner(), [], limit, arrays=True)
        self.too_long = False  # whether a document was longer than the limit

    def on_end(self, text: str, i: int) -> None:
        self._results.append((self._start, self._base + i))

    def on_broken(self, text: str, i: int) -> None:
        self.too_long = self.too_long or not self.scanner.error

    @property
    def start(self) -> int:
        """Where the document that is open, or may be, begins; else the end of the text."""
        return self._start if self._mode in (self._inside, self._opening) else self._base


class JsonValue(Condition):
    """The `count`-th top-level object or array in the text; its last bracket meets the condition.

    An object or array of more than `limit` characters does not count.
    """

    def __init__(self, count: int, limit: int = MAX_SIZE) -> None:
        super().__init__()
        self._left, self._limit = count, limit
        self._documents = _Spans(limit)

    def feed(self, text: str) -> Span | None:
        items = self._documents.feed(text)
        self._end += len(text)
        if self._documents.too_long:
            self.note = f"a JSON value longer than {self._limit} characters was not waited for"
        for item in items:
            if isinstance(item, tuple):  # no Fault
                self._left -= 1
                if not self._left:
                    self._decided_at = item[1]
                    return item
        return None

    @property
    def start(self) -> int:
        return self._documents.start
