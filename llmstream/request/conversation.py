"""The conversation before the prompt, and the JSON files that hold conversations and tools."""

from __future__ import annotations

from json import JSONDecodeError
from typing import Any

from ..config.textfile import decode, read_text
from ..core.json_codec import fault, loads_strict
from ..core.request import Attachment, Call, Message, Request, text_part
from ..errors import UsageError, option
from ..providers.target import Target
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
            line = f":{error.lineno}" if isinstance(error, JSONDecodeError) else ""
            raise UsageError(f"{path}{line}: not JSON: {fault(error, has_line=True)}") from None
        return [_line(line, f"{path}:{number}") for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return value if isinstance(value, list) else [value]


def _line(text: str, where: str) -> Any:
    try:
        return loads_strict(text)
    except RecursionError:
        raise UsageError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{where}: not JSON: {fault(error)}") from None


def converse(request: Request, items: list[Any], source: str, target: Target | None = None) -> Request:
    """Returns the request after a conversation; `source` is the file or option that has it, for messages.

    A system message may be the first, if the request has no system prompt. Native items are sent to the provider and
    the model that they come from: `target` says which is asked. Raises UsageError.
    """
    reader = _Reader(source, target)
    for number, item in enumerate(items, 1):
        reader.add(number, item)
    messages, system = reader.messages, reader.system
    reader.require_results(source)
    if system is not None and request.system is not None:
        raise UsageError(f"{source} and {option('system')} both have a system prompt: leave one out")
    if not request.prompt and (not messages or messages[-1].role == "assistant"):
        raise UsageError(f"{source} does not end with a user's message: give a prompt")
    return request._replace(messages=tuple(messages), system=request.system if system is None else system)


class _Reader:
    """Reads the messages of a conversation, one after the other."""

    def __init__(self, source: str, target: Target | None) -> None:
        self.messages: list[Message] = []
        self.system: str | None = None
        self._source, self._target = source, target
        self._calls: dict[str, Call] = {}  # by id
        self._open: dict[str, Call] = {}  # those without a result so far

    def add(self, number: int, item: Any) -> None:
        """Adds a message. Raises UsageError."""
        where = f"{self._source}, message {number}"
        role, content = (item.get("role"), item.get("content")) if isinstance(item, dict) else (None, None)
        if role == "assistant" and content is None and item.get("tool_calls"):
            content = ""
        if not (isinstance(role, str) and isinstance(content, str | list)):
            raise UsageError(f'{where}: not an object {{"role": ..., "content": text}}')
        text, files = (content, ()) if isinstance(content, str) else _read_parts(content, where)
        if role in ("system", "developer") and number == 1 and not files:
            self.system = text
        elif role == "tool":
            self._add_result(item, text, files, where)
        elif role == "user":
            self.require_results(where)
            self.messages.append(Message(role, text, files=files))
        elif role == "assistant" and not files:
            self.require_results(where)
            calls = _read_calls(item.get("tool_calls") or [], where)
            self._calls |= {call.id: call for call in calls}
            self._open = {call.id: call for call in calls}
            native = self._native(item.get("native"), text, calls)
            self.messages.append(Message(role, text, calls, native=native))
        else:
            raise UsageError(f"{where}: the role {role!r} is not user, assistant, tool or, first, system")

    def require_results(self, where: str) -> None:
        """Raises UsageError where a call of the turn before has no result: every provider refuses that."""
        for call in self._open.values():
            what = f"the call {call.id} of the tool {call.name} has no result"
            wanted = f'{{"role": "tool", "tool_call_id": "{call.id}", "content": ...}}'
            raise UsageError(f"{where}: {what}: add {wanted} after it")

    def _add_result(self, item: dict[str, Any], text: str, files: tuple[Attachment, ...], where: str) -> None:
        call = self._calls.get(str(item.get("tool_call_id")))
        if call is None:
            raise UsageError(f"{where}: no tool call before it has this tool_call_id")
        self._open.pop(call.id, None)
        is_error = item.get("is_error") is True
        self.messages.append(Message("tool", text, result_of=call, files=files, is_error=is_error))

    def _native(self, native: Any, text: str, calls: tuple[Call, ...]) -> tuple[dict[str, Any], ...]:
        """Returns the native items of a turn; none for another target, or where the turn has been edited."""
        if self._target is None or not isinstance(native, dict):
            return ()
        items = native.get("items")
        is_ours = all(native.get(name) == value for name, value in _origin(self._target).items())
        if not is_ours or not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            return ()
        from ..dialects.native import agree

        return tuple(items) if agree(self._target.api, items, text, calls) else ()


def _origin(target: Target) -> dict[str, str]:
    """Returns what tells whose the native items of a turn are."""
    return {"api": target.api, "provider": target.provider, "model": target.model}


def as_item(message: Message, target: Target) -> dict[str, Any]:
    """Returns a message in the form that `converse` reads; `target` is where its native items come from."""
    item: dict[str, Any] = {"role": message.role, "content": message.content}
    if call := message.result_of:
        item = {"role": message.role, "tool_call_id": call.id, "content": message.content}
        item |= {"is_error": True} if message.is_error else {}
    if message.files:
        from .attachments import as_part

        text = [text_part(message.content)] if message.content else []
        item["content"] = [*map(as_part, message.files), *text]
    if message.calls:
        item["content"] = message.content or None
        item["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
    if message.native:
        item["native"] = {**_origin(target), "items": list(message.native)}
    return item


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
