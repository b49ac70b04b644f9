"""JSON documents in any text: where they begin, where they end, which are broken.

Text is prose until an opening bracket that JSON can go on from: `{` and then a quote or `}`; `[`, for those who want
arrays. From there the scanner judges each character. A broken object is skipped, and nothing in it is tried again: that
keeps the time linear whatever the input, and keeps its inside from being passed off as a document of its own.

A subclass captures what it wants between `started` and `ended`, and reports what it finds in `found`.
"""

from __future__ import annotations

import re

from .grammar import Step, end, space
from .scanner import Scanner
from .skip import Skip

MAX_SIZE = 64 * 1024 * 1024
BULK = 512  # characters from which on a document may be taken whole


MALFORMED, UNFINISHED = "malformed", "unfinished"


class Fault:
    """A document that is not whole: the line where it begins, what is wrong, and, where kept, its text."""

    __slots__ = ("line", "why", "kind", "text")

    def __init__(self, line: int, why: str, kind: str = MALFORMED, text: str = "") -> None:
        self.line, self.why, self.kind, self.text = line, why, kind, text


class Documents:
    """Feeds the scanner with the documents in a text that arrives in chunks."""

    def __init__(
        self,
        scanner: Scanner,
        limit: int = MAX_SIZE,
        *,
        arrays: bool = False,
        loose: bool = False,
        line: int = 1,
    ) -> None:
        self.scanner = scanner
        self.skip = Skip(loose=loose)
        self._limit = limit  # characters of one document
        self._starts = re.compile(r"[{[]" if arrays else r"\{").search
        self._mode: Step = self._prose
        self._base = 0  # characters before this chunk
        self._line = line  # the line at text[_counted] of this chunk
        self._counted = 0
        self._last = "\n"  # the character before it
        self._start = self._start_line = 0
        self._why = ""

    def take(self, text: str) -> None:
        """Takes the next characters; what others do is called on the way."""
        i, n = 0, len(text)
        while i < n:
            i = self._mode(text, i, n)
        self._base += n
        self.line_of(text, n)
        self._counted = 0
        self._last = text[-1:] or self._last

    def end(self, whole: str = "input") -> None:
        """The input, or what `whole` says, ended: `cut` or `skipped` is called for what is open."""
        mode, self._mode = self._mode, self._prose
        if mode == self._inside and self.scanner.has_members:
            self.cut(f"the {whole} ends inside of it")
        elif mode == self._skipping:
            self.skipped("", 0, self._why)

    # What others do.

    def prose(self, text: str, i: int, n: int) -> None:
        """text[i:n] belongs to no document."""

    def no_object(self, text: str, i: int) -> int:
        """Behind a `{` and white space, text[i] begins no object; where to go on."""
        return i

    def started(self, text: str, i: int, lead: str) -> None:
        """A document begins: `lead`, then text[i]."""

    def ended(self, text: str, i: int) -> None:
        """It ended before text[i]."""

    def broke(self, text: str, i: int) -> None:
        """It cannot be JSON, for text[i]; what is skipped begins there."""

    def skipped(self, text: str, i: int, why: str) -> None:
        """The broken document ended before text[i]; with the input if text is empty."""

    def cut(self, why: str) -> None:
        """The input ended inside of it."""

    def whole(self, text: str, i: int, n: int) -> int:
        """Takes a document that stands whole in text from i on, by a quicker way; its end, or i where there is none."""
        return i

    def begin_broken(self, text: str, i: int, lead: str, quote: str, why: str) -> None:
        """Starts an object that is known not to be JSON: `lead`, then text[i], inside of a string if `quote`."""
        self.started(text, i, lead)
        self._why = f"{why} in line {self.line_of(text, i)}"
        self._mode = self._skipping
        self.skip.start(1, quote)

    # Modes.

    def line_of(self, text: str, i: int) -> int:
        """The line of text[i], which is never before the one that was asked for last."""
        self._line += text.count("\n", self._counted, i)
        self._counted = i
        return self._line

    def _prose(self, text: str, i: int, n: int) -> int:
        found = self._starts(text, i, n)
        self.prose(text, i, found.start() if found else n)
        if found is None:
            return n
        i = found.start()
        if n - i > BULK and text[i] == "{" and (stop := self.whole(text, i, n)) > i:
            return stop
        self._start, self._start_line = self._base + i, self.line_of(text, i)
        if text[i] == "[":
            self.begin(text, i, "")
            return i
        self._mode = self._opening
        return i + 1

    def _opening(self, text: str, i: int, n: int) -> int:
        """Behind a `{`: an object only if a quote or `}` follows."""
        i = end(space(text, i, n))
        if i == n:
            return n
        if text[i] not in '"}':
            self._mode = self._prose
            return self.no_object(text, i)
        self.begin(text, i, "{")
        return i

    def begin(self, text: str, i: int, lead: str) -> None:
        """Starts a document whose first characters, `lead`, stand before text[i]."""
        self._mode = self._inside
        self.scanner.start()
        self.started(text, i, lead)
        self.scanner.feed(lead, 0, len(lead))

    def _inside(self, text: str, i: int, n: int) -> int:
        scanner = self.scanner
        room = self._start + self._limit - self._base
        i = scanner.feed(text, i, min(n, room))
        if scanner.done:
            self._mode = self._prose
            self.ended(text, i)
        elif scanner.fault or i >= room:
            self._fail(text, i, scanner.fault or f"it is longer than {self._limit} characters")
        return i

    def _fail(self, text: str, i: int, why: str) -> None:
        scanner = self.scanner
        self._why = f"{why} in line {self.line_of(text, i)}"
        depth = scanner.stack.count("}")
        self.broke(text, i)
        if not scanner.has_members:  # `[see below]` was not meant to be JSON
            self._mode = self._prose
        elif depth:
            self._mode = self._skipping
            self.skip.start(depth, '"' if scanner.in_string else "", scanner.in_escape)
        else:
            self._mode = self._prose
            self.skipped(text, i, self._why)

    def _skipping(self, text: str, i: int, n: int) -> int:
        i = self.skip.feed(text, i, n, self._last)
        if self.skip.done:
            self._mode = self._prose
            self.skipped(text, i, self._why)
        return i
