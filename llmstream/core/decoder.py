"""Base class of dialect decoders (frames in, events out), and readers of JSON whose shape is not certain."""

from __future__ import annotations

from typing import Any

from ..errors import Error
from .events import Event, Finish, Start, ToolCall, Usage
from .json_codec import to_json


class Decoder:
    """Decodes the frames of one answer.

    A decoder sets these attributes, which an Exchange reads after each frame:

    - `finish` and `usage`: the last ones seen. The Exchange reports them at the end, because servers differ in their
      order, and some repeat them in every chunk. A `finish` means that the answer is complete.
    - `over`: no more events follow.
    - `failure`: the error with which the provider ended the answer.
    - `position`: the number of the last event, in dialects that number them, otherwise -1.
    - `calls`: the number of tool calls so far, where the decoder numbers them.
    - `premature`: text followed a finish, so this server's finish reasons do not announce the end.

    `reports_errors` is False in a dialect whose frames may look like an error without being one.
    """

    reports_errors = True

    def __init__(self, provider: str, model: str) -> None:
        self.provider, self.model = provider, model
        self.started = False
        self.calls = 0
        self.over = False
        self.position = -1
        self.premature = False
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.failure: Error | None = None

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        """Decodes one frame: its SSE event type ("" if unnamed) and its data."""
        raise NotImplementedError

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        """Decodes an answer that was not streamed. Returns no event, or only Start, if data is not an answer."""
        raise NotImplementedError

    def feed_done(self) -> list[Event]:
        """Decodes the frame `[DONE]`: the end mark of chat, which some proxies add to other dialects."""
        self.over = self.finish is not None
        return []

    def close(self) -> list[Event]:
        """Returns the events held back so far; called once, when the answer ends or is cut."""
        return []

    def start(self, data: dict[str, Any]) -> Start:
        """Returns the Start event, with the `model` and `id` of data."""
        self.started = True
        return Start(self.provider, string(data, "model") or self.model, string(data, "id"))

    def tool_call(self, id: str, function: Any, name: str) -> ToolCall:
        """Returns another tool call, complete: `function` is an object with its name and, as `name`, its arguments."""
        self.calls += 1
        return ToolCall(self.calls - 1, id, string(function, "name"), as_json(member(function, name) or {}))


# Providers and proxies may send any JSON: these functions follow a path of names and never fail.


def member(data: Any, *path: str) -> Any:
    """Returns the value at the path, or None."""
    for name in path:
        if not isinstance(data, dict):
            return None
        data = data.get(name)
    return data


def string(data: Any, *path: str) -> str:
    """Returns the string at the path, or ""."""
    value = member(data, *path)
    return value if isinstance(value, str) else ""


def number(data: Any, *path: str) -> int:
    """Returns the integer at the path, or 0."""
    value = member(data, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def items(data: Any, *path: str) -> list[dict[str, Any]]:
    """Returns the objects in the array at the path."""
    value = member(data, *path)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def arguments(value: Any) -> str:
    """Returns a tool call's arguments, which some servers send as a value, not as its JSON text; "" for none."""
    return value if isinstance(value, str) else as_json(value) if value else ""


def as_json(value: Any) -> str:
    """Returns the value as JSON text, or "" if it is nested too deeply for Python's encoder."""
    try:
        return to_json(value)
    except RecursionError:
        return ""
