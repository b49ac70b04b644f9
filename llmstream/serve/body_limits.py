"""Bounds on request bodies: what they hold, the memory of all of them together, and the time of their patterns.

A body of a few megabytes can hold millions of values, which take seconds to check and gigabytes of memory. So the
values are counted while the bytes arrive, before the JSON is decoded, and the items of lists before they are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_VALUES = 100_000  # of a body, at any depth
VALUE_BYTES = 100  # about what one takes beside its text
UNCOUNTED_BYTES = 16 * 1024  # of each body: ordinary requests pass also while large ones fill the memory
LARGE_BYTES = 64 * 1024  # a body above is decoded and checked in a thread
MAX_UNTIL_CHARACTERS = 64 * 1024  # of all texts in `until`

MAX_CHECKED_SCHEMA = 16 * 1024  # characters of a schema by which an answer is checked

# CPU time of clients' regular expressions and of checks by their schemas, while which all others wait.
REGEX_CPU_S = 0.2  # of one, for 65,536 characters of text
ALL_REGEXES_CPU_S = 0.4  # of all together
REGEX_CPU_REFILL = 0.1  # seconds more for them in each second

# Bounds on fields, in the words of JSON Schema. They are in the OpenAPI description, too.
BODY_BOUNDS: dict[str, Any] = {"maxProperties": 100}
UNTIL_BOUNDS: dict[str, dict[str, Any]] = {
    "regex": {"maxItems": 32},
    "fixed": {"maxItems": 32},
    "window": {"maximum": 1024 * 1024},
}
FIELD_BOUNDS: dict[str, dict[str, Any]] = {
    "model": {"maxLength": 256},
    "stop": {"maxItems": 32},
    "messages": {"maxItems": 4096},
    "input": {"maxItems": 4096},
    "tools": {"maxItems": 256},
    "until": {"maxProperties": 32},
}
_MEASURES = {"maxProperties": (dict, "fields"), "maxItems": (list, "items"), "maxLength": (str, "characters")}


class ValueCounter:
    """Counts the values of a JSON text that arrives in pieces: a comma or an opening bracket begins one.

    The count of what is not JSON is meaningless behind the first error, where a decoder stops.
    """

    def __init__(self) -> None:
        self.count = 1
        self._in_string = self._is_escaped = False

    def feed(self, piece: bytes) -> None:
        """Counts the values that begin in a piece."""
        if not piece:
            return
        piece = piece[self._is_escaped :]
        backslashes = len(piece) - len(piece.rstrip(b"\\"))
        self._is_escaped = backslashes % 2 == 1
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        self.count += outside.count(b",") + outside.count(b"[") + outside.count(b"{")


class Memory:
    """The memory that the bodies of all requests under way may take, in bytes."""

    def __init__(self, most: int, max_body: int) -> None:
        """`most` is the limit, unless two of the largest bodies need more."""
        self._limit = self.limit_of(most, max_body)
        self.used = 0

    @staticmethod
    def limit_of(most: int, max_body: int) -> int:
        return max(most, 2 * max_body)

    def reserve(self) -> Reservation:
        """Returns a reservation of nothing."""
        return Reservation(self)

    def has(self, more: int) -> bool:
        """Whether there is room for more bytes."""
        return self.used + more <= self._limit


class Reservation:
    """The memory of one body, from its first byte to the end of its answer."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._size = 0

    def grow(self, size: int) -> bool:
        """Makes the reservation at least this large; returns False where that is more than there is."""
        more = max(0, size - UNCOUNTED_BYTES) - self._size
        if more > 0 and not self._memory.has(more):
            return False
        self._size += max(0, more)
        self._memory.used += max(0, more)
        return True

    def release(self) -> None:
        self._memory.used -= self._size
        self._size = 0


def check_bounds(body: Any) -> None:
    """Raises ValueError if a body, or a field of it, has more items than its bound."""
    if not isinstance(body, dict):
        return
    _check("the body", body, BODY_BOUNDS)
    for name, bounds in FIELD_BOUNDS.items():
        _check(name, body.get(name), bounds)
    until = body.get("until")
    if not isinstance(until, dict):
        return
    characters = 0
    for name, value in until.items():
        _check(f"until.{name}", value, UNTIL_BOUNDS.get(name, {}))
        texts = value if isinstance(value, list) else [value]
        characters += sum(len(text) for text in texts if isinstance(text, str))
    if characters > MAX_UNTIL_CHARACTERS:
        raise ValueError(f"until has more than {MAX_UNTIL_CHARACTERS} characters")


def _check(name: str, value: Any, bounds: Mapping[str, int]) -> None:
    for keyword, most in bounds.items():
        if keyword == "maximum":
            if type(value) is int and value > most:
                raise ValueError(f"{name} is more than {most}")
        elif isinstance(value, _MEASURES[keyword][0]) and len(value) > most:
            raise ValueError(f"{name} has more than {most} {_MEASURES[keyword][1]}")
