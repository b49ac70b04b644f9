"""Google's Interactions API, read only: its server-sent events, of both versions, and its answers in one piece.

Source: Gemini API reference, "Interactions": events `interaction.*` and `step.*`, before 2026 `content.*`. The event
`interaction.completed`, earlier `interaction.complete`, is the end mark.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import Blocks, arguments, items, member, number, string
from ..core.events import Event, Reasoning, Text, Usage
from .gemini import MEDIA, Sources

OUTPUT = ("text", "thought", "thought_summary", "thought_signature", "text_annotation_delta", "model_output")


class Decoder(decoder.Decoder):
    """Decodes the texts, summaries of thoughts, tool calls and citations of all steps."""

    api = "interactions"

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._blocks = Blocks()
        self._sources = Sources()

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = string(data, "event_type") or string(data, "type") or event
        if kind in ("step.start", "content.start", "step.delta", "content.delta"):
            block = data.get("step") or data.get("content") or data.get("delta")
            return self._read(number(data, "index"), block)
        interaction = data.get("interaction")
        if kind in ("interaction.created", "interaction.start"):
            return self._begin(interaction)
        if kind in ("interaction.completed", "interaction.complete"):
            self._end(interaction)
            self.over = True
        return []

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        events = self._begin(data)
        for index, block in enumerate(items(data, "steps") or items(data, "outputs")):
            events += self._read(index, block)
        self._end(data)
        return events

    def close(self) -> list[Event]:
        """Returns the sources."""
        return self._sources.close()

    def _begin(self, interaction: Any) -> list[Event]:
        if self.started or not isinstance(interaction, dict):
            return []
        return [self.start(interaction | {"model": interaction.get("model") or interaction.get("agent")})]

    def _read(self, index: int, block: Any) -> list[Event]:
        """Decodes a step, a content block, or a piece of one."""
        kind = string(block, "type")
        for annotation in items(block, "annotations"):
            place = number(annotation, "start_index"), number(annotation, "end_index")
            url = string(annotation, "url") or string(annotation, "source")
            self._sources.add(url, string(annotation, "title"), *place)
        if kind == "text":
            text = string(block, "text")
            self._sources.text.append(text)
            return [Text(self._blocks.add(text))] if text else []
        if kind == "model_output":
            return [event for part in items(block, "content") for event in self._read(index, part)]
        if kind in ("thought", "thought_summary"):
            parts = [member(block, "content"), *items(block, "summary")]
            return [Reasoning(text) for part in parts if (text := string(part, "text"))]
        if kind == "arguments_delta":
            text = string(block, "partial_arguments") or string(block, "arguments")
            return self.calls.add(index, arguments=text) if index in self.calls else []
        if kind not in OUTPUT:
            self._blocks.begin()
        if kind in (*MEDIA, "document"):
            self.dropped.append(MEDIA.get(kind, "a file"))
        if kind == "function_call":
            return self.calls.add(index, string(block, "id"), string(block, "name"), arguments(block.get("arguments")))
        return []

    def _end(self, interaction: Any) -> None:
        usage = member(interaction, "usage")
        if isinstance(usage, dict):
            thoughts, total = number(usage, "total_thought_tokens"), number(usage, "total_tokens")
            read = number(usage, "total_input_tokens") + number(usage, "total_tool_use_tokens")
            self.usage = Usage(
                read,
                total - read if total else number(usage, "total_output_tokens") + thoughts,
                number(usage, "total_cached_tokens"),
                thoughts,
                tier=string(interaction, "service_tier"),
            )
        self.end(string(interaction, "status") or "completed", string(interaction, "error", "message"))
