"""Fields by jsonpath-ng's own dialect (arithmetic, `len`, `sub`, `sorted`, ...), on each complete document.

The dialect computes, so the results are Python's values written as JSON: 1.10 becomes 1.1.
"""

from __future__ import annotations

from typing import Any

from ...errors import UsageError
from ..json_codec import to_compact_json
from .automaton import Automaton
from .documents import MAX_SIZE, UNEVALUATED, UNFINISHED, Documents, Fault
from .extract import Extraction, Match, Results, parse_json
from .path import compile_path


def compile_ng(path: str) -> Any:
    """Compiles a path; raises UsageError for one that jsonpath-ng does not read."""
    if not path:
        raise UsageError("the empty path selects nothing: use $ for the whole document")
    from jsonpath_ng.ext.parser import parse

    try:
        return parse(path)
    except Exception as error:  # not only its own: whatever a function's operand makes Python raise comes through
        raise UsageError(f"jsonpath-ng does not read {path}: {error}") from None


class NgFields(Documents):
    """Text in; out come the Matches in each document that a chunk completes, and Faults."""

    def __init__(self, paths: list[Any], limit: int = MAX_SIZE) -> None:
        self._paths = paths
        self._documents: Results = []
        self._results: Results = []
        super().__init__(Extraction(Automaton([compile_path("$")]), self._documents, limit), 1 << 62, arrays=True)

    def feed(self, text: str) -> Results:
        """Returns the matches and faults of the documents that text completes."""
        self.scan(text)
        return self._drain()

    def close(self) -> Results:
        """Ends the input; returns a Fault for a document that its end cuts."""
        self.end()
        return self._drain()

    def _drain(self) -> Results:
        results, self._results = self._results, []
        return results

    def on_end(self, text: str, i: int) -> None:
        for match in self._documents:
            assert isinstance(match, tuple)
            self._evaluate(match)
        self._documents.clear()

    def _evaluate(self, document: Match) -> None:
        try:
            value = parse_json(document[2])
            for number, path in enumerate(self._paths):
                for datum in path.find(value):
                    text = to_compact_json(datum.value)
                    self._results.append((number, str(datum.full_path), text))
        except Exception as error:  # the dialect's functions raise whatever their operands make Python raise
            self._results.append(Fault(self._start_line, f"{type(error).__name__}: {error}", UNEVALUATED))

    def on_skipped(self, text: str, i: int, reason: str) -> None:
        self._results.append(Fault(self._start_line, reason))

    def on_cut(self, reason: str) -> None:
        self._results.append(Fault(self._start_line, reason, UNFINISHED))
