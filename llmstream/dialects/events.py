"""The NDJSON of `llmstream gen --events`, and the server-sent events of `llmstream serve` at /chat/stream, read only.

The latter have names in place of types, text without a name, and `[DONE]` after the finish.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import amount, number, string
from ..core.events import Event, Finish, Reasoning, ScoredText, Source, Text, Usage
from ..errors import STATUSES, Incomplete

ERRORS = {status.status: status for status in STATUSES}


class Decoder(decoder.Decoder):
    """Decodes the events; the error of an `error` record has the exit status that the record names."""

    reports_errors = False  # only a record of type error does

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = string(data, "type") or event
        if kind == "start":
            self.provider = string(data, "provider")
            return [self.start(data)]
        if not kind and (content := string(data, "content")):
            return [Text(content)] if self.started else [self.start({}), Text(content)]
        if kind == "text":
            text, scores = string(data, "text"), data.get("logprobs")
            return [ScoredText(text, scores) if isinstance(scores, list) else Text(text)]
        if kind == "source":
            place = (data[name] if isinstance(data.get(name), int) else None for name in ("start", "end"))
            return [Source(string(data, "url"), string(data, "title"), *place)]
        if kind == "reasoning":
            return [Reasoning(string(data, "text") or string(data, "reasoning"))]
        if kind == "tool_call":
            return self.calls.add(number(data, "index"), *(string(data, k) for k in ("id", "name", "arguments")))
        if kind == "usage":
            self.usage = Usage(*(number(data, name) for name in Usage.counts), tier=string(data, "tier"))
            self.usage.cost_usd = amount(data, "cost_usd")
        elif kind == "finish":
            self.finish = Finish(*(string(data, name) for name in Finish.__slots__))
            self.over = not event  # in a stream of serve an error may follow
        elif kind == "error":
            message = string(data, "message") or "the stream ends with an error"
            self.failure = ERRORS.get(number(data, "status"), Incomplete)(message)
        return []
