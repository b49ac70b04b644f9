"""Ollama's native API, read only: the lines of JSON of `/api/chat` and `/api/generate`.

Source: Ollama's "API" document. The line with `"done": true` is the end mark.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import as_json, items, member, number, string
from ..core.events import Event, Finish, Reasoning, Text, ToolCall, Usage


class Decoder(decoder.Decoder):
    """Decodes the lines of both endpoints."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._calls = 0

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self.started else [self.start(data)]
        if thinking := string(data, "message", "thinking") or string(data, "thinking"):
            events.append(Reasoning(thinking))
        if text := string(data, "message", "content") or string(data, "response"):
            events.append(Text(text))
        events += [self._call(call) for call in items(data, "message", "tool_calls")]
        if data.get("done") is True:
            self.usage = Usage(number(data, "prompt_eval_count"), number(data, "eval_count"))
            word = string(data, "done_reason")
            reason = "length" if word == "length" else "tool_calls" if self._calls else "stop"
            self.finish = Finish(reason, word)
            self.over = True
        return events

    def _call(self, call: dict[str, Any]) -> ToolCall:
        arguments = as_json(member(call, "function", "arguments") or {})
        self._calls += 1
        return ToolCall(self._calls - 1, string(call, "id"), string(call, "function", "name"), arguments)
