"""What a dialect implements: the frames of its stream as events."""

from __future__ import annotations

import json
from typing import Any

from ..errors import Error
from .events import Event, Finish, Start, Usage


class Decoder:
    """Base of the dialects' decoders.

    `finish` and `usage` hold the last ones seen: they are given out at the end, because servers differ in their
    order and some repeat them in every chunk. A `finish` means that the answer is whole, `over` that nothing more
    is to come, `failure` that the provider gave up. `premature` says that a finish was followed by more text, so that
    this server's word for it ends no wait. `tells_faults` says that what looks like an error in a frame is one.
    """

    reports_errors = True

    def __init__(self, provider: str, model: str) -> None:
        self.provider, self.model = provider, model
        self.started = False
        self.over = False
        self.position = -1  # the number of the last event
        self.premature = False
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.failure: Error | None = None

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        """The events of one frame: its SSE event type ("" if unnamed) and its data."""
        raise NotImplementedError

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        """The events of an answer that was sent whole; none if data is no answer."""
        raise NotImplementedError

    def feed_done(self) -> list[Event]:
        """The events of the frame `[DONE]`: an end mark in chat, a proxy's habit elsewhere."""
        self.over = self.finish is not None
        return []

    def close(self) -> list[Event]:
        """What was held back, when the answer ends, in whatever way."""
        return []

    def start(self, data: dict[str, Any]) -> Start:
        self.started = True
        return Start(self.provider, string(data, "model") or self.model, string(data, "id"))


# Providers, and what stands between, send anything: these read a path of names and never fail.


def member(data: Any, *path: str) -> Any:
    """The value at the path, or None."""
    for name in path:
        if not isinstance(data, dict):
            return None
        data = data.get(name)
    return data


def string(data: Any, *path: str) -> str:
    """The string at the path, or ""."""
    value = member(data, *path)
    return value if isinstance(value, str) else ""


def number(data: Any, *path: str) -> int:
    """The integer at the path, or 0."""
    value = member(data, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def items(data: Any, *path: str) -> list[dict[str, Any]]:
    """The objects in the array at the path."""
    value = member(data, *path)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_json(value: Any) -> str:
    """The value as JSON text; "" where it is nested deeper than Python can follow."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""
