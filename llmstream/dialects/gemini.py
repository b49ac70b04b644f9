"""Google's Gemini API, read only: `streamGenerateContent`, as server-sent events or as a JSON array.

Source: Gemini API reference, "Generating content". The finish reason is the only end mark, but some servers repeat it
in every chunk; so an answer ends with the stream.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import arguments, items, number, string
from ..core.events import Event, Finish, Reasoning, Text, Usage


class Decoder(decoder.Decoder):
    """Decodes the parts of candidate 0."""

    api = "gemini"

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        if not self.started:
            events.append(self.start({"model": data.get("modelVersion"), "id": data.get("responseId")}))
        self._read_usage(data)
        if blocked := string(data, "promptFeedback", "blockReason"):
            self.finish = Finish("content_filter", blocked)
        for candidate in items(data, "candidates")[:1]:
            events += [event for part in items(candidate, "content", "parts") for event in self._read_part(part)]
            word = string(candidate, "finishReason")
            if word and word != "FINISH_REASON_UNSPECIFIED":
                self.end(word, string(candidate, "finishMessage"))
        return events

    def _read_part(self, part: dict[str, Any]) -> list[Event]:
        if text := string(part, "text"):
            return [Reasoning(text) if part.get("thought") else Text(text)]
        call = part.get("functionCall")
        if not isinstance(call, dict):
            return []
        return self.calls.add(object(), string(call, "id"), string(call, "name"), arguments(call.get("args")))

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
