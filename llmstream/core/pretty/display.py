"""Markdown as bytes for a terminal: what has arrived of the open block as plain text, each block drawn as it closes."""

from __future__ import annotations

from collections.abc import Callable

from ..markdown.leaves import Leaves
from ..terminal.controls import VisibleControls
from ..text import BOM
from .layout import Layout
from .rows import Rows
from .screen import Screen

Size = tuple[int, int]  # columns and rows of a terminal


class Document:
    """Lays out the bytes of a Markdown text: control characters visible, blocks as they close."""

    def __init__(self, width: int, colors: bool) -> None:
        self._controls = VisibleControls()
        self._leaves = Leaves()
        self.layout = Layout(width, colors)
        self._at_start = True
        self._open = ""  # the text of the open block
        self._open_from = 0  # where that begins in the text

    def feed(self, data: bytes) -> list[str]:
        """Returns the rows that are finished."""
        return self._take(self._controls.feed(data))

    def close(self) -> list[str]:
        """Returns the rest."""
        rows = self._take(self._controls.close())
        rows += self.layout.feed(self._leaves.close())
        self._open = ""
        return rows

    def _take(self, text: str) -> list[str]:
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix(BOM)
        rows = self.layout.feed(self._leaves.feed(text))
        self._open = (self._open + text)[self._leaves.open_from - self._open_from :]
        self._open_from = self._leaves.open_from
        return rows

    @property
    def draft(self) -> tuple[int, str]:
        """The offset of the open block, and its text, which no finished row has yet."""
        return self._open_from, self.layout.pending + self._open

    @property
    def has_gap(self) -> bool:
        """Whether a blank line will stand before the open block."""
        return self.layout.has_begun and self._leaves.has_gap


class PrettyDisplay:
    """Turns bytes into those that draw them on a terminal, whose size `size` returns.

    All output ends where a line of the screen begins, with a newline or a carriage return.
    """

    def __init__(self, size: Callable[[], Size], colors: bool) -> None:
        self._size = size
        self._shown_size = size()
        self._document = Document(self._shown_size[0], colors)
        self._screen = Screen()
        self._rows = self._new_rows()
        self._draft = 0, ""

    def feed(self, data: bytes) -> bytes:
        """Returns what can be written."""
        before = self._resize()
        finished = self._document.feed(data)
        return (before + self._screen.update(finished, self._draft_rows(bool(before)))).encode()

    def flush(self) -> bytes:
        """Returns what makes room for other output; the draft is drawn below it with the next data."""
        return self._screen.clear().encode()

    def close(self) -> bytes:
        """Returns the rest."""
        self._resize()
        return self._screen.close(self._document.close()).encode()

    def _resize(self) -> str:
        """Takes the size of the terminal; returns what clears the draft if that has changed."""
        size = self._size()
        if size == self._shown_size:
            return ""
        self._shown_size = size
        self._document.layout.width = size[0]
        return self._screen.clear()

    def _new_rows(self) -> Rows:
        columns, lines = self._shown_size
        return Rows(max(1, columns - 1), max(1, lines - 2))

    def _draft_rows(self, is_new: bool) -> list[str]:
        """Returns the rows of the draft: the last ones, if there are more than the screen has."""
        columns, lines = self._shown_size
        (begin, before), (now, text) = self._draft, self._document.draft
        self._draft = now, text
        if is_new or begin != now or not text.startswith(before):
            self._rows = self._new_rows()
            self._rows.feed(text[-columns * lines :])
        else:
            self._rows.feed(text[len(before) :])
        rows = self._rows.view()[-max(1, lines - 1) :]
        return [*([""] if self._document.has_gap else []), *rows][: lines - 1] if rows else []
