"""`re.search` and `re.finditer` on text that is still arriving, independent of chunking.

A match is returned when no further text can change it (see `edge`); until then the buffer holds the text from the
first open start on. A start that stays open for `window` characters is given up, which bounds the buffer; each start
is decided with exactly that much text after it, so that chunking makes no difference here either.

A search ends at the first start that is open. So a look at the text tries each start that it closes or gives up once,
and one more: past the window too, the cost is that of one attempt, over at most `window` characters, a start.
"""

from __future__ import annotations

import re

from .condition import Span
from .edge import edge
from .regex import Regex, compiling, empty_match, refuse_lost_captures


class Search(Regex):
    """Finds a match as soon as it is final.

    Raises UsageError for an invalid pattern, and for one that matches the empty text; NotImplementedError where `edge`
    cannot read the pattern. To import this module raises ImportError where `edge` does not know this Python's parser.
    """

    def __init__(self, pattern: str, flags: int = 0, count: int = 1, window: int = 64 * 1024) -> None:
        super().__init__(pattern, count, window, 0)  # first: the CPU time of what follows is limited, too
        with compiling(pattern):
            facts = edge(pattern, flags, window)
        if facts.shortest == 0:
            raise empty_match(pattern)
        self._context = facts.behind + 1
        self._search, self._edge = facts.plain.search, facts.pattern.search
        self._flag, self._facts = facts.flag, facts
        self._given_up = 0  # the offset at which a start was last given up: later matches waited until then
        self._matches: list[tuple[int, re.Match[str]]] = []  # in _text as it is: (search began at, match)

    @refuse_lost_captures
    def feed(self, text: str) -> Span | None:
        at = 0
        while at < len(text):
            room = self._window + self._open - len(self._text)
            piece = text[at : at + room]
            at += len(piece)
            self._matches.clear()
            self._trim()
            self._text = self._text + piece if self._text else piece
            while (span := self._look()) is not None:
                if not self._left:
                    return span
        return None

    @refuse_lost_captures
    def close(self) -> Span | None:
        while match := self._search(self._text, self._open):
            span = self._take(match)
            if not self._left:
                return span
        return None

    @property
    @refuse_lost_captures
    def certain(self) -> int:
        text, start, end = self._text, self._open, len(self._text)
        if self._left > 1 or start >= end:
            return self._base + end
        # Every match to come must end beyond the text if the text holds none. Tried only where a single start is open:
        # many starts may take long to try, and the first of them is soon closed as a rule.
        facts = self._facts
        if not (facts.forward or self._edge(text, start + 1, end) or facts.plain.match(text, start)):
            return self._base + end
        return self._base + min(end, start + facts.shortest)

    @refuse_lost_captures
    def decided_at(self) -> int:
        return max(self._given_up, *(self._base + self._needed(began, match) for began, match in self._matches))

    def _look(self) -> Span | None:
        """Returns the next match that is final, or None; `_open` is then where a match may still begin."""
        text, end = self._text, len(self._text)
        start, reach = self._open, self._facts.reach
        if reach is not None and end - start > 2 * reach:
            # Starts that far back are all closed, and P alone skips text faster. It may try the last `reach` in vain:
            # that is why there must be at least as many others.
            match = self._search(text, start)
            if match and match.start() < end - reach:
                return self._take(match)
            start = end - reach
        while match := self._edge(text, start):
            if match.start(self._flag) < 0:
                return self._take(match)
            self._open = match.start()
            if end - self._open < self._window:
                return None
            start = self._open = self._open + 1
            self._given_up = self._base + end
            self.note = self._too_long()
        self._open = end
        return None

    def _take(self, match: re.Match[str]) -> Span:
        self._matches.append((self._open, match))
        self._open = match.end()
        self._left -= 1
        return self._base + match.start(), self._base + match.end()

    def _needed(self, began: int, match: re.Match[str]) -> int:
        """Returns how much of `_text` it takes to know a match, of a search that began at `began`."""
        low, high = match.end(), len(self._text)
        while low < high:
            middle = (low + high) // 2
            first = self._edge(self._text, began, middle)
            if first is None or first.start(self._flag) < 0:  # this match: there is no earlier one
                high = middle
            else:
                low = middle + 1
        return low
