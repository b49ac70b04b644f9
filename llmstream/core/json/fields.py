"""The values at JSONPaths in the JSON documents of any text, each as soon as it is complete.

A document is an object or an array anywhere in the text; where a path selects the document itself, a line that
contains nothing but a JSON scalar is one, too.
"""

from __future__ import annotations

import re

from .automaton import Automaton
from .documents import MAX_SIZE, UNFINISHED, Documents, Fault
from .extract import Extraction, Match, Piece, Results
from .grammar import SCALAR
from .path import Path

__all__ = ["Fault", "Fields", "Match", "Piece"]

_scalar = re.compile(rf"[ \t\r]*+({SCALAR})[ \t\r]*+").fullmatch


class Fields(Documents):
    """Text in; out come, in the order of completion, Matches, Pieces of a followed string, and Faults.

    `limit` bounds each value that must be held, in characters: a selected one, or one that a filter or an index from
    the end makes wait. With `follow`, a selected string comes in Pieces while it grows.
    """

    def __init__(self, paths: list[Path], limit: int = MAX_SIZE, *, follow: bool = False) -> None:
        self._automaton = Automaton(paths)
        self._results: Results = []
        self._extraction = Extraction(self._automaton, self._results, limit, follow=follow)
        super().__init__(self._extraction, 1 << 62, arrays=True)
        self._bulk = None if follow else self._automaton.root.bulk_values
        self._selects_scalars = bool(self._automaton.root.accepts)
        self._value_limit = limit
        self._line_parts: list[str] | None = []  # the parts of the line so far while it may be a scalar
        self._line_size = 0  # characters in them

    def feed(self, text: str) -> Results:
        """Returns the results that text completes."""
        self.scan(text)
        return self._drain()

    def close(self) -> Results:
        """Ends the input; returns the results that its end completes, and a Fault for a document that it cuts."""
        if self._selects_scalars:
            self._end_line()
        self.end()
        return self._drain()

    def _drain(self) -> Results:
        results = self._results[:]  # a copy, since the extraction appends to the list
        self._results.clear()
        return results

    def on_start(self, text: str, i: int, lead: str) -> None:
        self._extraction.line = self._start_line
        self._line_parts = None

    def on_skipped(self, text: str, i: int, reason: str) -> None:
        self._results.append(Fault(self._start_line, reason))

    def on_cut(self, reason: str) -> None:
        self._results.append(Fault(self._start_line, reason, UNFINISHED))

    def take_whole(self, text: str, i: int, n: int) -> int:
        """Takes one object after another while the guesses hold."""
        bulk, taken_to = self._bulk, i
        while bulk is not None and i >= 0:
            end, selections = bulk.decode_lines(text, i, n) if n - i <= self._value_limit else (i, [])
            if end == i:
                end, selections = bulk.decode(text, i, n)
            if end == i or end - i > self._value_limit:  # a value may be too long, which the extraction reports
                break
            self._results += selections
            taken_to = end
            i = text.find("{", end, n)
            if text.find("[", end, i if i >= 0 else n) >= 0:
                break
        return taken_to

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
