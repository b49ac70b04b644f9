"""The block structure of a Markdown text: the containers around a line, and whether it opens a fenced code block.

CommonMark 0.31, sections 4 and 5 and the appendix "A parsing strategy", as far as a fenced code block's place depends
on them: block quotes, list items, lazy continuation, indentation, thematic breaks, headings. HTML blocks count as text,
so that a fence right after a tag such as <answer>, which models like to write, opens a block.
"""

from __future__ import annotations

import re
from typing import NamedTuple

QUOTE = 0  # a container is a QUOTE, or a list item, given by the columns that its content is indented by
TAB = 4

# What a line is, behind the prefixes of its containers.
BLANK, TEXT, CONTINUATION, INDENTED, FENCE, HEADING, UNDERLINE, BREAK = range(8)

_FENCE = re.compile(r"(`{3,})([^`\n]*)\n?\Z|(~{3,})([^\n]*)\n?\Z")
_HEADING = re.compile(r"#{1,6}(?:[ \t\r\n]|\Z)")
_BREAK = re.compile(r"([-*_])[ \t]*+(?:\1[ \t]*+){2,}+\r?\n?\Z")
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t\r\n]*\Z")
_MARKER = re.compile(r"(?:[-+*]|([0-9]{1,9})[.)])(?=[ \t\r\n]|\Z)")


class Fence(NamedTuple):
    """An opening fence: its character and length, the columns that it is indented by, and its info string."""

    mark: str
    length: int
    indent: int
    info: str


class Cursor:
    """A place in a line. A tab may be skipped in part: columns count, not characters."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.index = self._column = 0
        self._in_tab = False
        self._text = self._text_column = -1  # the index and the column behind the white space, once looked for

    def extend(self, line: str) -> None:
        """Goes on in a line of which more has come."""
        self.line = line
        self._text = -1

    def indent(self) -> tuple[int, int]:
        """Returns the columns of white space from here on, and the index of what follows it."""
        if self._text < self.index:
            line, index, column = self.line, self.index, self._column
            while index < len(line) and line[index] in " \t":
                column += 1 if line[index] == " " else TAB - column % TAB
                index += 1
            self._text, self._text_column = index, column
        return self._text_column - self._column, self._text

    def skip(self, columns: int) -> None:
        """Skips white space, up to so many columns."""
        line = self.line
        if not self._in_tab and line.startswith(" " * columns, self.index):
            self.index += columns
            self._column += columns
            return
        while columns > 0 and self.index < len(line) and line[self.index] in " \t":
            width = 1 if line[self.index] == " " else TAB - self._column % TAB
            self._in_tab = width > columns
            self._column += min(width, columns)
            self.index += not self._in_tab
            columns -= width

    def skip_mark(self, index: int) -> None:
        """Skips what stands before index: white space, and then a mark of one column a character."""
        columns, begin = self.indent()
        self._column += columns + index - begin
        self.index = index
        self._in_tab = False

    def enter(self, container: int) -> bool:
        """Skips the prefix by which the line continues a container; returns whether it has one."""
        columns, index = self.indent()
        if container == QUOTE:
            if columns >= TAB or not self.line.startswith(">", index):
                return False
            self.skip_mark(index + 1)
            self.skip(1)
            return True
        if columns < container and not is_blank(self.line, index):
            return False
        self.skip(container)
        return True

    def rest(self) -> str:
        """Returns what is not skipped; the rest of a tab as blanks."""
        if not self._in_tab:
            return self.line[self.index :]
        return " " * (TAB - self._column % TAB) + self.line[self.index + 1 :]


def is_blank(line: str, index: int) -> bool:
    """Whether nothing but a line end stands at index."""
    return index >= len(line) or line[index] in "\r\n"


class Blocks:
    """Follows the containers from line to line. Lines inside a fenced block are not for `feed`.

    After `feed`, `kind` is what the line is, `matched` the number of containers that it continues, and `cursor` stands
    at its content. A CONTINUATION goes on with a paragraph; TEXT begins one. `markers` are the marks of the containers.
    """

    kind = BLANK
    matched = 0
    cursor = Cursor("")

    def __init__(self) -> None:
        self.containers: list[int] = []
        self.markers: list[str] = []
        self._paragraph = False  # the last line was a paragraph's, which a line without prefix may continue
        self._empty_item = False  # the last line began an item and held nothing else

    def copy(self) -> Blocks:
        """Returns one that can be fed without a change to this one."""
        blocks = Blocks()
        blocks.containers, blocks.markers = self.containers[:], self.markers[:]
        blocks._paragraph, blocks._empty_item = self._paragraph, self._empty_item
        return blocks

    def feed(self, line: str) -> Fence | None:
        """Returns the fence that the line opens, if it opens one."""
        self.cursor = cursor = Cursor(line)
        self.matched = matched = self._match(cursor)
        lazy = self._paragraph and matched < len(self.containers)  # so far
        continues = self._paragraph and not lazy
        self._empty_item = begins_item = paragraph = False
        fence = None
        marks = _marks_at_end(line)
        while True:
            columns, index = cursor.indent()
            if is_blank(line, index):
                self._empty_item = begins_item
                self.kind = BLANK
                break
            if columns >= TAB:
                if continues or lazy:
                    self.kind = CONTINUATION
                    return None
                self.kind = INDENTED
                break
            if line[index] == ">":
                cursor.enter(QUOTE)
                container, marker = QUOTE, ">"
            elif match := _FENCE.match(line, index):
                run = match[1] or match[3]
                fence = Fence(run[0], len(run), columns, (match[2] or match[4] or "").strip())
                self.kind = FENCE
                break
            elif kind := _single_line(line, index, continues, index >= marks):
                self.kind = kind
                break
            elif (item := _MARKER.match(line, index)) and (not continues or _may_interrupt(item)):
                cursor.skip_mark(item.end())
                marker = item[0]
                container = columns + len(marker) + _padding(cursor)
            elif lazy:
                self.kind = CONTINUATION
                return None
            else:
                self.kind = CONTINUATION if continues else TEXT
                paragraph = True
                break
            self.containers[matched:] = [container]
            self.markers[matched:] = [marker]
            matched += 1
            begins_item = container != QUOTE
            lazy = continues = False
        del self.containers[matched:], self.markers[matched:]
        self._paragraph = paragraph
        return fence

    def skip_text(self, last_is_blank: bool) -> None:
        """Skips any number of lines outside all containers that begin with no blank and no mark."""
        self._paragraph, self._empty_item = not last_is_blank, False

    def cut(self, count: int) -> None:
        """Ends the containers beyond the first `count`."""
        del self.containers[count:], self.markers[count:]
        self._paragraph = self._empty_item = False

    def _match(self, cursor: Cursor) -> int:
        """Returns how many containers the line continues, and moves the cursor behind their prefixes."""
        containers = self.containers
        matched = enter_all(containers, 0, cursor)
        if matched and self._empty_item and matched == len(containers) and is_blank(cursor.line, cursor.indent()[1]):
            return matched - 1
        return matched


def enter_all(containers: list[int], count: int, cursor: Cursor) -> int:
    """Skips the prefixes of the containers from the number `count` on; returns how many containers the line continues.

    An empty rest continues all items up to the next quote: these cost no time each.
    """
    while count < len(containers):
        if is_blank(cursor.line, cursor.index):
            try:
                return containers.index(QUOTE, count)
            except ValueError:
                return len(containers)
        if not cursor.enter(containers[count]):
            return count
        count += 1
    return count


def _marks_at_end(line: str) -> int:
    """Returns the index from which on a line has only blanks and one of the characters of a thematic break."""
    text = line.rstrip(" \t\r\n")
    return len(text.rstrip(f"{text[-1]} \t")) if text and text[-1] in "-*_" else len(text)


def _single_line(line: str, index: int, continues: bool, may_break: bool) -> int:
    """Returns the kind of a line that is a block by itself, or makes a heading of the paragraph; 0 for others."""
    if continues and _UNDERLINE.match(line, index):
        return UNDERLINE
    if may_break and _BREAK.match(line, index):
        return BREAK
    return HEADING if _HEADING.match(line, index) else 0


def _may_interrupt(marker: re.Match[str]) -> bool:
    """Whether an item may interrupt a paragraph: it is not empty and, if numbered, has the number 1."""
    return int(marker[1] or 1) == 1 and bool(marker.string[marker.end() :].strip())


def _padding(cursor: Cursor) -> int:
    """Skips the white space after an item's marker; returns the columns that count as the item's indent."""
    columns, index = cursor.indent()
    if columns > TAB or is_blank(cursor.line, index):  # indented code, or nothing
        columns = 1
    cursor.skip(columns)
    return columns
