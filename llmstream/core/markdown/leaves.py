"""Reads a Markdown text as it streams: its leaf blocks, in order, each with the quotes and list items around it.

CommonMark 0.31, and GFM's tables. A heading, a rule, a paragraph and a table come whole, when they close. Fenced code
comes line by line, and so does what is too large to hold: a paragraph of more than HELD characters, or a line of more
than LINE, which is text wherever it stands. A larger table comes in parts. Lines end with a newline.
"""

from __future__ import annotations

import re

from .blocks import BLANK, BREAK, CONTINUATION, HEADING, INDENTED, TAB, UNDERLINE, Blocks, Cursor, Fence, enter_all
from .leaf import CODE, EMPTY, PLAIN, RULE, TABLE, TEXT, TITLE, Closed, Leaf, LeafEvent, Opened, Place, begins_table

HELD = 16_384  # characters of an open block
LINE = 16_384  # characters of a line
DEPTH = 32  # quotes and list items around a block that count; deeper ones are left out

# A line that begins an item, whatever follows. Its parts are bounded, because an open line is tried with each chunk.
_SURE_ITEM = re.compile(r" {0,64}(?:[-*+]|[0-9]{1,9}[.)]) {1,64}[*_`'\"(\[]{0,8}\w")
_TITLE = re.compile(r"(#{1,6})[ \t]*(.*?)(?:[ \t]#+)?[ \t]*\Z", re.S)


class Leaves:
    """Turns text into the events of its leaf blocks. Holds one open block and one line."""

    def __init__(self) -> None:
        self._blocks = Blocks()
        self._fence: Fence | None = None
        self._places: list[Place] = []
        self._gap = False
        self._kind = ""  # of the leaf that is open
        self._lines: list[str] = []  # of it, as far as they are held
        self._size = self._blanks = 0  # characters in _lines; blank lines that may belong to indented code
        self._opening: tuple[tuple[Place, ...], bool] = (), False  # places and gap of the open leaf
        self._follows = False  # a part of the open table is out
        self._line = ""
        self._looks_ahead = True  # the open line may still turn out to begin an item
        self._flows = False  # the rest of the line is content
        self._end = self._line_start = self._leaf_start = 0  # offsets
        self._events: list[LeafEvent] = []

    @property
    def open_from(self) -> int:
        """The offset, in characters, of the text that no event has yet: of the open block, or of the open line."""
        return self._end if self._flows else self._leaf_start if self._lines else self._line_start

    @property
    def has_gap(self) -> bool:
        """Whether a blank line stands before the open block."""
        return self._opening[1] if self._lines else self._gap

    def feed(self, text: str) -> list[LeafEvent]:
        """Returns the events that are now certain, in order."""
        self._events, at = [], 0
        while at < len(text):
            newline = text.find("\n", at) + 1
            stop = newline or len(text)
            if self._flows:
                self._events.append(text[at:stop])
                self._flows = not newline
            else:
                stop = min(stop, at + LINE + 1 - len(self._line))
                self._line += text[at:stop]
                if self._line.endswith("\n"):
                    line, self._line = self._line, ""
                    self._take(line)
                elif len(self._line) > LINE:
                    self._take_long()
            self._end += stop - at
            at = stop
            if text[at - 1] == "\n":
                self._line_start = self._end
                self._looks_ahead = True
        if self._looks_ahead and self._lines and _SURE_ITEM.match(self._line):
            self._look_ahead()
        return self._events

    def close(self) -> list[LeafEvent]:
        """Returns the events that the end of the text decides."""
        self._events, self._flows = [], False
        if self._line:
            self._take(self._line)
            self._line = ""
        self._close_leaf()
        self._move(0, [])
        self._line_start = self._end
        return self._events

    # Lines.

    def _take(self, line: str) -> None:
        """Takes a line."""
        if self._fence:
            self._inside(line)
            return
        if self._gap and not self._kind and line.isspace():
            return  # another blank line changes nothing
        blocks = self._blocks
        fence = blocks.feed(line)
        kind, inside = blocks.kind, blocks.matched == len(blocks.containers)
        content = blocks.cursor.rest().rstrip("\n")
        if kind == CONTINUATION:
            self._continue(content.lstrip())
        elif kind == UNDERLINE and self._kind in (TEXT, PLAIN):
            self._underline(1 if content.lstrip()[0] == "=" else 2)
        elif kind == UNDERLINE and self._kind == TABLE and content.lstrip()[0] == "=":
            self._add(content.strip())
        elif kind == INDENTED and self._kind == CODE and inside:
            blocks.cursor.skip(TAB)
            self._add_code(blocks.cursor.rest().rstrip("\n"))
        elif kind == BLANK and self._kind == CODE and inside:
            self._blanks += 1
        else:
            self._close_leaf()
            self._move(blocks.matched, blocks.markers)
            self._begin(kind, content, fence)

    def _begin(self, kind: int, content: str, fence: Fence | None) -> None:
        """Takes the content of a line that goes on with no leaf."""
        if kind == BLANK:
            self._gap = self._gap or not (self._places and self._places[-1].begins)
        elif fence:
            self._fence = fence
            self._open(CODE)
            self._events.append(Opened(CODE, fence.info, *self._opening))
        elif kind == HEADING:
            match = _TITLE.match(content.lstrip())
            assert match
            self._open(TITLE)
            self._events.append(Leaf(TITLE, match[2].strip("# \t") and match[2], *self._opening, len(match[1])))
            self._kind = ""
        elif kind in (BREAK, UNDERLINE):
            self._open(RULE)
            self._events.append(Leaf(RULE, "", *self._opening))
            self._kind = ""
        elif kind == INDENTED:
            self._open(CODE)
            self._blocks.cursor.skip(TAB)
            self._add_code(self._blocks.cursor.rest().rstrip("\n"))
        else:
            self._open(TEXT)
            self._add(content.lstrip())

    def _inside(self, line: str) -> None:
        """Takes a line inside fenced code."""
        fence, cursor = self._fence, Cursor(line)
        assert fence
        count = enter_all(self._blocks.containers, 0, cursor)
        if count < len(self._blocks.containers):  # the code has ended with its container
            self._shut()
            self._blocks.cut(count)
            self._take(line)
            return
        columns, index = cursor.indent()
        mark = line[index:].strip()
        if columns < TAB and len(mark) >= fence.length and not mark.strip(fence.mark):
            self._shut()
            return
        cursor.skip(fence.indent)
        self._events.append(cursor.rest())

    def _take_long(self) -> None:
        """Takes the beginning of a line that is too long; the rest of it will flow."""
        line, self._line, self._flows = self._line, "", True
        if self._fence:
            self._events.append(line)
            return
        self._blocks.feed(line)
        if self._blocks.kind != CONTINUATION or self._kind == TABLE:
            self._close_leaf()
            self._move(self._blocks.matched, self._blocks.markers)
            self._open(TEXT)
        self._pour()
        self._events.append(self._blocks.cursor.rest())

    def _look_ahead(self) -> None:
        """Closes the open leaf where the line, which is not complete, surely begins an item."""
        self._looks_ahead = False
        blocks = self._blocks.copy()
        blocks.feed(self._line)
        if blocks.kind not in (CONTINUATION, INDENTED):
            self._close_leaf()

    # The open leaf.

    def _move(self, matched: int, markers: list[str]) -> None:
        """Leaves the containers beyond `matched`, and enters the new ones."""
        left = self._places[matched:]
        if left and left[-1].begins and left[-1].marker != ">":  # an item without content
            self._events.append(Leaf(EMPTY, "", tuple(self._places), self._gap))
            self._gap = False
        self._places[matched:] = [Place(marker, True) for marker in markers[matched:DEPTH]]

    def _open(self, kind: str) -> None:
        self._kind = kind
        self._opening = tuple(self._places), self._gap
        self._gap = self._follows = False
        self._places = [Place(marker, False) for marker, _ in self._places]
        self._leaf_start = self._line_start

    def _continue(self, line: str) -> None:
        """Adds a line to the open paragraph or table."""
        if self._kind == TEXT and begins_table(self._lines[-1], line):
            header = self._lines.pop()
            if self._lines:
                self._close_leaf()
                self._open(TABLE)
            self._kind, self._lines, self._size = TABLE, [header], len(header)
        self._add(line)

    def _add(self, line: str) -> None:
        """Adds a line to the open leaf, or passes it on where the leaf has become too large to hold."""
        if self._kind == PLAIN:
            self._events.append(f"{line}\n")
            return
        self._lines.append(line)
        self._size += len(line) + 1
        if self._size > HELD:
            if self._kind == TABLE:
                self._flush_table()
                self._size = HELD  # from here on each row is a part
            else:
                self._pour()

    def _add_code(self, line: str) -> None:
        """Adds a line of indented code, and the blank lines before it."""
        blanks, self._blanks = self._blanks, 0
        if self._lines or self._kind == CODE:
            for _ in range(min(blanks, HELD)):
                self._add("")
        self._add(line)

    def _pour(self) -> None:
        """Passes on what is held of the open leaf, as PLAIN text; more of it will follow."""
        if self._kind != PLAIN:
            lines, self._lines = self._lines, []
            self._kind, self._size = PLAIN, 0
            self._events += [Opened(PLAIN, "", *self._opening), *[f"{line}\n" for line in lines]]

    def _flush_table(self) -> None:
        places, gap = self._opening
        self._events.append(Leaf(TABLE, "\n".join(self._lines), places, gap, follows=self._follows))
        self._lines, self._size, self._follows = [], 0, True

    def _underline(self, level: int) -> None:
        """Ends a paragraph that turns out to be a heading."""
        if self._kind == TEXT:
            self._events.append(Leaf(TITLE, "\n".join(self._lines), *self._opening, level))
            self._lines, self._size, self._kind = [], 0, ""
        else:
            self._close_leaf()

    def _close_leaf(self) -> None:
        """Ends the leaf that is open, if one is."""
        if self._fence or self._kind == PLAIN:
            self._shut()
        elif self._kind == TABLE and self._lines:
            self._flush_table()
        elif self._kind == CODE:
            content = [f"{line}\n" for line in self._lines]
            self._events += [Opened(CODE, "", *self._opening), *content, Closed()]
        elif self._lines:
            self._events.append(Leaf(self._kind, "\n".join(self._lines), *self._opening))
        self._gap = self._gap or self._blanks > 0
        self._lines, self._size, self._blanks, self._kind = [], 0, 0, ""

    def _shut(self) -> None:
        self._events.append(Closed())
        self._fence, self._kind = None, ""
