"""What may be asked beyond a prompt: a shape of the answer, a conversation, attachments, tools, effort.

Reads and checks the files that options name; everything that is wrong with them is found before anything is sent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from ..core import schema as schemas
from ..core.json_codec import loads_strict
from ..core.request import Message, Request, Tool
from ..errors import UsageError, option
from ..providers.prefill import prefilled
from ..providers.resolve import Target
from .prompt import read_bytes


def add(command: str, target: Target, request: Request, given: dict[str, Any], events: bool) -> tuple[Target, Request]:
    """The request with what the options ask for, and the target that answers it.

    `given` are the values of asking.FEATURES that are given: files by their names, or what would stand in them.
    `command` is for notes. Raises UsageError.
    """
    _refuse(target, given, events)
    notation = given.get("schema", given.get("schema_multi"))
    if notation is not None:
        shape = schemas.parse(_schema(notation) if isinstance(notation, str) else json.dumps(notation))
        request = request._replace(schema=schemas.many(shape) if "schema_multi" in given else shape)
    if "messages" in given:
        request = converse(request, *_named(command, given, "messages"))
    if "tools" in given:
        request = request._replace(tools=tools(*_named(command, given, "tools")))
    if "attach" in given:
        from .attachments import load

        request = request._replace(attachments=load(command, given["attach"], target))
    if "prefill" in given:
        target, begun = prefilled(target, given["prefill"])
        request = request._replace(prefill=begun)
    return target, request._replace(
        json="json" in given and request.schema is None, effort=given.get("effort"), cache="cache" in given
    )


def _refuse(target: Target, given: dict[str, Any], events: bool) -> None:
    """What cannot work together, whatever the provider."""
    shaped = given.keys() & {"json", "schema", "schema_multi"}
    if {"schema", "schema_multi"} <= given.keys():
        raise UsageError("--schema is for one answer, --schema-multi for a list of them: not both")
    if shaped and "prefill" in given:
        raise UsageError("--prefill and a schema do not go together: the schema begins anew after it")
    if shaped and target.row.schema_api not in ("", target.api):
        raise UsageError(f"{target.provider} does not obey a schema in {target.api}: leave {option('api')} out")
    if "tools" in given and not events:
        raise UsageError("--tools needs --events: a call is an event, not text")
    sources = [given.get("messages"), given.get("tools"), *given.get("attach", ())]
    if sources.count("-") > 1:
        raise UsageError("only one option can read stdin")


def _schema(value: str) -> str:
    """The text of a schema: what a file holds, or the option's own value."""
    if value.lstrip().startswith(("{", "[")) or "\n" in value:
        return value
    if not os.path.exists(value) and not value.endswith(".json"):
        return value
    return _read_file(value)


def _read(command: str, path: str) -> str:
    if path == "-":
        return read_bytes(command, "the file").decode("utf-8", "replace")
    return _read_file(path)


def _read_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 at byte {error.start}") from None


def _named(command: str, given: dict[str, Any], name: str) -> tuple[list[Any], str]:
    """The items of an option, and what to call it in messages."""
    value = given[name]
    return (_items(_read(command, value), value), value) if isinstance(value, str) else (list(value), name)


def _items(text: str, path: str) -> list[Any]:
    """The items of a JSON array, or of a file that has one a line."""
    try:
        value = loads_strict(text)
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply") from None
    except ValueError as error:
        if text.lstrip().startswith("["):
            raise UsageError(f"{path} is not JSON: {error}") from None
    else:
        return value if isinstance(value, list) else [value]
    items = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                items.append(loads_strict(line))
            except ValueError as error:
                raise UsageError(f"{path}, line {number}, is not JSON: {error}") from None
    return items


def converse(request: Request, items: list[Any], path: str) -> Request:
    """The request after a conversation. A system message may be its first, in place of --system."""
    messages: list[Message] = []
    for number, item in enumerate(items, 1):
        role, content = (item.get("role"), item.get("content")) if isinstance(item, dict) else (None, None)
        if not (isinstance(role, str) and isinstance(content, str)):
            raise UsageError(f'{path}, message {number}: not an object {{"role": ..., "content": text}}')
        if role in ("system", "developer") and number == 1:
            if request.system is not None:
                raise UsageError(f"{path} has a system prompt, and so has --system")
            request = request._replace(system=content)
        elif role in ("user", "assistant"):
            messages.append(Message(role, content))
        else:
            raise UsageError(f"{path}, message {number}: the role {role!r} is not user, assistant or, first, system")
    if not request.prompt and (not messages or messages[-1].role != "user"):
        raise UsageError(f"{path} does not end with a user's message: give a prompt")
    return request._replace(messages=tuple(messages))


def tools(items: list[Any], path: str) -> tuple[Tool, ...]:
    """The tools that a list describes, in any of the usual shapes; `path` is where it stands. Raises UsageError."""
    found = tuple(_each_tool(items, path))
    names = [tool.name for tool in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice or not found:
        raise UsageError(f"{path} has the tool {twice} twice" if twice else f"{path} has no tools")
    return found


def _each_tool(items: list[Any], path: str) -> Iterator[Tool]:
    """Tools in OpenAI's two shapes, Anthropic's, MCP's, or bare; they differ in where name and schema stand."""
    for number, item in enumerate(items, 1):
        where = f"{path}, tool {number}"
        shape = item.get("function", item) if isinstance(item, dict) else None
        if not isinstance(shape, dict):
            raise UsageError(f"{where}: not an object with name, description and parameters")
        name, description = shape.get("name"), shape.get("description", "")
        if not (isinstance(name, str) and schemas.NAME.fullmatch(name)):
            raise UsageError(f"{where}: its name is to be of letters, digits, _ and -")
        if not isinstance(description, str):
            raise UsageError(f"{where}: its description is not text")
        keys = [key for key in ("parameters", "input_schema", "inputSchema") if key in shape]
        parameters = shape[keys[0]] if keys else {"type": "object", "properties": {}}
        try:
            schemas.check(parameters)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
        strict = shape.get("strict")
        yield Tool(name, description, parameters, strict if isinstance(strict, bool) else None)
