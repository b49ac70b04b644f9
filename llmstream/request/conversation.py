"""The conversation before the prompt, and the JSON files that hold conversations and tools."""

from __future__ import annotations

from typing import Any

from ..config.textfile import decode, read_text
from ..core.json_codec import loads_strict
from ..core.request import Message, Request
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
    except ValueError as error:
        raise UsageError(f"{where}: not JSON: {error}") from None


def converse(request: Request, items: list[Any], source: str) -> Request:
    """Returns the request after a conversation; `source` is the file or option that has it, for messages.

    A system message may be the first, if the request has no system prompt. Raises UsageError.
    """
    messages: list[Message] = []
    for number, item in enumerate(items, 1):
        role, content = (item.get("role"), item.get("content")) if isinstance(item, dict) else (None, None)
        if not (isinstance(role, str) and isinstance(content, str)):
            raise UsageError(f'{source}, message {number}: not an object {{"role": ..., "content": text}}')
        if role in ("system", "developer") and number == 1:
            if request.system is not None:
                raise UsageError(f"{source} has a system prompt, and so has {option('system')}: leave one out")
            request = request._replace(system=content)
        elif role in ("user", "assistant"):
            messages.append(Message(role, content))
        else:
            raise UsageError(f"{source}, message {number}: the role {role!r} is not user, assistant or, first, system")
    if not request.prompt and (not messages or messages[-1].role != "user"):
        raise UsageError(f"{source} does not end with a user's message: give a prompt")
    return request._replace(messages=tuple(messages))
