"""Any provider's raw stream, recognised by its first event."""

from __future__ import annotations

import json
from typing import Any

from ..core import provider_errors, sse
from ..core.decoder import Decoder
from ..core.events import Event
from ..core.exchange import Exchange
from ..core.sse import Frame
from ..core.timing import Timeouts, Timing
from ..errors import Error, Incomplete

FIELDS = (b"data", b"event", b"id", b"retry", b"")  # of an event stream's lines, before the colon
MAX_HEAD_BYTES = sse.MAX_EVENT_BYTES  # bytes until the first event that tells
WHOLE = ("chat.completion", "response", "message")  # what kind of object an answer is that was not streamed
OWN = ("start", "text", "reasoning", "tool_call", "usage", "finish")
AGENT = ("system", "assistant", "user", "stream_event", "result")


def recognise(name: str, data: Any) -> Decoder | None:
    """The decoder of the stream that this event begins, or None if it does not tell. Imports only that one."""
    if not isinstance(data, dict):
        return None
    kind = data.get("type") or name
    kind = kind if isinstance(kind, str) else ""
    if "choices" in data or data.get("object") == "chat.completion.chunk":
        return _decoder("chat")
    if kind.startswith("response.") or data.get("object") == "response":
        return _decoder("responses")
    if kind in ("message_start", "message") or kind.startswith("content_block_"):
        return _decoder("messages")
    if kind in OWN:
        return _decoder("events")
    if kind in AGENT:
        return _decoder("agents", "ClaudeCode")
    if kind.startswith(("thread.", "turn.", "item.")):
        return _decoder("agents", "Codex")
    if "candidates" in data or "usageMetadata" in data or "promptFeedback" in data:
        return _decoder("gemini")
    if "done" in data:
        return _decoder("ollama")
    if kind == "error" and "status" in data:
        return _decoder("events")
    return _decoder("chat") if provider_errors.in_event(data, name) else None


def _decoder(module: str, name: str = "Decoder") -> Decoder:
    from importlib import import_module

    made: Decoder = getattr(import_module(f".{module}", __package__), name)(module, "")
    return made


class StreamReader:
    """Bytes in, events out, as an Exchange has them: once `over` is true, `failure` is why the answer is not whole."""

    def __init__(self, grace: float) -> None:
        self._timeouts = Timeouts(None, None, None, grace=grace)
        self._exchange: Exchange | None = None
        self._head: list[bytes] = []  # what came before the stream was recognised
        self._held = 0
        self._frames: Any = None  # a parser, while nothing is recognised
        self._kind: Any = None
        self._type = "text/event-stream"  # or application/json, of an answer that was not streamed
        self._failure: Error | None = None

    @property
    def exchange(self) -> Exchange | None:
        """The exchange, once the stream is recognised."""
        return self._exchange

    @property
    def over(self) -> bool:
        return self._failure is not None or (self._exchange is not None and self._exchange.over)

    @property
    def failure(self) -> Error | None:
        return self._exchange.failure if self._exchange else self._failure

    def deadline(self) -> float | None:
        return self._exchange.deadline() if self._exchange else None

    def expire(self, now: float) -> list[Event]:
        return self._exchange.expire(now) if self._exchange else []

    def feed(self, chunk: bytes, now: float) -> list[Event]:
        """The events that chunk completes."""
        if self._exchange:
            return self._exchange.feed(chunk, now)
        self._head.append(chunk)
        self._held += len(chunk)
        try:
            decoder = self._recognise(chunk)
        except Incomplete as error:
            self._failure = error
            return []
        if decoder is not None:
            return self._begin(decoder, now)
        if self._held > MAX_HEAD_BYTES:
            self._failure = self._unknown()
        return []

    def close(self, now: float) -> list[Event]:
        """The input has ended: the last events, and the verdict."""
        if self._exchange:
            return self._exchange.close(now)
        decoder = self._first(self._frames.close()) if self._frames else None
        if decoder is None:
            self._failure = self._failure or self._unknown()
            return []
        events = self._begin(decoder, now)
        assert self._exchange
        return events + self._exchange.close(now)

    def _recognise(self, chunk: bytes) -> Decoder | None:
        if self._frames is not None:
            return self._first(self._frames.feed(chunk))
        head = b"".join(self._head).removeprefix(sse.BOM).lstrip()
        if not head:
            return None
        if head[:1] in b"{[":
            from ..core.json import frames

            self._kind = frames.Parser
        else:
            field, colon, _ = head.partition(b":")
            if field not in FIELDS and (colon or len(head) > max(map(len, FIELDS))):
                raise self._unknown()
            if not colon:
                return None
            self._kind = sse.Parser
        self._frames = self._kind()
        return self._first(self._frames.feed(b"".join(self._head)))

    def _first(self, frames: list[Frame]) -> Decoder | None:
        for name, data in frames:
            try:
                value = json.loads(data)
            except (ValueError, RecursionError):
                continue
            decoder = recognise(name, value)
            if decoder is not None:
                if value.get("object") in WHOLE or value.get("type") in WHOLE:
                    self._type = "application/json"
                return decoder
        return None

    def _begin(self, decoder: Decoder, now: float) -> list[Event]:
        self._exchange = Exchange(decoder, self._timeouts, Timing(now), now, "the input", self._kind())
        self._exchange.head(200, {"content-type": self._type})
        head, self._head = b"".join(self._head), []
        return self._exchange.feed(head, now)

    def _unknown(self) -> Error:
        begin = b"".join(self._head)[:80].decode("utf-8", "replace").strip()
        if not begin:
            return Incomplete("the input is empty: was there an answer?")
        return Incomplete(f"this is no stream that is known: it begins with {begin}")
