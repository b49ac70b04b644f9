"""Google's Gemini API, read only: `streamGenerateContent`, as server-sent events and as an array that grows.

Source: Gemini API reference, "Generating content". There is no end mark but the finish reason, which some servers
repeat in every chunk; so the end is that of the stream.
"""

from __future__ import annotations

import json
from typing import Any

from ..core import decoder
from ..core.decoder import items, member, number, string
from ..core.events import Event, Finish, Reasoning, Text, ToolCall, Usage

REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
}


class Decoder(decoder.Decoder):
    """Reads the parts of candidate 0."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._calls = 0

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        if not self.started:
            names = {"model": string(data, "modelVersion"), "id": string(data, "responseId")}
            events.append(self.start(names))
        self._read_usage(data)
        blocked = string(data, "promptFeedback", "blockReason")
        if blocked:
            self.finish = Finish("content_filter", blocked)
        for candidate in items(data, "candidates")[:1]:
            events += [found for part in items(candidate, "content", "parts") for found in self._read_part(part)]
            word = string(candidate, "finishReason")
            if word and word != "FINISH_REASON_UNSPECIFIED":
                reason = REASONS.get(word, "stop")
                self.finish = Finish("tool_calls" if reason == "stop" and self._calls else reason, word)
        return events

    def _read_part(self, part: dict[str, Any]) -> list[Event]:
        if text := string(part, "text"):
            return [Reasoning(text) if part.get("thought") else Text(text)]
        call = member(part, "functionCall")
        if not isinstance(call, dict):
            return []
        self._calls += 1
        arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
        return [ToolCall(self._calls - 1, string(call, "id"), string(call, "name"), arguments)]

    def _read_usage(self, data: dict[str, Any]) -> None:
        usage = data.get("usageMetadata")
        if isinstance(usage, dict):
            thoughts = number(usage, "thoughtsTokenCount")
            self.usage = Usage(
                number(usage, "promptTokenCount"),
                number(usage, "candidatesTokenCount") + thoughts,
                number(usage, "cachedContentTokenCount"),
                thoughts,
            )
