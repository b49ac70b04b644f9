"""Bedrock's Converse API, read only: the events of ConverseStream, and the answers of Converse.

Sources: Amazon Bedrock API reference, ConverseStreamOutput; Amazon Nova User Guide, whose own API has the same events,
each within an object that names it. The event `messageStop` is the end mark, and `metadata` follows it.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import Blocks, arguments, items, member, number, string
from ..core.events import Event, Reasoning, Source, Text, Usage

EVENTS = ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata")


class Decoder(decoder.Decoder):
    """Decodes the text, reasoning, tool calls and citations of all content blocks."""

    api = "converse"

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._blocks = Blocks()
        self._cited: set[str] = set()

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self.started else [self.start({})]
        for name in EVENTS:
            if isinstance(data.get(name), dict):
                event, data = name, data[name]
                break
        block = number(data, "contentBlockIndex")
        if event == "contentBlockStart":
            events += self._read_block(block, data.get("start"))
        elif event == "contentBlockDelta":
            events += self._read_block(block, data.get("delta"))
        elif event == "messageStop":
            self.end(string(data, "stopReason"))
        elif event == "metadata":
            self._read_usage(data)
            self.over = self.finish is not None
        return events

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = [self.start(data)]
        for index, block in enumerate(items(data, "output", "message", "content")):
            events += self._read_block(index, block)
        self._read_usage(data)
        self.end(string(data, "stopReason"))
        return events

    def _read_block(self, index: int, block: Any) -> list[Event]:
        """Decodes a content block, or a piece of one."""
        if text := string(block, "text"):
            return [Text(self._blocks.add(text))]
        reasoning = member(block, "reasoningContent")
        if text := string(reasoning, "text") or string(reasoning, "reasoningText", "text"):
            return [Reasoning(text)]
        call = member(block, "toolUse")
        if isinstance(call, dict):
            self._blocks.begin()
            return self.calls.add(index, string(call, "toolUseId"), string(call, "name"), arguments(call.get("input")))
        if isinstance(member(block, "toolResult"), dict):
            self._blocks.begin()
        if isinstance(member(block, "image"), dict):
            self._blocks.begin()
            self.dropped.append("an image")
        events: list[Event] = []
        cited = member(block, "citationsContent")
        for part in items(cited, "content"):
            events += self._read_block(index, part)
        for citation in [member(block, "citation"), *items(cited, "citations")]:
            events += self._cite(citation)
        return events

    def _cite(self, citation: Any) -> list[Event]:
        url = string(citation, "location", "web", "url")
        if not url or url in self._cited:
            return []
        self._cited.add(url)
        return [Source(url, string(citation, "title"))]

    def _read_usage(self, data: dict[str, Any]) -> None:
        usage = data.get("usage")
        if isinstance(usage, dict):
            cached, written = number(usage, "cacheReadInputTokens"), number(usage, "cacheWriteInputTokens")
            self.usage = Usage(
                number(usage, "inputTokens") + cached + written,
                number(usage, "outputTokens"),
                cached,
                0,
                written,
                sum(
                    number(detail, "inputTokens")
                    for detail in items(usage, "cacheDetails")
                    if detail.get("ttl") == "1h"
                ),
                tier=string(data, "serviceTier", "type"),
            )
