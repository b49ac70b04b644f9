"""Turns records into prompts, each with the options in its record.

A record comes from anywhere: an error in it is reported with its line, and concerns no other record. It names no
files: a `system` that begins with @ is text, a `schema` is JSON or the short notation, and a `model` is no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.json_codec import fault
from ..core.kinds import shorten, shown
from ..core.request import Request
from ..core.surrogates import scrub
from ..errors import Error, UsageError, option
from ..providers.resolve import refuse_model_file
from ..request.options import COMMAND, RECORD, at, parse
from . import numbers
from .template import Template

if TYPE_CHECKING:
    from .file_template import FileTemplate

NOT_IN_RECORDS = frozenset(row.name for row in at(COMMAND) if RECORD not in row.doors)
MAX_DEPTH = 100  # of a record: far more than data has, and far less than Python's recursion allows
WHOLE_LINE = Template("{}")


class Row(NamedTuple):
    """One prompt of many. `index` counts from 0, blank records left out.

    `options` are the parsed options in the record, by name; a system message at the head of its `messages` becomes
    `system`. A row with an `error` has no prompt. `line` counts from 1, blank records included. `input` is what the
    record has, for `numbers.to_text`: its text, or the object; None where it is not wanted or no object.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which a row does not need
    id: str | int | None
    prompt: str  # "" where the messages end with the question
    options: Mapping[str, Any]
    error: Error | None = None
    line: int = 0
    input: str | dict[str, Any] | None = None


class Rows:
    """Makes rows of records: lines, which are prompts, or JSON objects. `undecodable` counts those with invalid UTF-8.

    `keeps_input`: each row has its record. `names_models` says whether a row may have a model of its own. Raises
    UsageError for a template that has fields when the records are lines.
    """

    def __init__(self, jsonl: bool, template: Template | FileTemplate | None, keeps_input: bool = False) -> None:
        if template and template.names and not jsonl:
            field, jsonl_option = min(template.names), option("jsonl")
            raise UsageError(f"a line has no field {field}: {jsonl_option} reads objects, and {{}} is the line")
        self._jsonl, self._template, self._keeps_input = jsonl, template, keeps_input
        self.names_models = jsonl
        self.unset_options: dict[str, int] = {}  # options that records name but do not have: the first line with each
        self._index = self._line = self.undecodable = 0

    def row(self, record: bytes) -> Row | None:
        """Returns the record's row, or None where it is blank. An error names the line, blank ones counted."""
        self._line += 1
        text = self._decode(record)
        if not text.strip():
            return None
        index = self._index
        self._index += 1
        if not self._jsonl:
            prompt = self._template.fill(text, {}) if self._template else text
            return Row(index, None, prompt, {}, line=self._line, input=text if self._keeps_input else None)
        id = data = None
        try:
            data = _read(text)
            value = _value(data, "id")
            if type(value) not in (str, int, NoneType):  # not isinstance: True is an int
                raise UsageError(f"id must be a string or a whole number, not {shown(value)}")
            id = value
            row = Row(index, id, *self._parse(data))
        except UsageError as error:
            row = Row(index, id, "", {}, self._at_line(error))
        return row._replace(line=self._line, input=data if self._keeps_input else None)

    def _decode(self, data: bytes) -> str:
        """Returns a text, its invalid UTF-8 replaced and counted."""
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.undecodable += 1
            return data.decode("utf-8", "replace")

    def _at_line(self, error: UsageError) -> UsageError:
        """Returns the error with the number of the line, on one line."""
        return UsageError(" ".join(f"line {self._line}: {error.message}".split()))

    def _parse(self, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Returns the prompt and the options of a record; null is the same as leaving a field out."""
        for name in NOT_IN_RECORDS & data.keys():
            if not (self._template and name in self._template.fields):
                self.unset_options.setdefault(name, self._line)
        named = {row.name: _value(data, row.name) for row in at(RECORD) if row.name in data}
        options = parse(named, RECORD, lambda name, message: UsageError(f"{name} {message}"))
        if "model" in options:
            refuse_model_file(options["model"], "a record", f"give it with {option('model')}")
        prompt = _value(data, "prompt")
        if prompt is not None and not isinstance(prompt, str):
            raise UsageError(f"prompt must be a string, not {shown(prompt)}")
        messages = options.get("messages")
        alone = messages and prompt is None and not self._template
        text = "" if alone else (self._template or WHOLE_LINE).fill(prompt, data)
        if messages is None:
            if not text.strip():
                raise UsageError("the prompt is empty")
            return text, options
        from ..request.conversation import converse

        request = converse(Request("", text if text.strip() else ""), messages, "messages")
        if request.system is not None:
            if "system" in options:
                raise UsageError("messages and system both have a system prompt: leave one out")
            options |= {"system": request.system, "messages": messages[1:]}
        return request.prompt, options


def _value(data: dict[str, Any], name: str) -> Any:
    """Returns the value of a field, None if it is missing. Raises UsageError for a number that is too large."""
    try:
        return numbers.to_values(data.get(name))
    except ValueError as error:
        raise UsageError(f"{name}: {str(error).partition(':')[0]}") from None


def _read(text: str) -> dict[str, Any]:
    """Returns a JSON object, strictly by RFC 8259; its numbers are Numbers. Raises UsageError for any other text."""
    try:
        data = _clean(numbers.loads(text), MAX_DEPTH)
    except RecursionError:
        raise UsageError(f"nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"invalid JSON: {fault(error)}") from None
    except ValueError as error:  # NaN and Infinity
        raise UsageError(f"invalid JSON: {str(error).partition(':')[0]}") from None
    if not isinstance(data, dict):
        raise UsageError(f'must be an object {{"prompt": ...}}, not {shorten(numbers.to_text(data))}')
    return data


def _clean(value: Any, depth: int) -> Any:
    """Returns the value with lone surrogates replaced. Raises RecursionError where it is nested deeper than `depth`."""
    if isinstance(value, str):
        return scrub(value)
    if not isinstance(value, dict | list):
        return value
    if not depth:
        raise RecursionError
    if isinstance(value, list):
        return [_clean(item, depth - 1) for item in value]
    return {scrub(key): _clean(item, depth - 1) for key, item in value.items()}
