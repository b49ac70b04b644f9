"""TOML that its users write: what is wrong in it is told with file, line and key.

tomllib tells lines of what does not parse only. The line of a key is found, once it is needed, by parsing longer and
longer beginnings of the text: the statement that brings the key begins behind the last one that lacks it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from .errors import UsageError, nearest

Keys = tuple[str, ...]


class Document:
    """A parsed text; `first` is the line of the file at which it begins. Raises UsageError where it does not parse."""

    def __init__(self, text: str, path: str, first: int = 1) -> None:
        self._lines, self._path, self._first = text.split("\n"), path, first
        self.data = self._parse(text)

    def error(self, keys: Keys, message: str) -> UsageError:
        """The error that something is wrong with the value of a key."""
        return UsageError(f"{self._path}:{self._first - 1 + self._line(keys)}: {'.'.join(keys)}: {message}")

    def check_names(self, keys: Keys, names: Collection[str], allowed: Collection[str]) -> None:
        """Raises UsageError for the first name below `keys` that is not allowed."""
        for name in names:
            if name not in allowed:
                raise self.error((*keys, name), unknown(name, allowed))

    def table(self, keys: Keys, value: object) -> dict[str, Any]:
        """The value of a key that is to be a table."""
        if not isinstance(value, dict):
            raise self.error(keys, f"this is {kind(value)}: a table is wanted")
        return value

    def string(self, keys: Keys, value: object) -> str:
        """The value of a key that is to be a text, and not an empty one."""
        if not isinstance(value, str):
            raise self.error(keys, f"this is {kind(value)}: a string is wanted")
        if not value:
            raise self.error(keys, "this is empty: give a value, or leave the key out")
        return value

    def strings(self, keys: Keys, value: object) -> tuple[str, ...]:
        """The value of a key that is to be one text or an array of them."""
        return tuple(self.string(keys, one) for one in (value if isinstance(value, list) and value else [value]))

    def _parse(self, text: str) -> dict[str, Any]:
        import tomllib

        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            said = str(error)
            place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", said)
            line = int(place[1]) if place and place[1] else len(self._lines)
            what = said[: place.start()] if place else said
            column = f":{place[2]}" if place and place[2] else ""
            raise UsageError(f"{self._path}:{self._first - 1 + line}{column}: this is no TOML: {what}") from None
        except RecursionError:
            raise UsageError(f"{self._path}: arrays or tables are nested too deeply") from None

    def _line(self, keys: Keys) -> int:
        import tomllib

        begin = 1
        for number in range(1, len(self._lines) + 1):
            try:
                data = tomllib.loads("\n".join(self._lines[:number]))
            except tomllib.TOMLDecodeError:
                continue  # within a value of several lines
            if _holds(data, keys):
                return begin
            begin = number + 1
        return 1


def _holds(data: Any, keys: Keys) -> bool:
    for key in keys:
        if not isinstance(data, Mapping) or key not in data:
            return False
        data = data[key]
    return True


def unknown(name: str, allowed: Collection[str]) -> str:
    """What to say of a name that is not among those allowed."""
    near = nearest(name, allowed)
    hint = f"did you mean {near}?" if near else f"it is one of {', '.join(allowed)}"
    return f"there is no such key: {hint}"


def kind(value: object) -> str:
    """A value's type, in words of TOML's."""
    kinds = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "a table",
    }
    return kinds.get(type(value), "a date or time")
