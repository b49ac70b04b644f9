"""Results of the JSON cores, in a form that can be compared."""

from __future__ import annotations

from llmstream.core.json.documents import Fault
from llmstream.core.json.extract import normalized_path


def readable(results: list[object]) -> list[object]:
    """Returns matches with their paths, objects as they are, faults as the user reads them."""
    return [
        (item.line, item.kind, item.reason)
        if isinstance(item, Fault)
        else (item[0], normalized_path(item[1]), item[2])
        if isinstance(item, tuple)
        else item
        for item in results
    ]
