"""Lays out the leaf blocks of a Markdown text as lines for a terminal: words wrapped, styles as escape sequences.

The text has no control characters, and those that its character references stand for become visible in `inline`: the
only escape sequences are those of styles (SGR). Links have no sequence of their own: their addresses are written out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from ..markdown.leaf import EMPTY, PLAIN, RULE, TABLE, TITLE, Closed, Leaf, LeafEvent, Opened, Place
from .highlight import Highlighter
from .inline import inline, is_plain, task
from .paint import in_colors, rendered, without_colors, wrapped
from .rows import Rows
from .tables import Table

BULLETS = "•◦▪"
FRAME = 60  # columns of the lines above and below code
TITLES = ("bold underline magenta", "bold magenta", "bold", "bold", "italic", "italic")
MARK = "dim"
LONG = 4096  # characters of a line of code: a longer one is cut


class Layout:
    """Turns the events of Leaves into lines without line ends; `width` may change between events."""

    def __init__(self, width: int, colors: bool = True) -> None:
        self.width = width
        self.has_begun = False  # whether there was a line
        self._paint = in_colors if colors else without_colors
        self._prefix, self._columns = "", 0  # of the lines of what is open
        self._highlighter: Highlighter | None = None  # of the code that is open
        self._line = ""  # of code, as far as it has come
        self._rows: Rows | None = None  # of the plain text that is open
        self._table: Table | None = None

    @property
    def pending(self) -> str:
        """The end of a plain text whose row is not complete."""
        return self._rows.last if self._rows else ""

    def feed(self, events: Iterable[LeafEvent]) -> list[str]:
        """Returns the lines that events complete."""
        lines: list[str] = []
        for event in events:
            if isinstance(event, str):
                lines += self._content(event)
            elif isinstance(event, Leaf):
                lines += self._leaf(event)
            elif isinstance(event, Opened):
                lines += self._open(event)
            elif isinstance(event, Closed):
                lines += self._close()
        return lines

    # Leaves.

    def _leaf(self, leaf: Leaf) -> list[str]:
        if leaf.follows and self._table:
            return [self._prefix + line for line in self._table.rows(leaf.text)]
        before = self._before(leaf.gap or leaf.kind == TITLE, leaf.places)
        first, columns = self._first_prefix(leaf.places)
        markdown, box = leaf.text, ""
        if leaf.places and leaf.places[-1].begins and leaf.places[-1].marker != ">":
            box, markdown = task(markdown)
        columns += cell_len(box)
        self._prefix = self._next_prefix(leaf.places, columns)
        lines = self._body(leaf, markdown, self.width - columns)
        return [*before, first + box + lines[0], *[self._prefix + line for line in lines[1:]]]

    def _body(self, leaf: Leaf, markdown: str, room: int) -> list[str]:
        """Returns the lines of a leaf, without what stands before them."""
        if leaf.kind == RULE:
            return [self._paint("─" * room, MARK)]
        if leaf.kind == EMPTY:
            return [""]
        if leaf.kind == TABLE:
            self._table = Table(markdown, room, self._paint)
            return self._table.head()
        style = TITLES[leaf.level - 1] if leaf.kind == TITLE else ""
        if is_plain(markdown) and len(markdown) <= room and markdown.isascii() and "\n" not in markdown:
            return [self._paint(markdown, style) if style else markdown]
        return [rendered(line, self._paint) for line in wrapped(inline(markdown, style), room)]

    # Code and plain text.

    def _open(self, opened: Opened) -> list[str]:
        before = self._before(opened.gap, opened.places)
        first, columns = self._first_prefix(opened.places)
        self._prefix, self._columns = self._next_prefix(opened.places), columns
        if opened.kind == PLAIN:
            self._rows = Rows(self.width - columns)
            return before
        language, _, _ = opened.info.partition(" ")
        self._highlighter = Highlighter(language.strip("{}.").lower())
        return [*before, first + self._frame(f"╭─ {opened.info[: FRAME // 2]} " if opened.info else "╭", columns)]

    def _frame(self, begin: str, columns: int) -> str:
        """Returns the line above or below code, behind a prefix of so many columns."""
        line = begin + "─" * (FRAME - cell_len(begin))
        return self._paint(line[: self.width - columns], MARK)

    def _content(self, piece: str) -> list[str]:
        if self._rows:
            self._rows.feed(piece)
            return [self._prefix + row for row in self._rows.take()]
        *whole, self._line = (self._line + piece).split("\n")
        lines = [self._code(f"{line}\n") for line in whole]
        while len(self._line) > LONG:
            lines.append(self._code(self._line[:LONG]))
            self._line = self._line[LONG:]
        return lines

    def _code(self, line: str) -> str:
        assert self._highlighter
        parts = self._highlighter.feed(line)
        if parts[-1][0].endswith("\n"):
            parts[-1] = parts[-1][0][:-1], parts[-1][1]
        line = "".join([self._paint(part, style) if style else part for part, style in parts])
        return self._prefix + line if line else self._prefix.rstrip(" ")

    def _close(self) -> list[str]:
        if self._rows:
            lines = [self._prefix + row for row in self._rows.view()]
        else:
            lines = [self._code(self._line)] if self._line else []
            lines.append(self._prefix + self._frame("╰", self._columns))
        self._highlighter = self._rows = None
        self._line = ""
        return lines

    # What stands before lines.

    def _before(self, gap: bool, places: Sequence[Place]) -> list[str]:
        """Returns the blank line before a block, if there is one."""
        begun, self.has_begun = self.has_begun, True
        if not begun or not gap:
            return []
        return [self._next_prefix([place for place in places if not place.begins]).rstrip(" ")]

    def _first_prefix(self, places: Sequence[Place]) -> tuple[str, int]:
        """Returns what stands before the first line of a block, and its columns: bars, markers of items that begin."""
        prefix, columns, level = [], 0, 0
        for place in places:
            mark, style = "", MARK
            if place.marker == ">":
                mark = "│"
            elif place.marker in "-*+":
                mark, style = BULLETS[level % len(BULLETS)] if place.begins else " ", ""
                level += 1
            else:
                mark, style = place.marker if place.begins else " " * len(place.marker), "bold"
            if columns + len(mark) >= self.width // 2:  # however deep the block stands
                break
            prefix.append(f"{self._paint(mark, style) if style and mark.strip() else mark} ")
            columns += len(mark) + 1
        return "".join(prefix), columns

    def _next_prefix(self, places: Sequence[Place], columns: int = 0) -> str:
        """Returns what stands before the other lines, of at least so many columns."""
        prefix, reached = self._first_prefix([Place(place.marker, False) for place in places])
        return prefix + " " * (columns - reached)
