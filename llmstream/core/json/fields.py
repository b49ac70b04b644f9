"""Chosen fields of the JSON documents in any text, each as soon as it is complete, while its document still grows.

A document is an object or an array anywhere in the text; where a path selects the document itself, a line that
holds nothing but a JSON scalar is one, too.
"""

from __future__ import annotations

import re

from .automaton import Automaton
from .documents import MAX_SIZE, UNFINISHED, Documents, Fault
from .extract import Extraction, Found, Match, Piece
from .grammar import SCALAR
from .path import Path

__all__ = ["Fault", "Fields", "Match", "Piece"]

_scalar = re.compile(rf"[ \t\r]*+({SCALAR})[ \t\r]*+").fullmatch


class Fields(Documents):
    """`feed` returns what a chunk completes, in the order of completion: matches, pieces of a followed string, faults.

    `limit` bounds what must be held, in characters: one selected value, or one that a filter or an index from the end
    makes wait.
    """

    def __init__(self, paths: list[Path], limit: int = MAX_SIZE, *, follow: bool = False) -> None:
        self._automaton = Automaton(paths)
        self._found: Found = []
        self._extraction = Extraction(self._automaton, self._found, limit, follow=follow)
        super().__init__(self._extraction, 1 << 62, arrays=True)
        self._names = None if follow else self._automaton.root.names()
        self._scalars = bool(self._automaton.root.accepts)
        self._value_limit = limit
        self._prose_line: list[str] | None = []  # the pieces of the line at hand while it may be a scalar
        self._prose_size = 0

    def feed(self, text: str) -> Found:
        """What text completes."""
        self.take(text)
        return self._drain()

    def close(self) -> Found:
        """What the end of the input completes, or cuts."""
        if self._scalars:
            self._end_line()
        self.end()
        return self._drain()

    def _drain(self) -> Found:
        found = self._found[:]
        self._found.clear()
        return found

    def started(self, text: str, i: int, lead: str) -> None:
        self._extraction.line = self._start_line
        self._prose_line = None

    def skipped(self, text: str, i: int, why: str) -> None:
        self._found.append(Fault(self._start_line, why))

    def cut(self, why: str) -> None:
        self._found.append(Fault(self._start_line, why, UNFINISHED))

    def whole(self, text: str, i: int, n: int) -> int:
        """Takes one object after another while the guesses hold."""
        names, taken = self._names, i
        while names is not None and i >= 0:
            end, matches = names.take_lines(text, i, n) if n - i <= self._value_limit else (i, [])
            if end == i:
                end, matches = names.take(text, i, n)
            if end == i or end - i > self._value_limit:  # a value in it may be too long: the scanner tells
                break
            self._found += matches
            taken = end
            i = text.find("{", end, n)
            if text.find("[", end, i if i >= 0 else n) >= 0:
                break
        return taken

    # Scalars as documents.

    def prose(self, text: str, i: int, n: int) -> None:
        if not self._scalars:
            return
        while (end := text.find("\n", i, n)) >= 0:
            self._add(text[i:end])
            self._end_line()
            i = end + 1
        self._add(text[i:n])

    def _add(self, piece: str) -> None:
        if self._prose_line is not None and piece:
            self._prose_line.append(piece)
            self._prose_size += len(piece)
            if self._prose_size > self._value_limit:
                self._prose_line = None

    def _end_line(self) -> None:
        if self._prose_line and (match := _scalar("".join(self._prose_line))):
            self._extraction.scalar(match[1])
        self._prose_line, self._prose_size = [], 0
