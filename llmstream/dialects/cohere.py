"""Cohere's chat API, version 2, read only: its server-sent events, and its answers in one piece.

Source: Cohere API reference, "Chat with streaming". The event `message-end` is the end mark.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import items, member, number, string
from ..core.events import Event, Reasoning, Source, Text, Usage


class Decoder(decoder.Decoder):
    """Decodes text, thinking, the plan of tools as reasoning, tool calls and citations."""

    api = "cohere"

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._cited: set[tuple[str, int, int]] = set()

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = string(data, "type") or event
        message = member(data, "delta", "message")
        if kind == "message-start" and not self.started:
            return [self.start(data)]
        if kind in ("content-start", "content-delta"):
            return _content(member(message, "content"))
        if kind == "tool-plan-delta":
            return _content({"thinking": string(message, "tool_plan")})
        if kind in ("tool-call-start", "tool-call-delta"):
            return self._call(number(data, "index"), member(message, "tool_calls"))
        if kind == "citation-start":
            return self._cite(member(message, "citations"))
        if kind == "message-end":
            self._end(data.get("delta"))
            self.over = True
        return []

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        message = data.get("message")
        events: list[Event] = [self.start(data), *_content({"thinking": string(message, "tool_plan")})]
        for part in items(message, "content"):
            events += _content(part)
        for index, call in enumerate(items(message, "tool_calls")):
            events += self._call(index, call)
        for citation in items(message, "citations"):
            events += self._cite(citation)
        self._end(data)
        return events

    def _call(self, index: int, call: Any) -> list[Event]:
        function = member(call, "function")
        return self.calls.add(index, string(call, "id"), string(function, "name"), string(function, "arguments"))

    def _cite(self, citation: Any) -> list[Event]:
        start, end = number(citation, "start"), number(citation, "end")
        events: list[Event] = []
        for source in items(citation, "sources"):
            page = source.get("document") or source.get("tool_output")
            url = string(page, "url")
            if url and (url, start, end) not in self._cited:
                self._cited.add((url, start, end))
                events.append(Source(url, string(page, "title"), start, end))
        return events

    def _end(self, data: Any) -> None:
        usage = member(data, "usage")
        if isinstance(usage, dict):
            counts = usage.get("tokens") or usage.get("billed_units")
            read, written = number(counts, "input_tokens"), number(counts, "output_tokens")
            self.usage = Usage(read, written, number(usage, "cached_tokens"))
        self.end(string(data, "finish_reason"), string(data, "error"))


def _content(content: Any) -> list[Event]:
    if text := string(content, "text"):
        return [Text(text)]
    thinking = string(content, "thinking")
    return [Reasoning(thinking)] if thinking else []
