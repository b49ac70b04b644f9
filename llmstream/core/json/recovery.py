"""Error recovery: finds the end of a broken object, which is its matching brace or a line that begins the next object.

Braces are counted outside of strings. A string may span lines, since a raw line end in a string is the most frequent
mistake of models; where a quote is missing, the line rule ends what the braces cannot.

The line rule: behind an indent, the marks of quotes and of list items, and opening brackets, a line has a `{` which
stands in the broken object's column or further left, or behind a mark that does.
"""

from __future__ import annotations

import re
from functools import cache

from .grammar import Matcher, end

HEAD = 256  # characters of a line's beginning that are looked at

PREFIX = "-+*>.)[0123456789 \t"
_prefix_run = re.compile(rf"[{re.escape(PREFIX)}]*+").match
_prefix = re.compile(r"[ \t>]*+((?:(?:[-+*]|[0-9]{1,9}[.)])[ \t]++)*+[\[ \t]*+)").fullmatch
_outside = re.compile(r'[{}"\n]').search

DOUBLE, SINGLE = "\u201c\u201d\u201e\u201f", "\u2018\u2019\u201a\u201b"
_MARKS = rf"""{{}}\[,:"'{DOUBLE}{SINGLE}/*#\\\n"""
# Loose text: words stand between what matters, and a quote opens a string only where a value or key may begin.
_LOOSE_OUTSIDE = rf"[{_MARKS}]|[ \t\r]++|[^\s{_MARKS}]++|\s"
QUOTES = {'"': '"', "'": "'"} | dict.fromkeys(DOUBLE, DOUBLE) | dict.fromkeys(SINGLE, SINGLE)
LINE_COMMENT, COMMENT, ESCAPED = "//", "/*", '\\"'  # what text stands in, beside the strings of QUOTES
TWICE, THRICE = "\\" * 2, "\\" * 3  # what stands behind: backslashes within an escaped string
_ENDS = {
    '"': r'["\\\n]',
    "'": r"['\\\n]",
    DOUBLE: r"[\u201c\u201d\\\n]",
    SINGLE: r"[\u2018\u2019\\\n]",
    LINE_COMMENT: r"\n",
    COMMENT: r"[*\n]",
    ESCAPED: r"[\\\n]",
}


@cache
def _end_of(quote: str) -> Matcher:
    """Returns the search for what may end the text that a quote opened, or means something in it."""
    return re.compile(_ENDS[quote]).search


class Recovery:
    """Skips broken text. With `loose`, it knows comments, and single, typographic and escaped quotes."""

    def __init__(self, *, loose: bool) -> None:
        self._is_loose = loose
        self._outside: Matcher = re.compile(_LOOSE_OUTSIDE).match if loose else _outside
        self.start(0, "", "", "")

    def start(self, depth: int, quote: str, object_head: str, head: str, escaped: bool = False) -> None:
        """Begins inside of `depth` braces, and of a string if `quote` is not empty, behind a backslash if `escaped`.

        `object_head` is what stands before the object in its line, `head` before the text to be skipped; both are at
        most HEAD characters.
        """
        self._depth, self._quote = depth, quote
        self._mark_column, self._column = _columns(object_head)
        self._line: str | None = head  # the beginning of a line that may begin the next object
        if len(head) == HEAD or head.strip(PREFIX):
            self._line = None
        self._behind = "\\" if escaped else ""  # a character that gives the next one its meaning
        self._value_may_begin = True
        self._last = " "  # the last character outside of strings
        self._is_address = False  # behind `http:`
        self.done = False

    def feed(self, text: str, i: int, n: int) -> int:
        """Skips text[i:n]; returns the object's end if `done`, else n."""
        while i < n:
            if self._line is not None:
                i = self._begin_line(text, i, n)
                if self.done or i == n:
                    return i
            if self._behind:
                i += self._take_behind(text[i])
                continue
            match = _end_of(self._quote)(text, i, n) if self._quote else self._outside(text, i, n)
            if match is None:
                return n
            i = match.end()
            self._take(match.group())
            if self.done:
                return i
        return n

    def _begin_line(self, text: str, i: int, n: int) -> int:
        """Takes the prefix of a line: nothing in it matters to braces and quotes."""
        assert self._line is not None
        stop = end(_prefix_run(text, i, min(n, i + HEAD - len(self._line))))
        self._line += text[i:stop]
        if stop == n:
            return n
        line, self._line = self._line, None
        if text[stop] == "{" and len(line) < HEAD and _prefix(line):
            mark_column, column = _columns(line)
            self.done = mark_column <= self._mark_column or column <= self._column
        if marks := line.strip():
            self._value_may_begin = marks[-1] == "["
        return stop

    def _take_behind(self, c: str) -> bool:
        """Takes the character behind a backslash, or behind a `*` in a comment; returns whether it ends there."""
        behind, self._behind = self._behind, ""
        if c == "\n":
            self._line = ""
        if behind == "*":
            if c == "/":
                self._quote, self._last = "", " "
            return c == "/"
        if self._quote == ESCAPED and behind == "\\":
            if c == '"':
                self._quote = ""
            elif c == "\\":  # an escape within the escaped string: it takes the next character, or escape
                self._behind = TWICE
        elif self._quote == ESCAPED:
            self._behind = THRICE if behind == TWICE and c == "\\" else ""
        elif not self._quote and c == '"':
            self._quote = ESCAPED
        return True

    def _take(self, token: str) -> None:
        if token == "\n":
            self._line = ""
            if self._quote == LINE_COMMENT:
                self._quote = ""
        elif token == "\\" or (self._quote == COMMENT):
            self._behind = token
        elif self._quote:
            self._quote, self._value_may_begin = "", False
        elif self._is_loose:
            self._take_loose(token)
        else:
            self._take_plain(token)

    def _take_plain(self, token: str) -> None:
        if token == '"':
            self._quote = token
        elif token == "{":
            self._depth += 1
        elif token == "}":
            self._depth -= 1
            self.done = not self._depth

    def _take_loose(self, token: str) -> None:
        last, self._last = self._last, token[-1]
        if token == "/":
            if last == "/" and not self._is_address:
                self._quote, self._last = LINE_COMMENT, " "
            return
        if token == "*" and last == "/":
            self._quote = COMMENT
        elif token == "#" and not is_word(last):
            self._quote, self._last = LINE_COMMENT, " "
        elif not token.isspace():
            if self._value_may_begin and token in QUOTES:
                self._quote = QUOTES[token]
            else:
                self._take_plain(token)
            self._value_may_begin = token in "{[,:"
        self._is_address = token == ":" and is_word(last)


def is_word(c: str) -> bool:
    """Whether a character belongs to a word, or to a number."""
    return c.isalnum() or c == "_"


def _columns(head: str) -> tuple[int, int]:
    """Returns where the marks of a list's item begin in a line, and where an object does that stands behind `head`.

    Where `head` is more than marks, both are its indent.
    """
    if len(head) == HEAD:
        return 0, 0
    if prefix := _prefix(head):
        return prefix.start(1), len(head)
    indent = len(head) - len(head.lstrip(" \t>"))
    return indent, indent
