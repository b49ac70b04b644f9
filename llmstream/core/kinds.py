"""The kinds of values that options take: which values of Python, TOML and JSON each accepts, and how it reads text.

The groups of options, under whose names `--help` and the manual pages list them, stand here as well.

A kind raises ValueError; its message continues after the option's name: "must be a whole number, not 1.5". Each kind
has its JSON Schema for HTTP bodies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

GROUPS = PROMPT, MODEL, ANSWER, OUTPUT, STOP, NETWORK = ("Prompt", "Model", "Answer", "Output", "Stop when", "Network")
SHOWN_CHARACTERS = 40  # of a wrong value, in a message
EMPTY = "is empty: leave it out, or give a text"


def shown(value: object) -> str:
    """The value as JSON for a message, cut where it is long."""
    import json

    from .json_codec import check_depth

    try:
        check_depth(value)
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr)
        except TypeError:  # a name that JSON does not have
            text = repr(value)
    except (ValueError, RecursionError):
        text = "a value too deep or too long"
    return shorten(text)


def shorten(text: str) -> str:
    """Returns a text for a message, cut where it is long."""
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
        """Returns the value with its relative path, if it is one, starting at the folder."""
        return value

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
    """A finite number, above a bound, or from one on."""

    def __init__(self, above: float = float("-inf"), least: float = float("-inf")) -> None:
        self._above, self._least = above, least
        self.wanted, self.json_schema = "a number", {"type": "number"}
        if above > float("-inf"):
            self.wanted, self.json_schema = f"a number above {above:g}", {"type": "number", "exclusiveMinimum": above}
        elif least > float("-inf"):
            self.wanted, self.json_schema = f"a number of at least {least:g}", {"type": "number", "minimum": least}

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
            return self._above < value >= self._least and abs(float(value)) < float("inf")
        except OverflowError:  # an int that is larger than any float
            return False


class Seconds(Number):
    """A time in seconds, above 0, or with `or_none` from 0 on, which then is no limit; text may have units: 1h30m."""

    def __init__(self, or_none: bool = True) -> None:
        super().__init__(**{"least" if or_none else "above": 0.0})
        self.wanted = f"a time such as 0.5, 10s or 1h30m, {'0 or more' if or_none else 'above 0'}"
        number = {"type": "number", "minimum" if or_none else "exclusiveMinimum": 0}
        self.json_schema = {"anyOf": [number, {"type": "string", "pattern": f"^{TIME}$"}]}

    def parse(self, value: Any, files: bool = False) -> float:
        return super().parse(value, files) if (seconds := _with_units(value)) is None else self._checked(seconds, value)

    def read(self, text: str) -> float:
        if (seconds := _with_units(text)) is not None:
            return self._checked(seconds, text)
        if near := re.fullmatch(LONG_UNIT, text):
            raise ValueError(f"must be {self.wanted}, not {shown(text)}: did you mean {near[1]}{near[2]}?")
        return super().read(text)

    def _checked(self, seconds: float, text: str) -> float:
        if not self._fits(seconds):
            raise self.wrong(text)
        return seconds


UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
LONG_UNIT = "([0-9.]+) ?([hms])(?:r|rs|ours?|in|ins|inutes?|ec|ecs|econds?)?"
TIME = "(?=.)" + "".join(rf"(?:([0-9]+(?:\.[0-9]+)?){unit})?" for unit in UNITS_S)


def _with_units(value: object) -> float | None:
    """Returns the seconds that a text with units stands for, the larger ones first; None for any other value."""
    match = re.fullmatch(TIME, value) if isinstance(value, str) else None
    if match is None:
        return None
    return sum(float(number or 0) * unit for number, unit in zip(match.groups(), UNITS_S.values(), strict=True))


def show_time(seconds: float) -> str:
    """Returns a time in the largest unit of which it has a whole number: 10m, 90s, 0.5s."""
    unit = next((unit for unit, size in UNITS_S.items() if seconds >= size and seconds % size == 0), "s")
    return f"{seconds / UNITS_S[unit]:g}{unit}"


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
    """A string; with `is_needed` one of a character or more."""

    def __init__(self, is_needed: bool = False) -> None:
        self._is_needed = is_needed
        if is_needed:
            self.json_schema = {"type": "string", "minLength": 1}

    def parse(self, value: Any, files: bool = False) -> Any:
        if self._is_needed and value == "":
            raise ValueError(EMPTY)
        return super().parse(value)


class Texts(Kind):
    """One string, or several; with `is_needed` each of a character or more."""

    wanted = "a string or an array of strings"
    json_schema: Mapping[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    repeatable = True

    def __init__(self, is_needed: bool = False) -> None:
        self._is_needed = is_needed
        if is_needed:
            text = {"type": "string", "minLength": 1}
            self.json_schema = {"anyOf": [text, {"type": "array", "items": text}]}

    def parse(self, value: Any, files: bool = False) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise self.wrong(value)
        return tuple(map(self.read, items))

    def read(self, text: str) -> str:
        if self._is_needed and not text:
            raise ValueError(EMPTY)
        return text
