"""Where in a Markdown text a line stands: the containers around it, and what it begins.

CommonMark 0.31, sections 4 and 5 and the appendix "A parsing strategy", as far as a fenced code block's place depends
on them: block quotes, list items, lazy continuation, indentation, thematic breaks, headings. HTML blocks are taken for
text, so that a fence right behind a tag such as <answer>, which models like to write, is one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

QUOTE = 0  # a container is a block quote, or a list item by the columns that its content is indented by
TAB = 4

_FENCE = re.compile(r"(`{3,})([^`\n]*)\n?\Z|(~{3,})([^\n]*)\n?\Z")
_HEADING = re.compile(r"#{1,6}(?:[ \t\r\n]|\Z)")
_BREAK = re.compile(r"([-*_])[ \t]*+(?:\1[ \t]*+){2,}+\r?\n?\Z")
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t\r\n]*\Z")
_MARKER = re.compile(r"(?:[-+*]|([0-9]{1,9})[.)])(?=[ \t\r\n]|\Z)")


class Fence(NamedTuple):
    """An opening fence: its character and length, the columns that it is indented by, and what stands behind it."""

    mark: str
    length: int
    indent: int
    info: str


class Cursor:
    """A place in a line. A tab may be consumed in part: columns count, not characters."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.index = self._column = 0
        self._in_tab = False

    def indent(self) -> tuple[int, int]:
        """Columns of white space from here on, and the index of what follows it."""
        line, index, column = self.line, self.index, self._column
        while index < len(line) and line[index] in " \t":
            column += 1 if line[index] == " " else TAB - column % TAB
            index += 1
        return column - self._column, index

    def skip(self, columns: int) -> None:
        """Consumes that much white space, where there is so much."""
        line = self.line
        while columns > 0 and self.index < len(line) and line[self.index] in " \t":
            width = 1 if line[self.index] == " " else TAB - self._column % TAB
            self._in_tab = width > columns
            self._column += min(width, columns)
            self.index += not self._in_tab
            columns -= width

    def skip_mark(self, index: int) -> None:
        """Consumes all up to index: white space, and then a mark of one column a character."""
        columns, begin = self.indent()
        self._column += columns + index - begin
        self.index = index
        self._in_tab = False

    def rest(self) -> str:
        """What is not consumed; the rest of a tab as blanks."""
        if not self._in_tab:
            return self.line[self.index :]
        return " " * (TAB - self._column % TAB) + self.line[self.index + 1 :]


def is_blank(line: str, index: int) -> bool:
    """Whether nothing but a line end stands at index."""
    return index >= len(line) or line[index] in "\r\n"


class Blocks:
    """Follows the containers from line to line. Lines that stand inside a fenced block are not for `feed`."""

    def __init__(self) -> None:
        self.containers: list[int] = []
        self._paragraph = False  # the last line was a paragraph's, which a line without prefix may continue
        self._empty_item = False  # the last line began an item and held nothing else

    def feed(self, line: str) -> Fence | None:
        """Takes a line; returns the fence that it opens, if it does."""
        cursor = Cursor(line)
        matched = self._match(cursor)
        lazy = self._paragraph and matched < len(self.containers)  # so far
        continues = self._paragraph and not lazy
        self._empty_item = False
        while True:
            columns, index = cursor.indent()
            if is_blank(line, index):
                self._empty_item = matched < 0 and self.containers[-1] != QUOTE
                self._text(matched, paragraph=False)
                return None
            if columns >= TAB:  # indented code, or a paragraph that goes on
                if not (continues or lazy):
                    self._text(matched, paragraph=False)
                return None
            if line[index] == ">":
                cursor.skip_mark(index + 1)
                cursor.skip(1)
                matched = self._open(matched, QUOTE)
            elif fence := _FENCE.match(line, index):
                self._text(matched, paragraph=False)
                run = fence[1] or fence[3]
                return Fence(run[0], len(run), columns, (fence[2] or fence[4] or "").strip())
            elif (
                (continues and _UNDERLINE.match(line, index))
                or _BREAK.match(line, index)
                or _HEADING.match(line, index)
            ):
                self._text(matched, paragraph=False)
                return None
            elif (marker := _MARKER.match(line, index)) and self._may_begin(marker, continues):
                cursor.skip_mark(marker.end())
                matched = self._open(matched, columns + len(marker[0]) + _padding(cursor))
            else:
                if not lazy:
                    self._text(matched, paragraph=True)
                return None
            lazy = continues = False

    def skip_text(self, last_is_blank: bool) -> None:
        """Takes any number of lines outside all containers that begin with no blank and no mark."""
        self._paragraph = not last_is_blank
        self._empty_item = False

    def cut(self, count: int) -> None:
        """Containers beyond the first `count` have ended."""
        del self.containers[count:]
        self._paragraph = self._empty_item = False

    def _match(self, cursor: Cursor) -> int:
        """How many containers the line continues; the cursor is then behind their prefixes."""
        for count, container in enumerate(self.containers):
            if not enter(container, cursor) or (
                self._empty_item and count == len(self.containers) - 1 and is_blank(cursor.line, cursor.indent()[1])
            ):
                return count
        return len(self.containers)

    def _text(self, matched: int, paragraph: bool) -> None:
        """The line begins no container: those that it does not continue end, lazy ones apart."""
        if matched >= 0:
            del self.containers[matched:]
        self._paragraph = paragraph

    def _open(self, matched: int, container: int) -> int:
        """Returns the new `matched`: -1, all that is open now is this line's own or was continued by it."""
        if matched >= 0:
            del self.containers[matched:]
        self.containers.append(container)
        return -1

    @staticmethod
    def _may_begin(marker: re.Match[str], continues: bool) -> bool:
        """What interrupts a paragraph is an item that is not empty and, if numbered, has the number 1."""
        if not continues:
            return True
        return int(marker[1] or 1) == 1 and bool(marker.string[marker.end() :].strip())


def enter(container: int, cursor: Cursor) -> bool:
    """Whether a line continues a container; the cursor, if so, is moved behind its prefix."""
    columns, index = cursor.indent()
    line = cursor.line
    if container == QUOTE:
        if columns >= TAB or not line.startswith(">", index):
            return False
        cursor.skip_mark(index + 1)
        cursor.skip(1)
        return True
    if columns < container and not is_blank(line, index):
        return False
    cursor.skip(container)
    return True


def _padding(cursor: Cursor) -> int:
    """Consumes the white space behind an item's marker; returns the columns that count as the item's indent."""
    columns, index = cursor.indent()
    if columns > TAB or is_blank(cursor.line, index):  # indented code, or nothing
        columns = 1
    cursor.skip(columns)
    return columns
