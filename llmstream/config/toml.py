"""Parses TOML that users write; errors name file, line and key.

tomllib gives the line of a syntax error only. The line of a key is found when an error needs it, by parsing the text
again a statement at a time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..errors import UsageError, nearest

Keys = tuple[str, ...]

MAX_CHARACTERS = 1_000_000  # of TOML: seconds of tomllib's time at the most
MAX_DOTS = 100  # in one key: tomllib's time grows with the square of them

# Each also matches a string that lacks its end.
_STRINGS = (
    r'"""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+(?:"{3,5})?'
    r"|'''[^']*+(?:'(?!'')[^']*+)*+(?:'{3,5})?"
    r'|"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"?'
    r"|'[^'\n]*+'?"
)
_tokens = re.compile(rf"{_STRINGS}|\#[^\n]*+|[\[\]{{}}\n]", re.DOTALL)
_long_key = re.compile(rf"(?:(?:[A-Za-z0-9_-]++|\"\")[ \t]*+\.[ \t]*+){{{MAX_DOTS}}}")


class Document:
    """A parsed text that begins at line `first` of its file. Raises UsageError for invalid TOML."""

    def __init__(self, text: str, path: str, first: int = 1) -> None:
        self._text, self._path, self._first = text.replace("\r\n", "\n"), path, first
        self.data = self._parse(text)

    def error(self, keys: Keys, message: str) -> UsageError:
        """Returns an error about the value of a key."""
        return UsageError(f"{self._path}:{self._first - 1 + self._line(keys)}: {'.'.join(keys)}: {message}")

    def check_names(self, keys: Keys, names: Collection[str], allowed: Collection[str]) -> None:
        """Raises UsageError for the first name below `keys` that is not allowed."""
        for name in names:
            if name not in allowed:
                raise self.error((*keys, name), unknown(name, allowed))

    def table(self, keys: Keys, value: object) -> dict[str, Any]:
        """Returns the value of a key, a table. Raises UsageError for any other."""
        if not isinstance(value, dict):
            raise self.error(keys, f"must be a table, not {kind(value)}")
        return value

    def string(self, keys: Keys, value: object) -> str:
        """Returns the value of a key, a string that is not empty. Raises UsageError for any other."""
        if not isinstance(value, str):
            raise self.error(keys, f"must be a string, not {kind(value)}")
        if not value:
            raise self.error(keys, "is empty: set a value, or leave the key out")
        if "\0" in value:  # which no name of a file, a program or a variable can have
            raise self.error(keys, "has the character NUL: leave it out")
        return value

    def strings(self, keys: Keys, value: object) -> tuple[str, ...]:
        """Returns the value of a key, a string or an array of strings, as a tuple. Raises UsageError for any other."""
        return tuple(self.string(keys, one) for one in (value if isinstance(value, list) and value else [value]))

    def _parse(self, text: str) -> dict[str, Any]:
        import tomllib

        if len(text) > MAX_CHARACTERS:
            raise UsageError(f"{self._path}: longer than {MAX_CHARACTERS} characters of TOML: move text to other files")
        if text.count(".") >= MAX_DOTS and _long_key.search(_tokens.sub(_without_text, text)):
            raise UsageError(f"{self._path}: a key has more than {MAX_DOTS} parts")
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
            line = int(place[1]) if place and place[1] else self._line(None)
            reason = message[: place.start()] if place else message
            column = f":{place[2]}" if place and place[2] else ""
            raise UsageError(f"{self._path}:{self._first - 1 + line}{column}: invalid TOML: {reason}") from None
        except RecursionError:
            raise UsageError(f"{self._path}: arrays or tables are nested too deeply") from None
        except ValueError:  # of int()
            raise UsageError(f"{self._path}: invalid TOML: an integer has too many digits") from None

    def _line(self, keys: Keys | None) -> int:
        """Returns the line at which the statement with a key begins; for None, the last statement."""
        import tomllib

        line = 1
        header: Keys = ()
        for number, statement in _statements(self._text):
            line = number
            if keys is None:
                continue
            data = tomllib.loads(statement)
            if statement.lstrip().startswith("["):
                header, data = _path(data), {}
            if _holds(header, data, keys):
                break
        return line


def _without_text(token: re.Match[str]) -> str:
    """Returns a token with no text in it that is not TOML: comments and what stands in quotes."""
    return "" if token[0][0] == "#" else '""' if token[0][0] in "\"'" else token[0]


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yields the number of the line at which each statement begins, and its text: a line, or several in brackets."""
    begin, line, depth = 0, 1, 0
    for token in _tokens.finditer(text):
        mark = token[0]
        if mark in ("[", "{"):
            depth += 1
        elif mark in ("]", "}"):
            depth -= 1
        elif mark == "\n" and depth <= 0:
            statement = text[begin : token.end()]
            if not statement.isspace():
                yield line, statement
            begin, line, depth = token.end(), line + statement.count("\n"), 0
    if text[begin:].strip():
        yield line, text[begin:]


def _path(data: Any) -> Keys:
    """Returns the names in the header of a table."""
    path: Keys = ()
    while data:
        [(name, data)] = data.items()
        path = (*path, name)
        data = {} if data == [{}] else data  # the header of an array of tables
    return path


def _holds(header: Keys, data: Any, keys: Keys) -> bool:
    """Returns whether the header, or the data below it, has the keys."""
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
    """Returns a message about a key that is not among those allowed."""
    near = nearest(name, allowed)
    hint = f"did you mean {near}?" if near else f"the keys are {', '.join(allowed)}"
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
