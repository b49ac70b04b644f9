"""Transcripts of providers' responses and their meaning: one folder a server.

A transcript is a body as it comes off the wire: `NAME.sse` (an event stream), `NAME.ndjson` (a stream of lines) or
`NAME.json` (anything else). Its entry in the folder's `expected.toml` says what a reader must make of it:

    api                   the dialect
    model                 the model's name in the Start event, where that is worth a check
    text, reasoning       joined from all pieces
    calls                 [id, name, arguments] of each tool call
    sources               [url, title, start, end] of each source, as far as they are known
    usage                 input, output, cached, reasoning and, if not 0, cache-write tokens
    finish                the reason and the provider's reason of a complete answer
    status, says          the exit status and a part of the message of any other answer
    http                  the response's status, if not 200
    premature             finish reasons come before the end: a cut stream may seem complete
    sdk                   why the official SDK reads the body wrongly or not at all
    sdk_usage             false if only the SDK's usage is wrong
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llmstream.core.events import Event, Finish, Reasoning, Source, Start, Text, ToolCall, Usage
from llmstream.core.exchange import Exchange
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects import dialect

CONTENT_TYPES = {".sse": "text/event-stream", ".ndjson": "application/x-ndjson", ".json": "application/json"}
FOLDER = Path(__file__).parent.parent / "wire"


class Transcript:
    """A response body and its meaning."""

    def __init__(self, path: Path, expected: dict[str, Any]) -> None:
        self.name = f"{path.parent.name}/{path.stem}"
        self.body = path.read_bytes()
        self.content_type = CONTENT_TYPES[path.suffix]
        self.is_stream = path.suffix != ".json"
        self.is_sse = path.suffix == ".sse"
        self.api: str = expected["api"]
        self.http: int = expected.get("http", 200)
        self.model: str | None = expected.get("model")
        self.says: str = expected.get("says", "")
        self.premature: bool = expected.get("premature", False)
        self.sdk: str = expected.get("sdk", "")
        self.sdk_usage: bool = expected.get("sdk_usage", True)
        self.meaning = {
            "text": expected.get("text", ""),
            "reasoning": expected.get("reasoning", ""),
            "calls": expected.get("calls", []),
            "sources": expected.get("sources", []),
            "finish": expected.get("finish"),
            "usage": expected.get("usage"),
            "status": expected.get("status", 0),
        }

    def __repr__(self) -> str:
        return self.name

    @property
    def is_complete(self) -> bool:
        return self.meaning["status"] == 0

    def exchange(self) -> Exchange:
        """Makes an exchange that has read the head of this response."""
        decoder = dialect(self.api).Decoder("p", "m")
        exchange = Exchange(decoder, Timeouts(), Timing(0.0), 0.0, "http://host/path")
        exchange.head(self.http, {"content-type": self.content_type})
        return exchange


def load() -> list[Transcript]:
    """Loads all transcripts. Raises KeyError for a body without an entry or an entry without a body."""
    transcripts = []
    for table in sorted(FOLDER.glob("*/expected.toml")):
        entries = tomllib.loads(table.read_text())
        bodies = sorted(path for path in table.parent.iterdir() if path != table)
        transcripts += [Transcript(path, entries.pop(path.stem)) for path in bodies]
        if entries:
            raise KeyError(f"{table}: no body for {', '.join(entries)}")
    return transcripts


TRANSCRIPTS = load()


def read(exchange: Exchange, chunks: Iterable[bytes]) -> list[Event]:
    """Feeds the chunks and the end of a body; returns all events."""
    events = [event for chunk in chunks for event in exchange.feed(chunk, 1.0)]
    return events + exchange.close(2.0)


def meaning(exchange: Exchange, events: list[Event]) -> dict[str, Any]:
    """Sums events up in the terms of `expected.toml`."""
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCall):
            call = calls.setdefault(event.index, ["", "", ""])
            for place, piece in enumerate((event.id, event.name, event.arguments)):
                call[place] += piece
    finishes = [[event.reason, event.provider_reason] for event in events if isinstance(event, Finish)]
    usages = [list(usage_of(event)) for event in events if isinstance(event, Usage)]
    assert len(finishes) <= 1
    assert len(usages) <= 1
    sources = [event.as_dict() for event in events if isinstance(event, Source)]
    return {
        "text": "".join(event.text for event in events if isinstance(event, Text)),
        "reasoning": "".join(event.text for event in events if isinstance(event, Reasoning)),
        "calls": [calls[index] for index in sorted(calls)],
        "sources": [[value for name, value in source.items() if name != "type"] for source in sources],
        "finish": finishes[0] if finishes else None,
        "usage": usages[0] if usages else None,
        "status": exchange.failure.status if exchange.failure else 0,
    }


def usage_of(usage: Usage) -> tuple[int, ...]:
    counts = usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens
    return (*counts, usage.cache_write_tokens) if usage.cache_write_tokens else counts


def starts(events: list[Event]) -> list[Start]:
    return [event for event in events if isinstance(event, Start)]
