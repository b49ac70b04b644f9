"""JSON to values and back, by encoders and decoders that are made once: json.dumps with options makes one a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

# The encoders do not escape what is not ASCII.
to_json = json.JSONEncoder(ensure_ascii=False).encode  # with blanks: what people may read
to_compact_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # NDJSON records

MAX_DEPTH = 250  # arrays and objects in each other: more than data has, and less than any Python's recursion allows

# The decoder's own scanner, without the search for blanks around the value, which takes three calls.
_scan_once = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_msgspec_decode: Callable[[bytes], Any] | None = None
_msgspec_errors: tuple[type[Exception], ...] = ()


def use_msgspec() -> None:
    """Switches `decode` to msgspec: 20 ms to import, 6 times as fast, so worth it for thousands of events."""
    global _msgspec_decode, _msgspec_errors
    if _msgspec_decode is None:
        import msgspec

        _msgspec_errors = (msgspec.MsgspecError, ValueError, RecursionError)
        _msgspec_decode = msgspec.json.Decoder().decode


def decode(data: bytes) -> Any:
    """Decodes the JSON of one event. Raises ValueError (UnicodeDecodeError for invalid UTF-8) or RecursionError."""
    if _msgspec_decode is not None:
        try:
            return _msgspec_decode(data)
        except _msgspec_errors:  # msgspec refuses some texts that json accepts, such as lone surrogates
            pass
    text = data.decode()
    try:
        value, end = _scan_once(text, 0)
    except StopIteration:
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def loads_or_none(data: bytes) -> Any:
    """Decodes bytes that may be JSON; returns None where they are not."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def reject_constant(word: str) -> NoReturn:
    raise ValueError(f"JSON has no {word}")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if abs(value) == float("inf"):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


_decode_strict = json.JSONDecoder(parse_constant=reject_constant, parse_float=_finite_float).decode


def loads_strict(text: str) -> Any:
    """Decodes a text whose value is sent on as JSON.

    Raises ValueError also for NaN and Infinity, which json accepts though JSON lacks them, and for a number so large
    that it would become Infinity, or that Python does not read. Raises RecursionError beyond MAX_DEPTH levels.
    """
    try:
        value = _decode_strict(text)
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "int_max_str_digits" in str(error):
            raise ValueError("a number has too many digits") from None
        raise
    if text.count("[") + text.count("{") > MAX_DEPTH:
        check_depth(value)
    return value


FAULTS = {  # json's messages in words that fit after "not JSON:"
    "Expecting value": "a value is missing",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting ',' delimiter": "a comma is missing",
    "Illegal trailing comma before end of object": "a comma has nothing after it",
    "Illegal trailing comma before end of array": "a comma has nothing after it",
    "Extra data": "more follows the value",
    "Unterminated string starting at": "a string has no end",
    "Invalid control character at": "a string has a line end or another control character",
    "Invalid \\escape": "a string has a backslash that escapes nothing",
    "Invalid \\uXXXX escape": "a string has a \\u without four hexadecimal digits",
}


def fault(error: ValueError, has_line: bool = False) -> str:
    """Returns why a text is not JSON, with the place, counted from 1; `has_line`: the line is named before."""
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    message = FAULTS.get(error.msg) or FAULTS.get(error.msg.partition(": ")[0], error.msg)
    line = "" if has_line or error.lineno == 1 else f"line {error.lineno}, "
    return f"{message} at {line}character {error.colno}"


def check_depth(value: Any, depth: int = MAX_DEPTH) -> None:
    """Raises RecursionError for a value that is nested in more than `depth` levels."""
    if isinstance(value, Mapping | list | tuple):
        if not depth:
            raise RecursionError
        for item in value.values() if isinstance(value, Mapping) else value:
            check_depth(item, depth - 1)
