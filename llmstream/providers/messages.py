"""Anthropic Messages.

Source: Anthropic API documentation, "Streaming messages". `message_delta` carries the stop reason and the cumulative
usage; `message_stop` is the end mark. `ping` and unknown events are ignored.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import as_json, items, number, string
from ..core.events import Event, Finish, Reasoning, Text, ToolCall, Usage
from ..core.request import Request
from ..errors import UsageError

PATH = "/v1/messages"
VERSION = "2023-06-01"
MAX_TOKENS = 32000  # the field is required; every model of the current generations takes this much

REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}


def headers(key: str) -> list[str]:
    """HTTP header lines that carry the key and the protocol's version."""
    return [f"anthropic-version: {VERSION}"] + ([f"x-api-key: {key}"] if key else [])


def body(request: Request, fields: dict[str, str]) -> dict[str, Any]:
    """The request's JSON, with `fields` as in Request.fill."""
    if request.seed is not None:
        raise UsageError("the Messages API has no --seed: leave it out")
    wanted: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens or MAX_TOKENS,
        "messages": [{"role": "user", "content": request.prompt}],
        "stream": True,
        "system": request.system,
        "temperature": request.temperature,
        "stop_sequences": list(request.stop) or None,
    }
    return request.fill(wanted, fields)


class Decoder(decoder.Decoder):
    """Reads text, thinking and tool-input deltas of all content blocks."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._calls: dict[int, int] = {}  # content block of a tool call -> our index
        self._counts: dict[str, Any] = {}  # usage, as far as told

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = string(data, "type") or event
        if kind == "content_block_delta":
            return self._read_delta(data)
        if kind == "content_block_start":
            return self._read_block(number(data, "index"), data.get("content_block"))
        if kind == "message_start":
            message = data.get("message")
            self._read_usage(message)
            return [] if self.started else [self.start(message if isinstance(message, dict) else {})]
        if kind == "message_delta":
            self._read_usage(data)
            if word := string(data, "delta", "stop_reason"):
                self.finish = Finish(REASONS.get(word, "stop"), word)
        elif kind == "message_stop":
            self.finish = self.finish or Finish("stop", "")
            self.over = True
        return []

    def answer(self, data: dict[str, Any]) -> list[Event]:
        if data.get("type") != "message":
            return []
        events: list[Event] = [self.start(data)]
        for index, block in enumerate(items(data, "content")):
            events += self._read_block(index, block)
        self._read_usage(data)
        word = string(data, "stop_reason")
        self.finish = Finish(REASONS.get(word, "stop"), word)
        return events

    def _read_delta(self, data: dict[str, Any]) -> list[Event]:
        delta = data.get("delta")
        if text := string(delta, "text"):
            return [Text(text)]
        if thinking := string(delta, "thinking"):
            return [Reasoning(thinking)]
        block = number(data, "index")
        if block in self._calls and (part := string(delta, "partial_json")):
            return [ToolCall(self._calls[block], "", "", part)]
        return []

    def _read_block(self, index: int, block: Any) -> list[Event]:
        if text := string(block, "text"):
            return [Text(text)]
        if thinking := string(block, "thinking"):
            return [Reasoning(thinking)]
        if string(block, "type") == "tool_use":
            call = self._calls.setdefault(index, len(self._calls))
            arguments = as_json(block["input"]) if block.get("input") else ""
            return [ToolCall(call, string(block, "id"), string(block, "name"), arguments)]
        return []

    def _read_usage(self, data: Any) -> None:
        """Usage is cumulative and partial: a later record replaces the fields that it has."""
        usage = data.get("usage") if isinstance(data, dict) else None
        if not isinstance(usage, dict):
            return
        counts = self._counts
        counts.update({k: v for k, v in usage.items() if v is not None})
        cached, written = number(counts, "cache_read_input_tokens"), number(counts, "cache_creation_input_tokens")
        self.usage = Usage(
            number(counts, "input_tokens") + cached + written,
            number(counts, "output_tokens"),
            cached,
            number(counts, "output_tokens_details", "thinking_tokens"),
            written,
        )
