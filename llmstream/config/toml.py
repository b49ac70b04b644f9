"""TOML that its users write: what is wrong in it is told with file, line and key.

tomllib tells the lines of what does not parse only. The line of a key is found once it is needed, by parsing the text
again a statement at a time: lines are added until what is there parses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import UsageError, nearest

Keys = tuple[str, ...]


class Document:
    """A parsed text; `first` is the line of the file at which it begins. Raises UsageError where it does not parse."""

    def __init__(self, text: str, path: str, first: int = 1) -> None:
        self._lines, self._path, self._first = text.replace("\r\n", "\n").split("\n"), path, first
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
            line = int(place[1]) if place and place[1] else self._line(None)
            what = said[: place.start()] if place else said
            column = f":{place[2]}" if place and place[2] else ""
            raise UsageError(f"{self._path}:{self._first - 1 + line}{column}: this is no TOML: {what}") from None
        except RecursionError:
            raise UsageError(f"{self._path}: arrays or tables are nested too deeply") from None

    def _line(self, keys: Keys | None) -> int:
        """The line at which the statement begins that brings a key; None: the last one, which lacks its end."""
        import tomllib

        last, begin = 1, 1
        header: Keys = ()
        for number in range(1, len(self._lines) + 1):
            statement = "\n".join(self._lines[begin - 1 : number])
            try:
                data = tomllib.loads(statement)
            except tomllib.TOMLDecodeError:
                continue  # within a value of several lines
            if statement.lstrip().startswith("["):
                header, data = _path(data), {}
            if keys is not None and _holds(header, data, keys):
                return begin
            last, begin = begin, number + 1
        return begin if begin <= len(self._lines) else last


def _path(data: Any) -> Keys:
    """The names in the header of a table."""
    path: Keys = ()
    while data:
        [(name, data)] = data.items()
        path = (*path, name)
        data = {} if data == [{}] else data  # of an array of tables
    return path


def _holds(header: Keys, data: Any, keys: Keys) -> bool:
    """Whether the header, or the data below it, brings the keys."""
    if keys == header[: len(keys)]:
        return True
    if header != keys[: len(header)]:
        return False
    for key in keys[len(header) :]:
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
