"""Fields by jsonpath-ng's own dialect (arithmetic, `len`, `sub`, `sorted`, ...), on each complete document.

The dialect computes, so the results are Python's values written as JSON: 1.10 becomes 1.1.
"""

from __future__ import annotations

import re
from typing import Any

from ...errors import UsageError
from ..json_codec import to_compact_json
from ..kinds import shorten
from .documents import MAX_SIZE, UNEVALUATED, Fault
from .extract import parse_json
from .fields import Fields
from .path import compile_path


def compile_ng(path: str) -> Any:
    """Compiles a path; raises UsageError for one that jsonpath-ng does not read."""
    if not path:
        raise UsageError("the empty path selects nothing: use $ for the whole document")
    from jsonpath_ng.ext.parser import parse

    try:
        return parse(path)
    except Exception as error:  # its functions let any exception about their operands through
        reason = str(error).replace(path, shorten(path))
        raise UsageError(f"jsonpath-ng does not read {shorten(path)}: {reason}") from None


class NgFields(Fields):
    """Selects as `Fields` does, by paths of `compile_ng`, from each complete object or array, which it buffers."""

    def __init__(self, paths: list[Any], limit: int = MAX_SIZE) -> None:
        super().__init__([compile_path("$")], limit)
        self._selects_scalars = False
        self._paths = paths

    def on_end(self, text: str, i: int) -> None:
        document = self._results.pop()  # the match of $
        assert isinstance(document, tuple)
        try:
            value = parse_json(document[2])
            for number, path in enumerate(self._paths):
                for datum in path.find(value):
                    self._results.append((number, str(datum.full_path), to_compact_json(datum.value)))
        except Exception as error:  # the dialect's functions raise whatever their operands make Python raise
            name = "invalid regex" if isinstance(error, re.error) else type(error).__name__
            self._results.append(Fault(self._start_line, f"{name}: {error}", UNEVALUATED))
