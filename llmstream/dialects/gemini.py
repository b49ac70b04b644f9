"""Google's Gemini API, read only: `streamGenerateContent`, as server-sent events or as a JSON array.

Source: Gemini API reference, "Generating content". The finish reason is the only end mark, but some servers repeat it
in every chunk; so an answer ends with the stream.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import as_json, items, member, number, string
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
    """Decodes the parts of candidate 0."""

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
            events += [event for part in items(candidate, "content", "parts") for event in self._read_part(part)]
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
        arguments = as_json(call.get("args") or {})
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
