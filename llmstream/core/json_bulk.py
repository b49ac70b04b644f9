"""Whole objects out of bulk text, proven and minified by msgspec's C.

Where an object ends is guessed by its layout: at the end of its line, or at the first brace with the indent of its
own line. A guess needs no more care than that, since the text of an object has one end only: if it is valid JSON, it
is the object. msgspec keeps numbers, escapes, duplicates and order as they are; it refuses some that are valid (lone
surrogates, a depth of 1000), and those, like all others refused, go the scanner's way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Bulk:
    """Guesses ends. After a failed guess it stays silent up to the guessed end, so that no text is tried twice."""

    def __init__(self, decode: Callable[[str], Any] | None = None) -> None:
        self._decode = decode
        self._errors: tuple[type[Exception], ...] = ()
        self.silent_to = 0  # an index in the text at hand; the caller starts each chunk with 0

    def take(self, text: str, i: int, n: int) -> tuple[int, Any]:
        """(end, decoded) of the object that begins at text[i]; (i, None) where the guess fails."""
        if i < self.silent_to:
            return i, None
        end = _guess(text, i, n)
        if end <= i:
            self.silent_to = n
            return i, None
        if self._decode is None or not self._errors:
            self._load()
            assert self._decode is not None
        try:
            return end, self._decode(text[i:end])
        except self._errors:
            self.silent_to = end
            return i, None

    def _load(self) -> None:
        import msgspec

        self._errors = (msgspec.MsgspecError, ValueError, RecursionError)
        if self._decode is None:
            minify = msgspec.json.format
            self._decode = lambda text: minify(text, indent=-1)


def _guess(text: str, i: int, n: int) -> int:
    """Where the object at text[i] may end; 0 if nothing can be said."""
    newline = text.find("\n", i, n)
    if newline < 0:
        return 0
    if newline - i <= 2 and not text[i + 1 : newline].strip():
        indent = text[text.rfind("\n", 0, i) + 1 : i]
        close = "\n" + (indent if not indent.strip() else " " * (len(indent) - len(indent.lstrip()))) + "}"
        found = text.find(close, newline, n)
        return found + len(close) if found >= 0 else 0
    end = newline
    while end > i and text[end - 1] in ", \r\t" and newline - end < 4:
        end -= 1
    return end if text[end - 1] == "}" else 0
