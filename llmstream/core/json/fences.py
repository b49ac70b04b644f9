"""Which parts of a text stand inside fenced code blocks, told as it streams (CommonMark 0.31, section 4.5).

A line that could be a fence is decided character by character, so that a chunk may end anywhere; any other line
is passed on at once. Fences in lists and quotes count where they are indented by at most three blanks.
"""

from __future__ import annotations

MARKS = "`~"


class Fences:
    """Follows the fence lines of the text between documents. Holds counters only."""

    def __init__(self) -> None:
        self._inside = False
        self._opener = ("", 0)
        self._state = self._body
        self._start_line()

    def feed(self, text: str, i: int, last: str) -> tuple[int, int]:
        """The next stretch text[i:j] of a block's content at or behind i; i == j where there is none.

        `last` is the character before text[i]: what stood there may have been taken by somebody else.
        """
        if self._state == self._body and last == "\n":
            self._start_line()
        while i < len(text):
            i, stop = self._state(text, i)
            if stop > i:
                return i, stop
        return i, i

    def _start_line(self) -> None:
        self._blanks = self._run = 0
        self._mark = ""
        self._info_blank, self._info_ticks = True, False
        self._state = self._head

    def _head(self, text: str, i: int) -> tuple[int, int]:
        """The start of a line: up to three blanks, then maybe a run of marks."""
        c = text[i]
        if self._run:
            if c == self._mark:
                self._run += 1
                return i + 1, 0
        elif c == " " and self._blanks < 3:
            self._blanks += 1
            return i + 1, 0
        elif c in MARKS:
            self._mark, self._run = c, 1
            return i + 1, 0
        if self._run >= 3:
            self._state = self._info
        elif c == "\n":
            self._start_line()
            return i + 1, 0
        else:
            self._state = self._body
        return i, 0

    def _info(self, text: str, i: int) -> tuple[int, int]:
        """The rest of a line that began as a fence does."""
        end = text.find("\n", i)
        info = text[i : end if end >= 0 else len(text)]
        self._info_blank = self._info_blank and not info.strip(" \t\r")
        self._info_ticks = self._info_ticks or "`" in info
        if end < 0:
            return len(text), 0
        if self._inside:
            mark, run = self._opener
            self._inside = not (self._mark == mark and self._run >= run and self._info_blank)
        elif self._mark == "~" or not self._info_ticks:
            self._inside, self._opener = True, (self._mark, self._run)
        self._start_line()
        return end + 1, 0

    def _body(self, text: str, i: int) -> tuple[int, int]:
        """The rest of any other line."""
        end = text.find("\n", i) + 1 or len(text)
        if self._inside:
            return i, end
        if text[end - 1] == "\n":
            self._start_line()
        return end, 0
