"""How commands and library handle the values at JSONPaths: the first of each path, or all; strings unescaped.

A command prints the values, the library parses them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .extract import Match, Piece, Results
from .fields import Fault, Fields
from .strings import Unescaper, unescape

if TYPE_CHECKING:
    from .ng import NgFields


class FieldsFilter:
    """Text in, Matches and Pieces out; the text of a Piece is unescaped.

    `paths` is the number of paths of the core. With `first`, each path has its first value only. `on_fault` is called
    for each broken document.
    """

    def __init__(self, core: Fields | NgFields, paths: int, first: bool, on_fault: Callable[[Fault], object]) -> None:
        self._core, self._first, self._on_fault = core, first, on_fault
        self._unescaper = Unescaper()
        self._in_string = False
        self.missing = set(range(paths))  # the numbers of the paths without a value so far

    @property
    def done(self) -> bool:
        """Whether nothing more is needed: with `first`, all paths have had their value."""
        return self._first and not self.missing and not self._in_string

    def feed(self, text: str) -> list[Match | Piece]:
        """Returns the matches and pieces that text completes."""
        return self._select(self._core.feed(text))

    def close(self) -> list[Match | Piece]:
        """Ends the input; returns the matches that its end completes."""
        return self._select(self._core.close())

    def _select(self, results: Results) -> list[Match | Piece]:
        selected: list[Match | Piece] = []
        for item in results:
            if self.done:
                break
            if isinstance(item, tuple):
                if not self._first or item[0] in self.missing:
                    self.missing.discard(item[0])
                    selected.append(item)
            elif isinstance(item, Piece):
                self.missing.clear()
                self._in_string = not item.ends
                text = self._unescaper.feed(item.text) + (self._unescaper.close() if item.ends else "")
                selected.append(Piece(text, item.ends))
            else:  # a string that breaks off is its path's value all the same
                self._unescaper, self._in_string = Unescaper(), False
                self._on_fault(item)
        return selected


def plain_text(value: str) -> str:
    """Returns the text of a JSON string, and any other JSON value as it is."""
    return unescape(value[1:-1]) if value[0] == '"' else value
