"""OpenAI Chat Completions, the dialect that all compatible servers share, with their quirks.

Source: OpenAI API reference, "Chat Completions: streaming". A server's own additions are read wherever they stand;
unknown fields and events are ignored.
"""

from __future__ import annotations

import json
from typing import Any

from ..core import decoder
from ..core.decoder import items, member, number, string
from ..core.events import Event, Finish, Reasoning, Text, ToolCall, Usage
from ..core.request import Request
from ..errors import Unavailable

PATH = "/chat/completions"

REASONS = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "refusal",
}
FAILURES = {  # finish reasons that are errors
    "error": "the provider ended the answer with an error",
    "insufficient_system_resource": "the provider ran out of resources",
}


def headers(key: str) -> list[str]:
    """HTTP header lines that carry the key."""
    return [f"Authorization: Bearer {key}"] if key else []


def body(request: Request, fields: dict[str, str]) -> dict[str, Any]:
    """The request's JSON, with `fields` as in Request.fill."""
    messages = [{"role": "user", "content": request.prompt}]
    if request.system is not None:
        messages.insert(0, {"role": "system", "content": request.system})
    wanted: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "stop": list(request.stop) or None,
    }
    return request.fill(wanted, fields)


class Decoder(decoder.Decoder):
    """Reads chunks of choice 0, and the usage, which may come with the last chunk, after it or in each."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._calls = 0  # tool calls seen, for servers that do not number them
        self._refused = False

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        if not self.started:
            events.append(self.start(data))
        self._read_usage(data)
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):
            return events
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            self._read_delta(delta, events)
        reason = choice.get("finish_reason")
        if reason and isinstance(reason, str):
            self._read_reason(reason)
        return events

    def answer(self, data: dict[str, Any]) -> list[Event]:
        return self.feed("", data) if isinstance(data.get("choices"), list) else []

    def done(self) -> list[Event]:
        self.over = True
        return []

    def _read_delta(self, delta: dict[str, Any], events: list[Event]) -> None:
        content = delta.get("content")
        if len(delta) == 1 and content and isinstance(content, str):  # as nearly all are: no need to look for the rest
            events.append(Text(content))
            return
        reasoning = string(delta, "reasoning_content") or string(delta, "reasoning") or string(delta, "thinking")
        if reasoning:
            events.append(Reasoning(reasoning))
        if isinstance(content, list):
            events += _parts(content)
        elif content and isinstance(content, str):
            events.append(Text(content))
        refusal = string(delta, "refusal")
        if refusal:
            events.append(Text(refusal))
            self._refused = True
        events += [self._call(call) for call in items(delta, "tool_calls")]
        if delta.get("function_call"):
            events.append(self._call({"index": 0, "function": delta["function_call"]}))

    def _call(self, call: dict[str, Any]) -> ToolCall:
        name, arguments = string(call, "function", "name"), member(call, "function", "arguments")
        index = call.get("index")
        if not isinstance(index, int):  # Gemini does not number them: a name begins a call
            index = self._calls if name else max(self._calls - 1, 0)
        self._calls = max(self._calls, index + 1)
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False) if arguments else ""
        return ToolCall(index, string(call, "id"), name, arguments)

    def _read_reason(self, word: str) -> None:
        if word in FAILURES:
            self.failure = Unavailable(FAILURES[word])
            return
        reason = "refusal" if self._refused else REASONS.get(word.lower(), "stop")
        if reason == "stop" and self._calls:  # Gemini says stop for tool calls
            reason = "tool_calls"
        self.finish = Finish(reason, word)

    def _read_usage(self, data: dict[str, Any]) -> None:
        usage = data.get("usage") or member(data, "x_groq", "usage")
        if isinstance(usage, dict):
            self.usage = Usage(
                number(usage, "prompt_tokens"),
                number(usage, "completion_tokens"),
                number(usage, "prompt_tokens_details", "cached_tokens") or number(usage, "prompt_cache_hit_tokens"),
                number(usage, "completion_tokens_details", "reasoning_tokens"),
            )


def _parts(parts: Any) -> list[Event]:
    """Content as a list of typed parts (Mistral's reasoning models)."""
    events: list[Event] = []
    for part in parts:
        if text := string(part, "text"):
            events.append(Text(text))
        if thinking := string(part, "thinking"):
            events.append(Reasoning(thinking))
        events += [Reasoning(text) for inner in items(part, "thinking") if (text := string(inner, "text"))]
    return events
