"""Parses the fenced code blocks of a Markdown text as it streams (CommonMark 0.31, section 4.5).

The buffer holds a line that may still open a block and, inside a block, the beginning of a line that may still be the
closing fence or stand outside the block's containers. Both are at most LINE characters: a longer line is not a fence.
Lines end with a newline, and a carriage return before it belongs to it; or with a carriage return alone. One at the end
of a chunk waits for the next character.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .blocks import QUOTE, TAB, Blocks, Cursor, Fence, enter_all

LINE = 1024  # characters
BLANK = " \t\r\n"

# Outside blocks and containers, a line that begins with anything else is of no interest.
_NOTABLE = " \t\r`~>+*=#-0123456789"
_line_by_cr = re.compile(r"[^\r]*+(?:\r\n[^\r]*+)*+(?:\r(?!\n))?").findall  # text up to a lone carriage return
_NEXT_NOTABLE = re.compile(rf"\n[{re.escape(_NOTABLE)}]")


class Opened(NamedTuple):
    """A block begins; `start` is the offset of its first line. Offsets are in characters of the stream."""

    info: str
    start: int


class Closed(NamedTuple):
    """A block has ended, at the offset `end`; `decided_at` is how much of the text it took to know.

    A block is whole if it had a closing fence, or if a container around it ended; not if only the text ended.
    """

    end: int
    decided_at: int
    whole: bool


FenceEvent = Opened | str | Closed  # a str is content


class Fences:
    """Turns text into the events of its fenced code blocks."""

    def __init__(self) -> None:
        self._blocks = Blocks()
        self._fence: Fence | None = None  # of the block that is open
        self._is_content: re.Pattern[str] | None = None  # matches a line that surely is no closing fence
        self._next_fence: re.Pattern[str] | None = None  # finds one that may be, from the newline before it on
        self._line = ""  # the beginning of a line that is not decided yet
        self._prefix: tuple[Cursor, int] | None = None  # inside a block: how many containers that line continues
        self._flows = False  # the rest of the line is content, or of no interest
        self._events: list[FenceEvent] = []
        self._line_start = 0  # the offset where the line begins
        self._return = ""  # a carriage return that may end a line
        self.end = 0  # the offset up to which the text is taken

    @property
    def undecided(self) -> int:
        """The offset from which on the text may belong to a block, or may not."""
        return self._line_start if self._line else self.end  # the latter without a carriage return that waits

    @property
    def contained(self) -> bool:
        """Whether what is open stands in a list or a quote, whose end would end it before the undecided line."""
        return bool(self._blocks.containers)

    def feed(self, text: str) -> list[FenceEvent]:
        """Returns the events that are now certain, in order."""
        self._events = []
        if self._flows and text and "\n" not in text and "\r" not in text and not self._return:
            self._advance(text, 0, 0)
            self.end += len(text)
            return self._events
        for part in self._parts(text) if self._return or "\r" in text else (text,):
            at = 0
            while at < len(part):
                if self._flows:
                    at = self._advance(part, at, part.find("\n", at) + 1 or (len(part) if part[-1] == "\r" else 0))
                else:
                    at = (not self._line and self._skip(part, at)) or self._gather(part, at)
            self.end += len(part)
        return self._events

    def _parts(self, text: str) -> list[str]:
        """Cuts text behind each carriage return that ends a line by itself."""
        text = self._return + text
        self._return = "\r" if text[-1:] == "\r" else ""
        parts: list[str] = _line_by_cr(text[: len(text) - len(self._return)])
        return parts

    def close(self) -> list[FenceEvent]:
        """Returns the events that the end of the text decides."""
        line_end, self._return = self._return, ""
        self._events = []
        if line_end:
            self._gather(line_end, 0) if not self._flows else self._advance(line_end, 0, 1)
            self.end += 1
        line, self._line = self._line, ""
        if line and self._fence:
            self._inside(line, complete=True)
        elif line:
            self._open(line)
        if self._fence:
            self._shut(Closed(self.end, self.end, False))
        return self._events

    # One line.

    def _gather(self, text: str, at: int) -> int:
        """Adds to the undecided line what text has of it, and decides it if that is enough."""
        stop = min(text.find("\n", at) + 1 or len(text), at + LINE + 1 - len(self._line))
        line = self._line + text[at:stop]
        complete = line[-1] == "\n" or (line[-1] == "\r" and stop == len(text))
        decided = complete or len(line) > LINE
        self._line = "" if decided else line
        if self._fence:
            self._inside(line, complete)
        elif decided:
            self._open(line)
        if complete:
            self._line_start = self.end + stop
        elif decided:
            self._flows = True
        return stop

    def _open(self, line: str) -> None:
        """Takes a line outside of blocks."""
        fence = self._blocks.feed(line)
        if fence and len(line) <= LINE + line.endswith(("\n", "\r")):
            self._fence = fence
            self._is_content = re.compile(rf" {{4}}| {{0,3}}+[^ {fence.mark}]")
            self._next_fence = re.compile(rf"\n {{0,3}}{fence.mark}{{{fence.length}}}")
            self._events.append(Opened(fence.info, self._line_start))

    def _inside(self, line: str, complete: bool) -> None:
        """Takes a line, or its beginning, inside a block."""
        fence, containers = self._fence, self._blocks.containers
        assert fence
        decided = complete or len(line) > LINE
        cursor, entered = self._prefix or (Cursor(line), 0)
        cursor.extend(line)
        self._prefix = None
        while entered < len(containers) and not decided:
            if _is_open(containers[entered], cursor):
                self._prefix = cursor, entered
                return
            if not cursor.enter(containers[entered]):
                break
            entered += 1
        else:
            entered = enter_all(containers, entered, cursor)
        if entered < len(containers):  # the block has ended with its container, before this line
            prefix = min(cursor.indent()[1] + 1, LINE + 1)
            self._shut(Closed(self._line_start, self._line_start + prefix, True))
            self._blocks.cut(entered)
            if decided:
                self._open(line)
            return
        columns, index = cursor.indent()
        if columns < TAB and (complete or not decided):
            tail = line[index:].lstrip(fence.mark)
            is_long = len(line) - index - len(tail) >= fence.length
            if not tail.strip(BLANK) and (is_long or not (tail or complete)):
                if complete:  # the closing fence; before, the line may become one
                    end = self._line_start + len(line)
                    self._shut(Closed(end, end, True))
                else:
                    self._prefix = cursor, entered
                return
        cursor.skip(fence.indent)
        self._events.append(cursor.rest())
        self._line = ""
        self._flows = not complete

    def _shut(self, closed: Closed) -> None:
        self._events.append(closed)
        self._fence = None

    # Many lines at once.

    def _skip(self, text: str, at: int) -> int:
        """From the beginning of a line: where the next one begins that must be looked at; 0 if it is this one."""
        if self._blocks.containers:
            return 0
        if self._fence is None:
            if text[at] in _NOTABLE:
                return 0
            notable = _NEXT_NOTABLE.search(text, at)
        else:
            assert self._is_content and self._next_fence
            if self._fence.indent or not self._is_content.match(text, at):
                return 0
            notable = self._next_fence.search(text, at)
        if notable is None and text[-1] == "\r":
            stop = len(text)
        else:
            stop = (notable.start() if notable else text.rfind("\n", at)) + 1
        if self._fence is None:
            self._blocks.skip_text(last_is_blank=stop == at + 1 or text[stop - 2 : stop] == "\n\n")
        return self._advance(text, at, stop)

    def _advance(self, text: str, at: int, stop: int) -> int:
        """Takes text, as content or as of no interest, up to the line that begins at stop; all of it if stop is 0."""
        self._flows = not stop
        if stop:
            self._line_start = self.end + stop
        else:
            stop = len(text)
        if self._fence:
            self._events.append(text[at:stop])
        return stop


def _is_open(container: int, cursor: Cursor) -> bool:
    """Whether the line's beginning is too short to tell if it continues the container, and where its prefix ends."""
    columns, index = cursor.indent()
    if index >= len(cursor.line):
        return container == QUOTE or columns < container
    return container == QUOTE and cursor.line[index:] == ">"
