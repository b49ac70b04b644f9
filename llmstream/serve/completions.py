"""The answer of POST /v1/chat/completions, as OpenAI's Chat Completions have it, in one piece and streamed.

https://platform.openai.com/docs/api-reference/chat/object and .../chat-streaming
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from ..core.events import Event, Finish, Reasoning, Start, Text, ToolCall, Usage
from ..core.text import encode
from ..errors import Error
from .refusal import kind, told
from .sse import DONE

_json = json.JSONEncoder(ensure_ascii=False).encode

REASONS = {"cancelled": "stop", "refusal": "content_filter"}  # all others have the same names


class _Head:
    """The fields that every object of an answer has; `model` is the one that answers, as soon as it is known."""

    def __init__(self, kind: str, created: int, model: str) -> None:
        self._id, self._kind, self._created, self.model = f"chatcmpl-{uuid.uuid4().hex}", kind, created, model

    def fields(self) -> dict[str, object]:
        return {"id": self._id, "object": self._kind, "created": self._created, "model": self.model}


class Streamed:
    """A Renderer: chunks as Server-Sent Events. The usage goes last, if it was asked for."""

    media_type = "text/event-stream"
    eager = False
    comment = b": keep-alive\n\n"

    def __init__(self, created: int, model: str, include_usage: bool) -> None:
        self._head = _Head("chat.completion.chunk", created, model)
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._include_usage = include_usage
        self._null = {"usage": None} if include_usage else {}
        self._role: dict[str, str] = {"role": "assistant"}  # of the first delta
        self._around: tuple[str, str] | None = None  # what stands around the text of a delta

    def feed(self, events: list[Event]) -> bytes:
        return encode("".join(map(self._frame, events)))

    def _frame(self, event: Event) -> str:
        if isinstance(event, Text):
            if self._around:
                return f"{self._around[0]}{_json(event.text)}{self._around[1]}"
            first = self._delta({"content": event.text})
            before, after = self._delta({"content": ""}).rsplit('"content": ""', 1)
            self._around = f'{before}"content": ', after
            return first
        if isinstance(event, Reasoning):
            return self._delta({"reasoning_content": event.text})
        if isinstance(event, ToolCall):
            return self._delta({"tool_calls": [_piece(event)]})
        if isinstance(event, Start):
            self._head.model = event.model
        elif isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, Finish):
            self._finish = event
        return ""

    def _delta(self, delta: dict[str, object], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": self._role | delta, "logprobs": None, "finish_reason": reason}
        self._role = {}
        return _data({**self._head.fields(), "choices": [choice], **self._null})

    def close(self) -> bytes:
        last = self._delta({}, _reason(self._finish))
        if self._include_usage:
            last += _data({**self._head.fields(), "choices": [], "usage": _usage(self._usage)})
        return encode(last + DONE)

    def error(self, error: Error) -> bytes:
        return encode(_data({"error": {"message": told(error), "type": kind(502), "param": None, "code": None}}))


class Whole:
    """A Renderer: one object, at the end."""

    media_type = "application/json"
    eager = False
    comment = b""

    def __init__(self, created: int, model: str) -> None:
        self._head = _Head("chat.completion", created, model)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._usage: Usage | None = None
        self._finish: Finish | None = None

    def feed(self, events: list[Event]) -> bytes:
        for event in events:
            if isinstance(event, Text):
                self._text.append(event.text)
            elif isinstance(event, Reasoning):
                self._reasoning.append(event.text)
            elif isinstance(event, ToolCall):
                self._call(event)
            elif isinstance(event, Start):
                self._head.model = event.model
            elif isinstance(event, Usage):
                self._usage = event
            elif isinstance(event, Finish):
                self._finish = event
        return b""

    def _call(self, event: ToolCall) -> None:
        call = self._calls.setdefault(event.index, {"id": event.id, "name": event.name, "pieces": []})
        call["pieces"].append(event.arguments)

    def close(self) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text) or None, "refusal": None}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": "".join(call["pieces"])},
                }
                for call in self._calls.values()
            ]
        elif message["content"] is None:
            message["content"] = ""
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(self._finish)}
        return encode(_json({**self._head.fields(), "choices": [choice], "usage": _usage(self._usage)}))

    def error(self, error: Error) -> bytes:
        raise AssertionError("its head goes out with its end only")


def _data(value: dict[str, object]) -> str:
    return f"data: {_json(value)}\n\n"


def _reason(finish: Finish | None) -> str:
    return REASONS.get(finish.reason, finish.reason) if finish else "stop"


def _piece(event: ToolCall) -> dict[str, object]:
    function = {"arguments": event.arguments}
    if not (event.id or event.name):
        return {"index": event.index, "function": function}
    return {"index": event.index, "id": event.id, "type": "function", "function": {"name": event.name, **function}}


def _usage(usage: Usage | None) -> dict[str, object] | None:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
