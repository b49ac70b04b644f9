"""The kinds of values that requests have beside the plain ones of `core.kinds`: paths, schemas, fields, callbacks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.kinds import Kind, Text, Texts, shown
from ..core.request import join_patches
from ..errors import UsageError

CLOSERS = {"{": "}", "[": "]"}
COROUTINE = 0x80  # inspect.CO_COROUTINE, without the import


class Path(Kind):
    """Base of kinds whose value may be the name of a file."""

    is_path = True

    def place(self, value: Any, folder: str) -> Any:
        """Returns the value with its relative path starting at the folder, if there is such a file."""
        if isinstance(value, list):
            return [self.place(item, folder) for item in value]
        if not (value and isinstance(value, str)):
            return value
        path = os.path.join(folder, os.path.expanduser(value))
        return path if os.path.isfile(path) else value


class Files(Path, Texts):
    """Names of files, URLs, or "-" for stdin."""


class Model(Kind):
    """A model's name, or a tuple of several; the name of a model file or of a recording is a path.

    Only the user's own doors, which may name files, may name several.
    """

    json_schema: Mapping[str, Any] = {"type": "string", "minLength": 1}
    repeatable = True

    def parse(self, value: Any, files: bool = False) -> Any:
        if not (files and isinstance(value, list | tuple)):
            return super().parse(value)
        if not value or not all(isinstance(name, str) for name in value):
            raise self.wrong(value)
        return self.join(value)

    def join(self, items: Sequence[Any]) -> Any:
        return items[0] if len(items) == 1 else tuple(items)

    def place(self, value: Any, folder: str) -> Any:
        from ..config.file import placed_model

        if isinstance(value, list):
            return [self.place(name, folder) for name in value]
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


class Variable(Text):
    """The name of an environment variable that holds a key. Messages do not show a wrong one: it may be the key."""

    wanted = "the name of a variable"

    def parse(self, value: Any, files: bool = False) -> str:
        from ..core.secrets import is_variable

        if value == "":
            raise ValueError("is empty: name a variable")
        if not (isinstance(value, str) and is_variable(value)):
            raise ValueError("is the name of a variable, not the key: set a variable to the key, and name that")
        return value


class Schema(Path):
    """A JSON Schema: an object, its JSON, or the short notation; a string may name a file where files are allowed.

    Raises UsageError beside ValueError: an error within a schema names its place there.
    """

    wanted = "an object or fields such as 'name, age int'"
    json_schema: Mapping[str, Any] = {"type": ["object", "string"]}

    def parse(self, value: Any, files: bool = False) -> dict[str, Any]:
        from ..core import schema

        if isinstance(value, Mapping):
            _check_json(value)
            schema.check(dict(value))
            return dict(value)
        if not isinstance(value, str):
            raise self.wrong(value)
        notation = value.lstrip().startswith(("{", "[")) or "\n" in value
        if files and not notation and (os.path.exists(value) or value.endswith(".json")):
            from ..config.textfile import read_text

            text = read_text(value)
            try:
                return schema.parse(text)
            except UsageError as error:
                raise UsageError(f"{value}: {error.message}") from None
        return schema.parse(value)


class Items(Path):
    """An array of objects; a string names a file that holds it where files are allowed. The builder reads it."""

    wanted = "an array"
    json_schema: Mapping[str, Any] = {"type": "array", "items": {"type": "object"}}

    def parse(self, value: Any, files: bool = False) -> Any:
        if isinstance(value, str) and files:
            return value
        if not isinstance(value, list | tuple):
            raise self.wrong(value)
        _check_json(value)
        return list(value)


class ToolChoice(Kind):
    """Which tools the model may call, as OpenAI's two APIs write it, or a tool's name; "auto", the default, is None."""

    wanted = "auto, none, required or a function"
    json_schema: Mapping[str, Any] = {"type": ["string", "object"]}

    def parse(self, value: Any, files: bool = False) -> Any:
        if value and isinstance(value, str):
            return None if value == "auto" else value
        is_function = isinstance(value, Mapping) and value.get("type") == "function"
        function = value.get("function", value) if is_function else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not name or not isinstance(name, str):
            raise self.wrong(value)
        return name


class Fields(Kind):
    """Fields that are merged into a JSON object. Text is `KEY=JSON`, one field each; a word alone is a string."""

    wanted = "an object of body fields"
    json_schema: Mapping[str, Any] = {"type": "object"}
    repeatable = True

    def parse(self, value: Any, files: bool = False) -> dict[str, Any]:
        if isinstance(value, list) and files:
            return self.join([self.read(text) for text in value])
        if not isinstance(value, Mapping):
            raise self.wrong(value)
        _check_json(value)
        return dict(value)

    def read(self, text: str) -> dict[str, Any]:
        from ..core.json_codec import fault, loads_strict

        name, equals, value = text.partition("=") if isinstance(text, str) else ("", "", "")
        if not (name and equals):
            raise ValueError(f"must be KEY=JSON, not {shown(text)}")
        try:
            return {name: loads_strict(value)}
        except RecursionError:
            raise ValueError(f"is nested too deeply: {value[:60]!r}") from None
        except ValueError as error:
            if _is_word(value):
                return {name: value}
            advice = f": quote it: {f'{name}={value[0]}...{CLOSERS[value[0]]}'!r}" if _lacks_quotes(value) else ""
            raise ValueError(f"is not JSON: {value[:60]!r}: {fault(error)}{advice}") from None

    def join(self, items: Sequence[Any]) -> dict[str, Any]:
        return join_patches(items)


def _check_json(value: Any) -> None:
    """Raises ValueError for a value that JSON does not have; a Mapping stands for a dict."""
    import json

    from ..core.json_codec import check_depth

    try:
        check_depth(value)
        _check_names(value)
        json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except (TypeError, ValueError) as error:
        if "int_max_str_digits" in str(error):
            raise ValueError("has a number of too many digits") from None
        raise ValueError("must be JSON, whose names are strings, with no dates, no infinity and no nan") from None


def _check_names(value: Any) -> None:
    """Raises TypeError for a name that is no string: json would write it as one."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for item in value:
        _check_names(item)


def _lacks_quotes(text: str) -> bool:
    """Returns whether a text that is not JSON may be an object or an array whose quotes the shell removed."""
    return text[:1] in tuple(CLOSERS) and '"' not in text


def _is_word(text: str) -> bool:
    """Returns whether a text that is not JSON is a string without its quotes, and not JSON with an error in it."""
    if not text.strip() or text.lstrip()[0] in '{["' or text in ("True", "False", "None"):
        return False
    try:
        float(text)  # such as NaN and 1e999
    except ValueError:
        return True
    return False


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
    json_schema: Mapping[str, Any] = {"type": "object"}

    def parse(self, value: Any, files: bool = False) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise self.wrong(value)
        return value
