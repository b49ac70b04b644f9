"""Records into prompts, and into what a record asks for in other words than the command line.

A record comes from anywhere: whatever is wrong with it is its own fault, told with its line, and none of the others'.
It names no files: a `system` that begins with @ is text, and a `schema` is JSON or the short notation.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core import json_codec
from ..core.request import EFFORTS, Request
from ..core.surrogates import scrub
from ..errors import Error, UsageError
from .template import Template

MAX_DEPTH = 100  # of a record: far more than data has, and far less than Python's recursion allows
ITSELF = Template("{}")


class Row(NamedTuple):
    """One prompt of many. `index` counts from 0, blank records left out.

    `fields` are those in FIELDS that the record has, checked: `stop` is a tuple, `messages` are a tuple of Message (a
    system message at their head is `system`), `schema` is an object, `options` are body fields. Where there is a
    `fault`, there is no prompt.
    """

    index: int  # type: ignore[assignment]  # nobody looks for a value in a row
    id: str | int | None
    prompt: str  # "" where the messages end with what is asked
    fields: Mapping[str, Any]
    fault: Error | None = None


class Rows:
    """Makes rows of records: lines, which are prompts, or JSON objects. `undecodable` counts those that were not UTF-8.

    Raises UsageError for a template that wants fields of lines.
    """

    def __init__(self, jsonl: bool, template: Template | None) -> None:
        if template and template.names and not jsonl:
            raise UsageError(f"a line has no field {min(template.names)}: --jsonl reads objects, and {{}} is the line")
        self._jsonl, self._template = jsonl, template
        self._index = self._line = self.undecodable = 0

    def row(self, record: bytes) -> Row | None:
        """The record's row; None where it is blank. A line of a fault counts blank ones, too. Raises nothing."""
        self._line += 1
        try:
            text = record.decode()
        except UnicodeDecodeError:
            text = record.decode("utf-8", "replace")
            self.undecodable += 1
        if not text.strip():
            return None
        index = self._index
        self._index += 1
        if not self._jsonl:
            return Row(index, None, self._template.fill(text, {}) if self._template else text, {})
        name = None
        try:
            data = _read(text)
            name = _id(data)
            return Row(index, name, *self._asked(data))
        except UsageError as error:
            told = " ".join(f"line {self._line}: {error}".split())
            return Row(index, name, "", {}, UsageError(told))

    def _asked(self, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The prompt and the fields; null is as good as nothing."""
        fields = {name: field(name, data[name]) for name, field in FIELDS.items() if data.get(name) is not None}
        prompt = None if data.get("prompt") is None else _string("prompt", data["prompt"])
        talk = fields.pop("messages", None)
        talk_alone = talk and prompt is None and not self._template
        text = "" if talk_alone else (self._template or ITSELF).fill(prompt, data)
        if talk is None and not text.strip():
            raise UsageError("the prompt is empty")
        if talk is None:
            return text, fields
        from ..request.features import converse

        asked = converse(Request("", text if text.strip() else ""), talk, "messages")
        if asked.system is not None:
            if "system" in fields:
                raise UsageError("there is a system prompt in messages, and another in system")
            fields["system"] = asked.system
        return asked.prompt, {**fields, "messages": asked.messages}


def _read(text: str, what: str = "this") -> dict[str, Any]:
    """A JSON object, to the letter of RFC 8259; `what` begins the message of the UsageError for any other text."""
    try:
        data = _clean(json_codec.loads_strict(text), MAX_DEPTH)
    except RecursionError:
        raise UsageError(f"{what} is nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{what} is not JSON: {error.msg} at character {error.pos + 1}") from None
    except ValueError as error:  # a number's
        raise UsageError(f"{what} is not JSON: {str(error).partition(':')[0]}") from None
    if not isinstance(data, dict):
        raise UsageError(f'{what} is {_shown(data)}: an object {{"prompt": ...}} is wanted')
    return data


def _clean(value: Any, room: int) -> Any:
    """The value with lone surrogates replaced. Raises RecursionError where it is nested deeper than room."""
    if isinstance(value, str):
        return scrub(value)
    if not isinstance(value, dict | list):
        return value
    if not room:
        raise RecursionError
    if isinstance(value, list):
        return [_clean(one, room - 1) for one in value]
    return {scrub(key): _clean(one, room - 1) for key, one in value.items()}


def _id(data: dict[str, Any]) -> str | int | None:
    name = data.get("id")
    if name is not None and type(name) not in (str, int):  # True is an int otherwise
        raise _wrong("id", name, "a string or a whole number")
    return name


def _wrong(name: str, value: Any, wanted: str) -> UsageError:
    return UsageError(f"{name} is {_shown(value)}: {wanted} is wanted")


def _shown(value: Any) -> str:
    """A value, or how it begins."""
    text = json_codec.to_compact_json(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _of(wanted: str, *types: type, fits: Callable[[Any], bool] = lambda value: True) -> Callable[[str, Any], Any]:
    """A field that is of one of the types, to the letter: True is no int."""

    def field(name: str, value: Any) -> Any:
        if type(value) not in types or not fits(value):
            raise _wrong(name, value, wanted)
        return value

    return field


def _stop(name: str, value: Any) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise _wrong(name, value, "a string or an array of strings")
    return tuple(texts)


def _schema(name: str, value: Any) -> dict[str, Any]:
    from ..core import schema

    if isinstance(value, str):
        value = _read(value, name) if value.lstrip().startswith("{") else schema.parse(value)
    if not isinstance(value, dict):
        raise _wrong(name, value, "an object, or fields such as 'name, age int',")
    schema.check(value)
    return value


_string = _of("a string", str)

FIELDS: dict[str, Callable[[str, Any], Any]] = {  # what overrides the command's options, and how each is checked
    "system": _string,
    "model": _string,
    "max_tokens": _of("a whole number from 1", int, fits=lambda number: number >= 1),
    "temperature": _of("a number", int, float, fits=lambda number: abs(number) <= sys.float_info.max),
    "seed": _of("a whole number", int),
    "stop": _stop,
    "messages": _of("an array", list),
    "json": _of("true or false", bool),
    "schema": _schema,
    "prefill": _string,
    "effort": _of(f"one of {', '.join(EFFORTS)}", str, fits=EFFORTS.__contains__),
    "options": _of("an object of body fields", dict),
}
