"""The kinds of values that options take: which values of Python, TOML and JSON each accepts, and how it reads text.

A kind raises ValueError; its message continues after the option's name: "must be a whole number, not 1.5". Each kind
has its JSON Schema for HTTP bodies, and its annotation for Python.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN_CHARACTERS = 40  # of a wrong value, in a message
COROUTINE = 0x80  # inspect.CO_COROUTINE, without the import


def shown(value: object) -> str:
    """The value as JSON for a message, cut where it is long."""
    import json

    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr)
    except (ValueError, RecursionError):
        text = "a value that is nested too deeply, or too long"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."


class Kind:
    """A kind of values. `wanted` is the noun phrase for messages, `repeatable` whether an option is a list of them."""

    wanted = "a string"
    accepts: type = str
    json_schema: Mapping[str, Any] = {"type": "string"}
    choices: tuple[str, ...] = ()
    is_flag = False
    is_path = False  # whether the value, or its items, may be file names
    repeatable = False

    def parse(self, value: Any, files: bool = False) -> Any:
        """Returns the checked value. `files` says whether a string may name a file. Raises ValueError."""
        if not isinstance(value, self.accepts):
            raise self.wrong(value)
        return value

    def read(self, text: str) -> Any:
        """Returns the value that a text of the command line or of a file stands for. Raises ValueError, UsageError."""
        return self.parse(text, files=True)

    def join(self, items: Sequence[Any]) -> Any:
        """Returns the value of a repeatable option from the values that `read` gave."""
        return tuple(items)

    def place(self, value: Any, folder: str) -> Any:
        """Returns the value with its relative path, if there is such a file in the folder, starting there."""
        if isinstance(value, list):
            return [self.place(item, folder) for item in value]
        if not (self.is_path and value and isinstance(value, str)):
            return value
        path = os.path.join(folder, os.path.expanduser(value))
        return path if os.path.isfile(path) else value

    def wrong(self, value: object) -> ValueError:
        return ValueError(f"must be {self.wanted}, not {shown(value)}")


class Flag(Kind):
    """True or False."""

    wanted = "true or false"
    json_schema: Mapping[str, Any] = {"type": "boolean"}
    accepts = bool
    is_flag = True


class Integer(Kind):
    """A whole number within bounds."""

    def __init__(self, least: int = -(2**63), most: int = 2**64) -> None:
        self._least, self._most = least, most
        bounds = f" from {least} to {most}" if most < 2**31 - 1 else f" of at least {least}" if least >= 0 else ""
        self.wanted = f"a whole number{bounds}"
        self.json_schema = {"type": "integer", "minimum": least, "maximum": most}

    def parse(self, value: Any, files: bool = False) -> int:
        if type(value) is not int or not self._least <= value <= self._most:  # True is an int otherwise
            raise self.wrong(value)
        return value

    def read(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise self.wrong(text) from None
        return self.parse(value)


class Number(Kind):
    """A finite number, above a bound."""

    def __init__(self, above: float = float("-inf")) -> None:
        self._above = above
        self.wanted = "a number" if above == float("-inf") else f"a number above {above:g}"
        self.json_schema = {"type": "number"}

    def parse(self, value: Any, files: bool = False) -> float:
        if type(value) not in (int, float) or not self._fits(value):
            raise self.wrong(value)
        number: float = value
        return number

    def read(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise self.wrong(text) from None
        if not self._fits(value):
            raise self.wrong(text)
        return value

    def _fits(self, value: float) -> bool:
        try:
            return self._above < value and abs(float(value)) < float("inf")
        except OverflowError:  # an int that is larger than any float
            return False


class Seconds(Number):
    """A time in seconds, above 0, or with `or_none` from 0 on, which then is no limit."""

    def __init__(self, or_none: bool = True) -> None:
        super().__init__(-5e-324 if or_none else 0.0)  # the largest number below 0
        self.wanted = f"a number of seconds{', 0 or more' if or_none else ' above 0'}"
        self.json_schema = {"type": "number", "minimum": 0}


class Size(Kind):
    """A size in text: 65536, or with a unit of 1024: 64K, 64M, 1G."""

    wanted = "a size such as 64K, 64M or 1G"

    def read(self, text: str) -> int:
        number = text.upper().removesuffix("B").removesuffix("I")
        digits = number.rstrip("KMG")
        unit = number.removeprefix(digits)
        if not (digits.isascii() and digits.isdigit() and int(digits) and len(unit) < 2):
            raise self.wrong(text)
        return int(digits) << 10 * " KMG".index(unit or " ")


class Choice(Kind):
    """One of several words."""

    def __init__(self, *choices: str) -> None:
        self.choices = choices
        self.wanted = f"one of {', '.join(choices)}"
        self.json_schema = {"type": "string", "enum": list(choices)}

    def parse(self, value: Any, files: bool = False) -> Any:
        if value not in self.choices:
            raise self.wrong(value)
        return value


class Text(Kind):
    """A string."""


class Texts(Kind):
    """One string, or several."""

    wanted = "a string or an array of strings"
    json_schema: Mapping[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    repeatable = True

    def parse(self, value: Any, files: bool = False) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise self.wrong(value)
        return tuple(items)

    def read(self, text: str) -> str:
        return text


class Files(Texts):
    """Names of files, URLs, or "-" for stdin."""

    is_path = True


class Model(Kind):
    """A model's name; the name of a model file or of a recording is a path."""

    json_schema: Mapping[str, Any] = {"type": "string", "minLength": 1}

    def place(self, value: Any, folder: str) -> Any:
        from ..config.file import placed_model

        return placed_model(value, folder) if isinstance(value, str) else value


class TextOrFile(Kind):
    """A string; on the command line and in files, `@PATH` stands for what the file at PATH holds."""

    def read(self, text: str) -> str:
        if not text.startswith("@"):
            return text
        from ..config.textfile import read_text

        return read_text(text[1:])

    def place(self, value: Any, folder: str) -> Any:
        if isinstance(value, str) and value.startswith("@"):
            return f"@{os.path.join(folder, os.path.expanduser(value[1:]))}"
        return value


class Schema(Kind):
    """A JSON Schema: an object, its JSON, or the short notation; a string may name a file where files are allowed.

    Raises UsageError beside ValueError: an error within a schema names its place there.
    """

    wanted = "an object or fields such as 'name, age int'"
    json_schema: Mapping[str, Any] = {"type": "object"}
    is_path = True

    def parse(self, value: Any, files: bool = False) -> dict[str, Any]:
        from ..core import schema

        if isinstance(value, Mapping):
            schema.check(dict(value))
            return dict(value)
        if not isinstance(value, str):
            raise self.wrong(value)
        notation = value.lstrip().startswith(("{", "[")) or "\n" in value
        if files and not notation and (os.path.exists(value) or value.endswith(".json")):
            from ..config.textfile import read_text

            value = read_text(value)
        return schema.parse(value)


class Items(Kind):
    """An array of objects; a string names a file that holds it where files are allowed. The builder reads it."""

    wanted = "an array"
    json_schema: Mapping[str, Any] = {"type": "array", "items": {"type": "object"}}
    is_path = True

    def parse(self, value: Any, files: bool = False) -> Any:
        if isinstance(value, str) and files:
            return value
        if not isinstance(value, list | tuple):
            raise self.wrong(value)
        return list(value)


class Fields(Kind):
    """Fields of a JSON object. Text is `KEY=JSON`, one field each."""

    wanted = "an object of body fields"
    json_schema: Mapping[str, Any] = {"type": "object"}
    repeatable = True

    def parse(self, value: Any, files: bool = False) -> dict[str, Any]:
        if isinstance(value, list) and files:
            return self.join([self.read(text) for text in value])
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise self.wrong(value)
        import json

        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise ValueError("must be JSON, which has no dates, no infinity and no nan") from None
        return dict(value)

    def read(self, text: str) -> dict[str, Any]:
        from ..core.json_codec import loads_strict

        name, equals, value = str(text).partition("=")
        if not (isinstance(text, str) and name and equals):
            raise ValueError(f"must be KEY=JSON, not {shown(text)}")
        try:
            return {name: loads_strict(value)}
        except (ValueError, RecursionError):
            raise ValueError(f"is not JSON: {value[:60]!r}: a string is {name}='\"...\"'") from None

    def join(self, items: Sequence[Any]) -> dict[str, Any]:
        return {key: value for item in items for key, value in item.items()}


class Callback(Kind):
    """A function that does its work when it is called; a coroutine would never be awaited."""

    wanted = "a function, and not an async one"

    def __init__(self, argument: str) -> None:
        self.argument = argument  # the type of the function's argument, for annotations

    def parse(self, value: Any, files: bool = False) -> Any:
        if not callable(value) or getattr(getattr(value, "__code__", None), "co_flags", 0) & COROUTINE:
            raise self.wrong(value)
        return value


class Conditions(Kind):
    """Stop conditions by name; `core.stop.conditions` checks each."""

    wanted = "a mapping of stop conditions"
    accepts = Mapping
    json_schema: Mapping[str, Any] = {"type": "object"}
