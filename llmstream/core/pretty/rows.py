"""Breaks text into rows of a terminal, at words, while it arrives."""

from __future__ import annotations

from collections import deque

from rich.cells import get_character_cell_size as width  # as rich wraps finished blocks

TAB = 8  # columns


class Rows:
    """The rows of a text, or the last `limit` of them."""

    def __init__(self, columns: int, limit: int | None = None) -> None:
        self._columns = max(1, columns)
        self._rows: deque[str] = deque(maxlen=limit)
        self._column = 0
        self.last = ""  # the row that may still grow

    def feed(self, text: str) -> None:
        """Adds text."""
        for character in text.expandtabs(TAB) if "\t" in text else text:
            if character == "\n":
                self._end()
                continue
            columns = width(character)
            if self._column + columns > self._columns:
                self._break(character)
                if character == " ":
                    continue
            self.last += character
            self._column += columns

    def _break(self, character: str) -> None:
        """Ends the row before its last word, or, where it has only one, before the next character."""
        head, blank, word = self.last.rpartition(" ")
        if character != " " and blank and head.strip():
            self.last = head
            self._end()
            self.last, self._column = word, sum(map(width, word))
        else:
            self._end()

    def _end(self) -> None:
        self._rows.append(self.last.rstrip(" "))
        self.last, self._column = "", 0

    def take(self) -> list[str]:
        """Returns the rows that are complete, and forgets them."""
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def view(self) -> list[str]:
        """Returns the rows, with the last one, if it has text."""
        return [*self._rows, self.last] if self.last else list(self._rows)
