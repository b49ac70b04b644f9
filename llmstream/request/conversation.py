"""The conversation before the prompt, and the JSON files that hold conversations and tools."""

from __future__ import annotations

from typing import Any

from ..config.textfile import decode, read_text
from ..core.json_codec import loads_strict
from ..core.request import Attachment, Call, Message, Request
from ..errors import UsageError, option
from .prompt import read_bytes


def read_items(command: str, path: str) -> list[Any]:
    """Returns the items of a JSON file: an array, or a value a line; "-" is stdin. Raises UsageError.

    `command` is for a note about a silent stdin.
    """
    text = decode(read_bytes(command, "the file"), "stdin") if path == "-" else read_text(path)
    try:
        value = loads_strict(text)
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply") from None
    except ValueError as error:
        if text.lstrip().startswith("["):
            raise UsageError(f"{path} is not JSON: {error}") from None
        return [_line(line, f"{path}, line {n}") for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    return value if isinstance(value, list) else [value]


def _line(text: str, where: str) -> Any:
    try:
        return loads_strict(text)
    except RecursionError:
        raise UsageError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{where}: not JSON: {error}") from None


def converse(request: Request, items: list[Any], source: str) -> Request:
    """Returns the request after a conversation; `source` is the file or option that has it, for messages.

    A system message may be the first, if the request has no system prompt. Raises UsageError.
    """
    messages: list[Message] = []
    calls: dict[str, Call] = {}  # by id
    for number, item in enumerate(items, 1):
        where = f"{source}, message {number}"
        role, content = (item.get("role"), item.get("content")) if isinstance(item, dict) else (None, None)
        if role == "assistant" and content is None and item.get("tool_calls"):
            content = ""
        if not (isinstance(role, str) and isinstance(content, str | list)):
            raise UsageError(f'{where}: not an object {{"role": ..., "content": text}}')
        text, files = (content, ()) if isinstance(content, str) else _read_parts(content, where)
        if role in ("system", "developer") and number == 1 and not files:
            if request.system is not None:
                raise UsageError(f"{source} has a system prompt, and so has {option('system')}: leave one out")
            request = request._replace(system=text)
        elif role == "tool" and not files:
            call = calls.get(str(item.get("tool_call_id")))
            if call is None:
                raise UsageError(f"{where}: no tool call before it has this tool_call_id")
            messages.append(Message(role, text, result_of=call))
        elif role == "user" or (role == "assistant" and not files):
            own = _read_calls(item.get("tool_calls") or [], where) if role == "assistant" else ()
            calls |= {call.id: call for call in own}
            messages.append(Message(role, text, own, files=files))
        else:
            raise UsageError(f"{where}: the role {role!r} is not user, assistant, tool or, first, system")
    if not request.prompt and (not messages or messages[-1].role == "assistant"):
        raise UsageError(f"{source} does not end with a user's message: give a prompt")
    return request._replace(messages=tuple(messages))


def _read_calls(items: Any, where: str) -> tuple[Call, ...]:
    """Returns the calls of a turn, in the format of Chat Completions."""
    calls = []
    for item in items if isinstance(items, list) else [None]:
        function = item.get("function") if isinstance(item, dict) else None
        shape = function if isinstance(function, dict) else {}
        id = item.get("id") if isinstance(item, dict) else None
        name, arguments = shape.get("name"), shape.get("arguments") or "{}"
        if not (id and name and isinstance(id, str) and isinstance(name, str) and isinstance(arguments, str)):
            raise UsageError(f'{where}: a call is not {{"id", "function": {{"name", "arguments"}}}}')
        try:
            is_object = isinstance(loads_strict(arguments), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise UsageError(f"{where}: the arguments of the call {name} are not a JSON object")
        calls.append(Call(id, name, arguments))
    return tuple(calls)


def _read_parts(parts: list[Any], where: str) -> tuple[str, tuple[Attachment, ...]]:
    """Returns the text and the files of a message's parts, in the format of Chat Completions."""
    from .attachments import of_data_url

    texts, files = [], []
    for number, part in enumerate(parts, 1):
        kind = part.get("type") if isinstance(part, dict) else None
        value = part.get(kind) if isinstance(kind, str) else None
        if kind == "text" and isinstance(value, str):
            texts.append(value)
        elif kind == "image_url" and isinstance(value, dict):
            files.append(of_data_url(value.get("url"), "image", f"{where}, part {number}"))
        elif kind == "file" and isinstance(value, dict):
            name = value.get("filename")
            name = name if name and isinstance(name, str) else "file"
            files.append(of_data_url(value.get("file_data"), name, f"{where}, part {number}"))
        else:
            what = f"part {number} of its content is not a text, an image or a file"
            raise UsageError(f'{where}: not an object {{"role": ..., "content": text}}: {what}')
    return "".join(texts), tuple(files)
