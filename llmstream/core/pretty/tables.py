"""Lays out tables for a width: columns as wide as their cells, or narrower, with cells on several lines."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from ..markdown.leaf import cells
from .inline import inline
from .paint import Paint, rendered, wrapped

BETWEEN, CROSSING, LINE = " │ ", "─┼─", "─"
NARROWEST = 5  # columns of a cell, where they do not fit


class Table:
    """The columns of one table. The first part of its rows decides how wide they are."""

    def __init__(self, markdown: str, width: int, paint: Paint) -> None:
        header, delimiters, *rows = markdown.split("\n")
        self._paint = paint
        self._justify = [_justify(cell) for cell in cells(delimiters)]
        self._rows = [self._parse(header, "bold"), *[self._parse(row) for row in rows]]
        widths = [max(_width(cell) for cell in column) for column in zip(*self._rows, strict=True)]
        between = len(BETWEEN) * (len(widths) - 1)
        self._widths = _fit(widths, width - between)
        self._width = width
        self._is_list = sum(self._widths) + between > width  # of the cells, one below the other

    def head(self) -> list[str]:
        """Returns the lines of the first part."""
        rule = self._paint(CROSSING.join(LINE * width for width in self._widths), "dim")
        head, *rows = self._rows
        self._rows = [head]
        above = [] if self._is_list else [*self._row(head), rule]
        return [*above, *[line for row in rows for line in self._row(row)]]

    def rows(self, markdown: str) -> list[str]:
        """Returns the lines of further rows."""
        return [line for row in markdown.split("\n") for line in self._row(self._parse(row))]

    def _list(self, row: list[Text]) -> list[str]:
        """Returns the lines of a row where there is no room for columns."""
        out: list[str] = []
        for number, (name, cell) in enumerate(zip(self._rows[0], row, strict=True)):
            text = Text.assemble("  " if number else "• ", name, ": ", cell, end="")
            out += [rendered(line, self._paint) for line in wrapped(text, self._width)]
        return out

    def _parse(self, row: str, style: str = "") -> list[Text]:
        """Returns as many cells as the table has columns."""
        texts = cells(row)[: len(self._justify)]
        return [inline(text, style) for text in texts + [""] * (len(self._justify) - len(texts))]

    def _row(self, row: list[Text]) -> list[str]:
        if self._is_list:
            return self._list(row)
        columns = []
        for cell, width, justify in zip(row, self._widths, self._justify, strict=True):
            lines = wrapped(cell, width)
            for line in lines:
                line.align(justify, width)  # type: ignore[arg-type]
            columns.append((lines, width))
        height = max(len(lines) for lines, _ in columns)
        between = self._paint(BETWEEN, "dim")
        out = []
        for number in range(height):
            parts = [lines[number] if number < len(lines) else Text(" " * width) for lines, width in columns]
            parts[-1].rstrip()
            out.append(between.join(rendered(part, self._paint) for part in parts))
        return out


def _justify(delimiter: str) -> str:
    if delimiter.endswith(":"):
        return "center" if delimiter.startswith(":") else "right"
    return "left"


def _width(cell: Text) -> int:
    return max(map(cell_len, cell.plain.split("\n")))


def _fit(widths: list[int], room: int) -> list[int]:
    """Returns widths that fit into the room, as far as the narrowest do: the widest columns give way first."""
    widths = [max(1, width) for width in widths]
    low, high = 1, max(widths)
    while low < high:  # the largest bound on all columns that lets them fit
        bound = (low + high + 1) // 2
        if sum(min(width, bound) for width in widths) <= room:
            low = bound
        else:
            high = bound - 1
    return [min(width, max(low, NARROWEST)) for width in widths]
