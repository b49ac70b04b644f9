"""The answer of POST /v1/chat/completions in OpenAI's format: one JSON object, or a stream of chunks.

https://platform.openai.com/docs/api-reference/chat/object and .../chat-streaming
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from ..core.events import Finish, Reasoning, ScoredText, Source, Start, Text, ToolCall, Usage
from ..core.json_codec import to_json
from ..core.text import encode
from ..errors import Error
from .chat_stream import DONE
from .error_responses import message_with_hint, openai_error
from .request import Item

OPENAI_REASONS = {  # all others have the same names; what is not whole is `length`, which clients check
    "until": "stop",
    "cancelled": "stop",
    "refusal": "content_filter",
    "paused": "length",
    "incomplete": "length",
    "unknown": "length",
}


class _Completion:
    """What both formats share: the fields that every object repeats, and the events that end an answer."""

    object_type: str

    def __init__(self, created: int, model: str) -> None:
        """`created` is in Unix seconds; `model` stands until the provider names the model that answers."""
        self._id, self._created, self._model = f"chatcmpl-{uuid.uuid4().hex}", created, model
        self._usage: Usage | None = None
        self._finish = Finish("stop", "")

    def _record(self, event: Item) -> None:
        """Records what Start, Usage and Finish say for the objects to come."""
        if isinstance(event, Start):
            self._model = event.model
        elif isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, Finish):
            self._finish = event

    def _choice(self, name: str, message: dict[str, object], logprobs: list[object] | None) -> dict[str, object]:
        """Returns the only choice, with its last message or delta. The provider's explanation goes into `refusal`.

        Where the model has not refused, `explanation` has it, a field that OpenAI does not know.
        """
        reason, explanation = OPENAI_REASONS.get(self._finish.reason, self._finish.reason), self._finish.explanation
        choice: dict[str, object] = {
            "index": 0,
            name: message,
            "logprobs": _logprobs(logprobs),
            "finish_reason": reason,
        }
        if explanation and reason == "content_filter":
            message["refusal"] = explanation
        elif explanation:
            choice["explanation"] = explanation
        return choice

    def _object(self, **fields: object) -> dict[str, object]:
        return {"id": self._id, "object": self.object_type, "created": self._created, "model": self._model, **fields}

    def _openai_usage(self) -> dict[str, object] | None:
        usage = self._usage
        if usage is None:
            return None
        return {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        }


class ChunkEncoder(_Completion):
    """An AnswerEncoder: chunks as Server-Sent Events, and the usage as the last one if `include_usage`."""

    object_type = "chat.completion.chunk"
    media_type = "text/event-stream"
    eager = False
    has_finish_reason = True
    keep_alive = b": keep-alive\n\n"

    def __init__(self, created: int, model: str, include_usage: bool) -> None:
        super().__init__(created, model)
        self._include_usage = include_usage
        self._role: dict[str, str] = {"role": "assistant"}  # in the first delta only
        self._around_text: tuple[str, str] | None = None  # a chunk's JSON before and after the text of its delta

    def feed(self, events: Sequence[Item]) -> bytes:
        return encode("".join(map(self._frame, events)))

    def _frame(self, event: Item) -> str:
        if isinstance(event, Text):
            if isinstance(event, ScoredText):
                return self._chunk({"content": event.text}, event.logprobs)
            # All chunks of text after the first are the same but for the text: only the text is encoded.
            if self._around_text:
                return f"{self._around_text[0]}{to_json(event.text)}{self._around_text[1]}"
            first = self._chunk({"content": event.text})
            before, after = self._chunk({"content": ""}).rsplit('"content": ""', 1)
            self._around_text = f'{before}"content": ', after
            return first
        if isinstance(event, Reasoning):
            return self._chunk({"reasoning_content": event.text})
        if isinstance(event, ToolCall):
            return self._chunk({"tool_calls": [_tool_call_delta(event)]})
        if isinstance(event, Source):
            return self._chunk({"annotations": [_annotation(event)]})
        self._record(event)
        return ""

    def _chunk(self, delta: dict[str, object], logprobs: list[object] | None = None) -> str:
        return self._chunk_of({"index": 0, "delta": delta, "logprobs": _logprobs(logprobs), "finish_reason": None})

    def _chunk_of(self, choice: dict[str, Any]) -> str:
        choice["delta"] = self._role | choice["delta"]
        self._role = {}
        usage = {"usage": None} if self._include_usage else {}
        return _frame(self._object(choices=[choice], **usage))

    def close(self) -> bytes:
        last = self._chunk_of(self._choice("delta", {}, None))
        if self._include_usage:
            last += _frame(self._object(choices=[], usage=self._openai_usage()))
        return encode(last + DONE)

    def error(self, error: Error) -> bytes:
        return encode(_frame({"error": openai_error(502, message_with_hint(error))}))


class CompletionEncoder(_Completion):
    """An AnswerEncoder: one JSON object when the answer is complete."""

    object_type = "chat.completion"
    media_type = "application/json"
    eager = False
    has_finish_reason = True
    keep_alive = b""

    def __init__(self, created: int, model: str) -> None:
        super().__init__(created, model)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[ToolCall]] = {}  # the deltas of each call
        self._annotations: list[dict[str, object]] = []
        self._logprobs: list[object] = []

    def feed(self, events: Sequence[Item]) -> bytes:
        for event in events:
            if isinstance(event, Text):
                self._text.append(event.text)
                if isinstance(event, ScoredText):
                    self._logprobs += event.logprobs
            elif isinstance(event, Reasoning):
                self._reasoning.append(event.text)
            elif isinstance(event, ToolCall):
                self._calls.setdefault(event.index, []).append(event)
            elif isinstance(event, Source):
                self._annotations.append(_annotation(event))
            else:
                self._record(event)
        return b""

    def close(self) -> bytes:
        text = "".join(self._text)
        content = text or (None if self._calls else "")
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [_tool_call(deltas) for deltas in self._calls.values()]
        if self._annotations:
            message["annotations"] = self._annotations
        choice = self._choice("message", message, self._logprobs)
        return encode(to_json(self._object(choices=[choice], usage=self._openai_usage())))

    def error(self, error: Error) -> bytes:
        raise AssertionError("the head goes out with the complete object, so an error has a response of its own")


def _frame(value: dict[str, object]) -> str:
    return f"data: {to_json(value)}\n\n"


def _logprobs(scores: list[object] | None) -> dict[str, object] | None:
    """Returns what the provider says of the tokens, None for nothing."""
    return {"content": scores, "refusal": None} if scores else None


def _annotation(source: Source) -> dict[str, object]:
    """Returns a source as OpenAI has it; a place that is not known is the empty one at the beginning."""
    place = {"start_index": source.start or 0, "end_index": source.end or 0}
    return {"type": "url_citation", "url_citation": {"url": source.url, "title": source.title, **place}}


def _tool_call_delta(delta: ToolCall) -> dict[str, object]:
    function = {"arguments": delta.arguments}
    if delta.id or delta.name:
        return {"index": delta.index, "id": delta.id, "type": "function", "function": {"name": delta.name, **function}}
    return {"index": delta.index, "function": function}


def _tool_call(deltas: list[ToolCall]) -> dict[str, object]:
    """Joins the deltas of a call; its id and its name stand in the first one."""
    arguments = "".join(delta.arguments for delta in deltas)
    return {"id": deltas[0].id, "type": "function", "function": {"name": deltas[0].name, "arguments": arguments}}
