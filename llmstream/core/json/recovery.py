"""Error recovery: finds the end of a broken object, which is its matching brace or the next line that starts with `{`.

Braces are counted outside of strings. A string may span lines, since a raw line end in a string is the most frequent
mistake of models; where a quote is missing, the line rule ends what the braces cannot.
"""

from __future__ import annotations

import re

_outside = re.compile(r'[{}"\n]').search
_outside_loose = re.compile(r"[{}\"'\n\[,:]|[^{}\"'\[,: \t\r\n]++").search
_inside = {'"': re.compile(r'["\\\n]').search, "'": re.compile(r"['\\\n]").search}


class Recovery:
    """Skips broken text. With `loose`, a single quote where a value may begin opens a string."""

    def __init__(self, *, loose: bool) -> None:
        self._outside = _outside_loose if loose else _outside
        self.start(0, "")

    def start(self, depth: int, quote: str, escaped: bool = False) -> None:
        """Begins inside of `depth` braces, and of a string if `quote` is not empty, behind a backslash if `escaped`."""
        self._depth, self._quote, self._escaped = depth, quote, escaped
        self._value_may_begin = False
        self.done = False

    def feed(self, text: str, i: int, n: int, last: str) -> int:
        """Skips text[i:n], which stands behind the character `last`; returns the object's end if `done`, else n."""
        while i < n:
            if (text[i - 1] if i else last) == "\n" and text[i] == "{":
                self.done = True
                return i
            if self._escaped:
                self._escaped = False
                i += 1
                continue
            match = (_inside[self._quote] if self._quote else self._outside)(text, i, n)
            if match is None:
                return n
            i = match.end()
            self._take(match.group())
            if self.done:
                return i
        return n

    def _take(self, token: str) -> None:
        if self._quote:
            if token == "\\":
                self._escaped = True
            elif token == self._quote:
                self._quote = ""
        elif token == '"' or (token == "'" and self._value_may_begin):
            self._quote = token
        elif token == "{":
            self._depth += 1
        elif token == "}":
            self._depth -= 1
            self.done = not self._depth
        if token != "\n":
            self._value_may_begin = token in "{[,:"
