"""The stop condition that a whole JSON object or array meets."""

from __future__ import annotations

import re
from typing import Any

from ..json.documents import MAX_SIZE, Documents
from ..json.grammar import elements_run, end
from ..json.recovery import HEAD
from ..json.scanner import Scanner
from .condition import Condition, Span

_closing = re.compile(r"[}\]]").search
_blanks = re.compile(r"[ \t\r]*+").match


class _Value(Scanner):
    """Finds out whether a value is, or holds, an object, or is an array that holds another."""

    def start(self) -> None:
        super().start()
        self.counts = False
        self.watched_depth = 1

    def on_value(self, text: str, i: int) -> None:
        if self.stack[-1] == "}" or text[i] in "{[":
            self.counts = True
            self.watched_depth = -1

    def skip_watched(self, text: str, i: int, n: int) -> int:
        return end(elements_run(False)(text, i, n)) if self.stack[-1] == "]" else i


class _Spans(Documents[tuple[int, int, int]]):
    """Collects the documents that count, not their text: (start, end, the offset at which that is certain)."""

    scanner: _Value

    def __init__(self, limit: int) -> None:
        super().__init__(_Value(), [], limit, arrays=True)
        self.too_long = False  # whether a document was longer than the limit
        self._closed = -1  # behind the first bracket that closes in what may be prose
        self._is_array = self._begins_line = False
        self.array: Span | None = None  # holds scalars only, begins a line, and counts if it ends one

    def on_start(self, text: str, i: int, lead: str) -> None:
        self._is_array = not lead
        self._begins_line = len(self._head) < HEAD and not self._head.strip(" \t")

    def on_end(self, text: str, i: int) -> None:
        span = self._start, self._base + i
        if not self._is_array or self.scanner.counts:
            self._results.append((*span, max(span[1], self._looked_to)))
        elif self._begins_line:
            self.array = span

    def on_prose(self, text: str, i: int, n: int) -> None:
        if self.array is None:
            return
        stop = end(_blanks(text, i, n))
        if stop == len(text):
            return
        if text[stop] == "\n":
            self._results.append((*self.array, self._base + stop + 1))
        self.array = None

    def on_chunk_end(self, text: str) -> None:
        if self.is_tentative and self._closed < self._start and (bracket := _closing(self._tried[-1])):
            self._closed = self._base - len(self._tried[-1]) + bracket.end()

    def on_broken(self, text: str, i: int) -> None:
        self.too_long = self.too_long or not self.scanner.error

    def close(self, source: str = "input") -> list[Any]:
        items = super().close(source)
        if self.array:
            items.append((*self.array, self.array[1]))
        return items

    @property
    def start(self) -> int:
        """Where the next document that counts may begin: at least what is open begins there."""
        if self.array:
            return self.array[0]
        return self._start if self.is_open and self._mode != self._skipping else self._base

    @property
    def certain(self) -> int:
        """Before where the next document that counts cannot end."""
        if self.array:
            return self.array[1]
        return self._closed if self.is_tentative and self._closed > self._start else self._base


class JsonValue(Condition):
    """The `count`-th top-level object or array in the text; its last bracket meets the condition.

    An array counts if it holds an object or array, or stands alone on its line or lines: `[1]` in prose does not. An
    object or array of more than `limit` characters does not count.
    """

    def __init__(self, count: int, limit: int = MAX_SIZE) -> None:
        super().__init__()
        self._left, self._limit = count, limit
        self._documents = _Spans(limit)

    def feed(self, text: str) -> Span | None:
        items = self._documents.feed(text)
        self._end += len(text)
        if self._documents.too_long:
            self.note = f"ignored a JSON value longer than {self._limit} characters"
        return self._take(items) if items else None

    def close(self) -> Span | None:
        return self._take(self._documents.close())

    def _take(self, items: list[Any]) -> Span | None:
        for item in items:
            if isinstance(item, tuple):  # no Fault
                self._left -= 1
                if not self._left:
                    start, end, self._decided_at = item
                    return start, end
        return None

    @property
    def start(self) -> int:
        return self._documents.start

    @property
    def certain(self) -> int:
        documents = self._documents
        return documents.certain if documents.is_tentative or documents.array else self._end
