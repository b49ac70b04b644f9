"""The answer of POST /chat/stream: Server-Sent Events (WHATWG HTML, 9.2).

data: {"content": "..."}                      new text
event: reasoning   data: {"reasoning": "..."} if it was asked for
event: usage       data: {"input_tokens": n, ...}
event: finish      data: {"reason": "stop", "provider_reason": "..."}
data: [DONE]                                  the answer is whole
event: error       data: {"status": n, "message": "..."}   it is not
"""

from __future__ import annotations

import json

from ..core.events import Event, Finish, Reasoning, Text, Usage
from ..core.text import encode
from ..errors import Error
from .refusal import told

_json = json.JSONEncoder(ensure_ascii=False).encode

DONE = "data: [DONE]\n\n"


class Sse:
    """A Renderer. Every frame is whole, and all of an arrival are one chunk."""

    media_type = "text/event-stream"
    eager = True
    comment = b": keep-alive\n\n"

    def __init__(self, reasoning: bool = False) -> None:
        self._reasoning = reasoning

    def feed(self, events: list[Event]) -> bytes:
        return encode("".join(map(self._frame, events)))

    def _frame(self, event: Event) -> str:
        if isinstance(event, Text):
            return f'data: {{"content": {_json(event.text)}}}\n\n'
        if isinstance(event, Reasoning):
            return _event("reasoning", {"reasoning": event.text}) if self._reasoning else ""
        if isinstance(event, Usage | Finish):
            return _event(event.type, {name: getattr(event, name) for name in event.__slots__})
        return ""

    def close(self) -> bytes:
        return DONE.encode()

    def error(self, error: Error) -> bytes:
        return encode(_event("error", {"status": error.status, "message": told(error)}))


def _event(kind: str, data: dict[str, object]) -> str:
    return f"event: {kind}\ndata: {_json(data)}\n\n"
