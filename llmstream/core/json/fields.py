"""The values at JSONPaths in the JSON documents of any text, each as soon as it is complete.

A document is an object or an array anywhere in the text; where a path selects the document itself, a line that
contains nothing but a JSON scalar is one, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .automaton import Automaton, Match, Values
from .bulk import Runs
from .documents import MAX_SIZE, Documents, Fault
from .extract import Extraction, Piece, Results
from .grammar import SCALAR
from .segments import Path
from .strings import Unescaper, unescape

_scalar = re.compile(rf"[ \t\r]*+({SCALAR})[ \t\r]*+").fullmatch


class Fields(Documents[Match | Values | Piece]):
    """The items are, in the order of completion, Matches, and Pieces of a followed string.

    `limit` bounds each value that must be held, in characters: a selected one, or one that a filter or an index from
    the end makes wait. With `follow`, a selected string comes in Pieces while it grows. With `lines`, Values stand for
    the Matches of large chunks.
    """

    def __init__(self, paths: list[Path], limit: int = MAX_SIZE, *, follow: bool = False, lines: bool = False) -> None:
        automaton = Automaton(paths)
        results: Results = []
        self._extraction = Extraction(automaton, results, limit, follow=follow, lines=lines)
        super().__init__(self._extraction, results, 1 << 62, arrays=True)
        self._key_limit = limit + 2
        levels = self._extraction.levels
        self._levels = levels if levels.takes_documents and not follow else None
        self._selects_scalars = bool(automaton.root.accepts)
        self._runs = Runs()
        self._value_limit = limit
        self._line_parts: list[str] | None = []  # the parts of the line so far while it may be a scalar
        self._line_size = 0  # characters in them

    def close(self, source: str = "input") -> Results:
        if self._selects_scalars:
            self._end_line()
        return super().close(source)

    def on_start(self, text: str, i: int, lead: str) -> None:
        self._extraction.line = self._start_line
        self._line_parts = None

    def take_whole(self, text: str, i: int, n: int) -> int:
        levels = self._levels
        if levels is None:
            return i
        # A longer value may be too long, which the extraction reports.
        stop, selected = self._runs.take(text, i, n, levels.documents, self._value_limit // levels.nesting)
        self._results += selected or ()
        return stop

    # Scalars as documents.

    def on_prose(self, text: str, i: int, n: int) -> None:
        if not self._selects_scalars:
            return
        while (end := text.find("\n", i, n)) >= 0:
            self._add(text[i:end])
            self._end_line()
            i = end + 1
        self._add(text[i:n])

    def _add(self, part: str) -> None:
        if self._line_parts is not None and part:
            self._line_parts.append(part)
            self._line_size += len(part)
            if self._line_size > self._value_limit:
                self._line_parts = None

    def _end_line(self) -> None:
        if self._line_parts and (match := _scalar("".join(self._line_parts))):
            self._extraction.scalar(match[1])
        self._line_parts, self._line_size = [], 0


class FieldsFilter:
    """The fields as commands and library use them: text in, its items but the Faults out; a Piece's text is unescaped.

    `paths` is the number of paths of the core. With `first`, each path has its first value only: the core
    has no Values then. `on_fault` is called
    for each broken document.
    """

    def __init__(self, core: Fields, paths: int, first: bool, on_fault: Callable[[Fault], object]) -> None:
        self._core, self._first, self._on_fault = core, first, on_fault
        self._unescaper = Unescaper()
        self._in_string = False
        self.missing = set(range(paths))  # the numbers of the paths without a value so far

    @property
    def done(self) -> bool:
        """Whether nothing more is needed: with `first`, all paths have had their value."""
        return self._first and not self.missing and not self._in_string

    def feed(self, text: str) -> list[Match | Values | Piece]:
        """Returns the matches and pieces that text completes."""
        return self._select(self._core.feed(text))

    def close(self) -> list[Match | Values | Piece]:
        """Ends the input; returns the matches that its end completes."""
        return self._select(self._core.close())

    def _select(self, results: Results) -> list[Match | Values | Piece]:
        if not self._first and set(map(type, results)) == {tuple}:
            matches: list[Any] = results
            if self.missing:
                self.missing.difference_update(match[0] for match in matches)
            return matches
        selected: list[Match | Values | Piece] = []
        for item in results:
            if self.done:
                break
            if isinstance(item, tuple):
                if not self._first or item[0] in self.missing:
                    self.missing.discard(item[0])
                    selected.append(item)
            elif isinstance(item, Values):
                self.missing -= item.paths
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
    if value[0] != '"':
        return value
    return unescape(value[1:-1]) if "\\" in value else value[1:-1]


def plain_lines(lines: str) -> str:
    """Returns what `plain_text` does for many values whose texts stand one a line."""
    if '"' not in lines:
        return lines
    if any(mark in lines for mark in "\\{["):
        return "\n".join(map(plain_text, lines.split("\n")))
    return lines.replace('"', "")
