"""The answer of POST /chat/stream: Server-Sent Events (WHATWG HTML, 9.2).

data: {"content": "..."}                                      new text
event: reasoning   data: {"reasoning": "..."}                 only if the request has `reasoning`
event: source      data: {"url": "...", "title": "..."}       a source that the answer cites
event: note        data: {"note": "..."}                      a sentence for the user, about a retry for example
event: usage       data: {"input_tokens": n, ...}
event: finish      data: {"reason": "stop", "provider_reason": "..."}
data: [DONE]                                                  the provider ended the answer
event: error       data: {"status": n, "message": "..."}      the answer is incomplete, in place of [DONE]
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.events import Finish, Reasoning, Source, Text, Usage
from ..core.json_codec import to_json
from ..core.report import verdict
from ..core.text import encode
from ..errors import Error
from .error_responses import message_with_hint
from .request import Item, Note

NOT_ENDED = ("paused", "incomplete", "unknown")  # reasons of an answer that goes on, or that may
DONE = "data: [DONE]\n\n"


class ChatStreamEncoder:
    """The AnswerEncoder of /chat/stream. Events that arrive together go out as one chunk."""

    media_type = "text/event-stream"
    eager = True
    has_finish_reason = False
    keep_alive = b": keep-alive\n\n"

    def __init__(self, reasoning: bool = False) -> None:
        self._reasoning = reasoning
        self._finish: Finish | None = None

    def feed(self, events: Sequence[Item]) -> bytes:
        return encode("".join(map(self._frame, events)))

    def _frame(self, event: Item) -> str:
        if isinstance(event, Text):
            return f'data: {{"content": {to_json(event.text)}}}\n\n'
        if isinstance(event, Reasoning):
            return _named("reasoning", {"reasoning": event.text}) if self._reasoning else ""
        if isinstance(event, Note):
            return _named("note", {"note": event.text})
        if isinstance(event, Finish):
            self._finish = event
        if isinstance(event, Source | Usage | Finish):
            return _named(event.type, {k: v for k, v in event.as_dict().items() if k != "type"})
        return ""

    def close(self) -> bytes:
        if self._finish and self._finish.reason in NOT_ENDED and (error := verdict(self._finish, limited=True)):
            return self.error(error)
        return DONE.encode()

    def error(self, error: Error) -> bytes:
        return encode(_named("error", {"status": error.status, "message": message_with_hint(error)}))


def _named(name: str, data: dict[str, object]) -> str:
    """Returns a frame with an event name."""
    return f"event: {name}\ndata: {to_json(data)}\n\n"
