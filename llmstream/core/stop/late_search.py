"""The search for a regular expression where `edge` cannot read patterns: exact too, but late.

Without the edge of a pattern nothing says whether more text could change a match. So a start is decided when two
windows of text follow it, or the input has ended: its match, at most one window long, then has at least a window of
text behind it. To depend on no cut, the search looks at the text at multiples of `window` characters only.
"""

from __future__ import annotations

import re

from ...errors import option
from .condition import Span
from .regex import Regex, compiling, empty_match, refuse_lost_captures

CONTEXT = 1000  # characters kept before the first undecided start: for lookbehind, \b and ^


class LateSearch(Regex):
    """Finds the match that `Search` finds, up to three windows later.

    Raises UsageError for an invalid pattern, and, at the latest when it finds the match, for an empty one.
    """

    def __init__(self, pattern: str, flags: int = 0, count: int = 1, window: int = 64 * 1024) -> None:
        super().__init__(pattern, count, window, CONTEXT)
        with compiling(pattern):
            self._search = re.compile(pattern, flags).search
        if self._search(""):
            raise empty_match(pattern)
        self._pieces: list[str] = []  # the text behind _text, up to the next multiple of the window
        self.note = self._late = (
            "this version of Python's re module is not supported: a match counts only when the input "
            f"ends or {3 * window} characters later: {option('window', 'N')} makes that shorter"
        )

    def feed(self, text: str) -> Span | None:
        at = 0
        while at < len(text):
            room = self._window - self._end % self._window
            piece = text[at : at + room]
            at += len(piece)
            self._pieces.append(piece)
            self._end += len(piece)
            if len(piece) == room and (span := self._decide(2 * self._window)):
                return span
        return None

    def close(self) -> Span | None:
        return self._decide(0)

    @property
    def certain(self) -> int:
        return min(self._end, self._base + self._open + 1)

    def decided_at(self) -> int:
        return self._end

    @refuse_lost_captures
    def _decide(self, behind: int) -> Span | None:
        """Decides the starts that have `behind` characters after them; returns the match that meets the condition."""
        self._text += "".join(self._pieces)
        self._pieces.clear()
        last = len(self._text) - behind
        while (match := self._search(self._text, self._open)) and match.start() <= last:
            start, end = match.span()
            if start == end:
                raise empty_match(self.pattern)
            if end - start > self._window:
                self.note = f"{self._late}; {self._too_long()}"
                self._open = start + 1
                continue
            self._open = end
            self._left -= 1
            if not self._left:
                return self._base + start, self._base + end
        self._open = max(self._open, last + 1)
        self._trim()
        return None
