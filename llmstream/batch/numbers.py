"""JSON whose numbers keep their digits: `1.10` and `1e400` go into a prompt as the record has them."""

from __future__ import annotations

import json
from typing import Any

from ..core.json_codec import check_depth, loads_strict, reject_constant, to_compact_json


class Number(str):
    """A number as it is written."""

    __slots__ = ()


# Decodes a text; its numbers are Numbers. Raises ValueError also for NaN and Infinity, which json accepts.
loads = json.JSONDecoder(parse_constant=reject_constant, parse_float=Number, parse_int=Number).decode


def loads_or_none(text: str) -> Any:
    """Decodes a text; returns None where it is not JSON, or is nested too deeply."""
    try:
        value = loads(text)
        check_depth(value)
    except (ValueError, RecursionError):
        return None
    return value


def to_values(value: Any) -> Any:
    """Returns a value with int and float for its Numbers. Raises ValueError for one that Python does not hold."""
    if isinstance(value, Number):
        return loads_strict(value)
    if isinstance(value, dict):
        return {name: to_values(item) for name, item in value.items()}
    return [to_values(item) for item in value] if isinstance(value, list) else value


def to_text(value: Any) -> str:
    """Returns a value as compact JSON."""
    if isinstance(value, Number):
        return value
    if isinstance(value, dict):
        return "{" + ",".join([f"{to_compact_json(name)}:{to_text(item)}" for name, item in value.items()]) + "}"
    return "[" + ",".join(map(to_text, value)) + "]" if isinstance(value, list) else to_compact_json(value)
