"""The way out of an object that broke: to its matching brace, or to the next line that starts with `{`.

Braces are counted outside of strings. A string may span lines, since a raw line end in one is what models get wrong
most; where a quote is missing, the line rule ends what the braces cannot.
"""

from __future__ import annotations

import re

_outside = re.compile(r'[{}"\n]').search
_outside_loose = re.compile(r"[{}\"'\n\[,:]|[^{}\"'\[,: \t\r\n]++").search
_inside = {'"': re.compile(r'["\\\n]').search, "'": re.compile(r"['\\\n]").search}


class Skip:
    """Counts its way through broken text. With `loose`, a single quote where a value may stand opens a string."""

    def __init__(self, *, loose: bool) -> None:
        self._outside = _outside_loose if loose else _outside
        self.start(0, "")

    def start(self, depth: int, quote: str, escaped: bool = False) -> None:
        """Begins inside of `depth` braces, and of a string if `quote`; `escaped`: behind its backslash."""
        self._depth, self._quote, self._escaped = depth, quote, escaped
        self._value_may_start = False
        self.done = False

    def feed(self, text: str, i: int, n: int, last: str) -> int:
        """Takes text[i:n], which stands behind the character `last`; the end of the object, if `done`, or n."""
        while i < n:
            if (text[i - 1] if i else last) == "\n" and text[i] == "{":
                self.done = True
                return i
            if self._escaped:
                self._escaped = False
                i += 1
                continue
            stop = (_inside[self._quote] if self._quote else self._outside)(text, i, n)
            if stop is None:
                return n
            i = stop.end()
            self._take(stop.group())
            if self.done:
                return i
        return n

    def _take(self, c: str) -> None:
        if self._quote:
            if c == "\\":
                self._escaped = True
            elif c == self._quote:
                self._quote = ""
        elif c == '"' or (c == "'" and self._value_may_start):
            self._quote = c
        elif c == "{":
            self._depth += 1
        elif c == "}":
            self._depth -= 1
            self.done = not self._depth
        if c != "\n":
            self._value_may_start = c in "{[,:"
