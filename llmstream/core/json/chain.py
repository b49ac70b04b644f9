"""A chain of segments, each a name or a wildcard for elements, as `a.b[*].c`: msgspec decodes it as one type."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from operator import attrgetter
from typing import Any

from .automaton import Location
from .bulk import escape_of, is_literal, msgspec

_value = attrgetter("value")


class Chain:
    """Decodes containers for the values at the end of `steps`: each is the name of a member, or None for all elements.

    The names have to be literal ones.
    """

    def __init__(self, steps: list[str | None]) -> None:
        self._steps = steps
        self._names = {f'"{name}"': name for name in steps if name is not None}
        self._hidden = escape_of(self._names.values())
        type: Any = msgspec().Raw
        for name in reversed(steps):
            type = list[type] if name is None else _with_member(name, type)
        self._decode_lines = msgspec().json.Decoder(type).decode_lines

    def values(self, text: str, locations: list[Location] | None) -> tuple[list[Any], list[Location] | None] | None:
        """Returns (values as Raw, their locations) for containers with white space between them.

        `locations` are those of the containers, or None if they are not needed. Returns None if a value on the way has
        another type than the path needs, or a name may occur twice in an object, or elsewhere.
        """
        try:
            values: list[Any] = self._decode_lines(text)
        except msgspec().ValidationError:
            return None
        if "\\" in text and self._hidden(text):
            return None
        members: Counter[str] = Counter()
        for name in self._steps:
            if locations is not None:
                locations = _below(name, values, locations)
            if name is None:
                values = list(chain.from_iterable(values))
            else:
                values = [value for value in map(_value, values) if value is not None]
                members[name] += len(values)
        if any(text.count(quoted) != members[name] for quoted, name in self._names.items()):
            return None
        return values, locations


def is_step(name: str) -> bool:
    """Whether a name can be a step of a chain."""
    return bool(name) and is_literal(name)


def _with_member(name: str, type: Any) -> Any:
    """Returns the type of objects of which one member is decoded, as their `value`."""
    return msgspec().defstruct("Members", [("value", type, None)], rename={"value": name}, gc=False)


def _below(name: str | None, containers: list[Any], locations: list[Location]) -> list[Location]:
    pairs = zip(locations, containers, strict=True)
    if name is None:
        return [(at, index) for at, elements in pairs for index in range(len(elements))]
    return [(at, name) for at, members in pairs if members.value is not None]
