"""Fields by jsonpath-ng's own dialect (arithmetic, `len`, `sub`, `sorted`, ...), on each complete document.

The dialect computes, so what comes out are Python's values written as JSON: 1.10 becomes 1.1.
"""

from __future__ import annotations

import json
from typing import Any

from ...errors import UsageError
from .automaton import Automaton
from .documents import MAX_SIZE, UNFINISHED, Documents, Fault
from .extract import Extraction, Found, Match, parsed
from .path import compile_path


def compile_ng(path: str) -> Any:
    """Compiles a path; raises UsageError for one that jsonpath-ng does not read."""
    if not path:
        raise UsageError("the empty path selects nothing: say $ for the whole document")
    from jsonpath_ng.ext.parser import parse

    try:
        return parse(path)
    except Exception as error:  # not only its own: what a function's operand makes Python raise comes through
        raise UsageError(f"jsonpath-ng does not read {path}: {error}") from None


class NgFields(Documents):
    """`feed` returns the matches of each document that a chunk completes: (number of the path, its path, JSON)."""

    def __init__(self, paths: list[Any], limit: int = MAX_SIZE) -> None:
        self._paths = paths
        self._whole: Found = []
        self._found: Found = []
        super().__init__(Extraction(Automaton([compile_path("$")]), self._whole, limit), 1 << 62, arrays=True)

    def feed(self, text: str) -> Found:
        """The matches and faults of the documents that text completes."""
        self.take(text)
        return self._drain()

    def close(self) -> Found:
        """What the end of the input cuts."""
        self.end()
        return self._drain()

    def _drain(self) -> Found:
        found, self._found = self._found, []
        return found

    def ended(self, text: str, i: int) -> None:
        for match in self._whole:
            assert isinstance(match, tuple)
            self._evaluate(match)
        self._whole.clear()

    def _evaluate(self, match: Match) -> None:
        try:
            value = parsed(match[2])
            for number, path in enumerate(self._paths):
                for datum in path.find(value):
                    text = json.dumps(datum.value, ensure_ascii=False, separators=(",", ":"))
                    self._found.append((number, str(datum.full_path), text))
        except Exception as error:  # the dialect's functions raise whatever their operands make Python raise
            self._found.append(Fault(self._start_line, f"{type(error).__name__}: {error}", "unjudged"))

    def skipped(self, text: str, i: int, why: str) -> None:
        self._found.append(Fault(self._start_line, why))

    def cut(self, why: str) -> None:
        self._found.append(Fault(self._start_line, why, UNFINISHED))
