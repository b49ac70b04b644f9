"""Ollama's native API, read only: the lines of JSON of `/api/chat` and `/api/generate`.

Source: Ollama's "API" document. The line with `"done": true` is the end mark.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import arguments, items, member, number, string
from ..core.events import Event, Reasoning, Text, Usage


class Decoder(decoder.Decoder):
    """Decodes the lines of both endpoints."""

    api = "ollama"

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self.started else [self.start(data)]
        if thinking := string(data, "message", "thinking") or string(data, "thinking"):
            events.append(Reasoning(thinking))
        if text := string(data, "message", "content") or string(data, "response"):
            events.append(Text(text))
        for call in items(data, "message", "tool_calls"):
            function = call.get("function")
            name, text = string(function, "name"), arguments(member(function, "arguments"))
            events += self.calls.add(object(), string(call, "id"), name, text)
        if data.get("done") is True:
            self.usage = Usage(number(data, "prompt_eval_count"), number(data, "eval_count"))
            self.end(string(data, "done_reason") or "stop")
            self.over = True
        return events
