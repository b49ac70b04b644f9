"""Detects the dialect of a raw stream by its first events, and reads the stream."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from ..core import provider_errors, sse
from ..core.decoder import Decoder
from ..core.events import Event
from ..core.exchange import Exchange
from ..core.json_codec import loads_or_none
from ..core.sse import Frame
from ..core.timing import Timeouts, Timing
from ..errors import Error, Incomplete

SSE_FIELDS = (b"data", b"event", b"id", b"retry", b"error", b"")  # what a line of an event stream has before its colon
MAX_HEAD_BYTES = sse.MAX_EVENT_BYTES  # until the first event that is a sign
UNSTREAMED = ("chat.completion", "text_completion", "response", "message")  # `object` or `type` of a whole answer
JSON = "application/json"


class Sign(NamedTuple):
    """What tells a dialect: an event with any of these types, types' beginnings, `object`s or keys.

    The type is the event's `type`, or else its name. `decoder` is a class of the dialects, as MODULE.CLASS.
    """

    decoder: str
    types: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def matches(self, kind: str, data: dict[str, Any]) -> bool:
        """Whether the event is this sign; `kind` is its type."""
        return (
            kind in self.types
            or kind.startswith(self.prefixes)
            or data.get("object") in self.objects
            or any(key in data for key in self.keys)
        )


SIGNS = (  # the first that matches
    Sign("chat.Decoder", objects=("chat.completion.chunk", "text_completion"), keys=("choices",)),
    Sign("responses.Decoder", prefixes=("response.",), objects=("response",)),
    Sign("messages.Decoder", types=("message_start", "message"), prefixes=("content_block_",)),
    Sign("events.Decoder", types=("start", "text", "reasoning", "tool_call", "usage", "finish")),
    Sign("agents.ClaudeCode", types=("system", "assistant", "user", "stream_event", "result")),
    Sign("agents.Codex", prefixes=("thread.", "turn.", "item.")),
    Sign("gemini.Decoder", keys=("candidates", "usageMetadata", "promptFeedback")),
    Sign("ollama.Decoder", keys=("done",)),
)


def recognise(name: str, data: Any) -> Decoder | None:
    """Returns the decoder of a stream that begins with this event, or None if the event is no sign.

    `name` is the event's SSE name, "" without one. Only the decoder's module is imported.
    """
    if not isinstance(data, dict):
        return None
    kind = data.get("type") or name
    kind = kind if isinstance(kind, str) else ""
    for sign in SIGNS:
        if sign.matches(kind, data):
            return _decoder(sign.decoder)
    if kind == "error" and "status" in data:  # of gen --events; a provider's error has no status beside its type
        return _decoder("events.Decoder")
    return _decoder("chat.Decoder") if provider_errors.in_event(data, name) else None


def _decoder(path: str) -> Decoder:
    module, _, name = path.partition(".")
    decoder: Decoder = getattr(import_module(f".{module}", __package__), name)(module, "")
    return decoder


class StreamReader:
    """Reads a stream of any dialect: buffers its head until an event tells the dialect, then feeds an Exchange.

    As with an Exchange nothing is raised: once `over` is true, `failure` is why the answer is not complete, or None.
    `grace` is how many seconds a usage record may follow the end of the answer.
    """

    def __init__(self, grace: float) -> None:
        self._timeouts = Timeouts(None, None, None, grace=grace)
        self.exchange: Exchange | None = None  # once the stream is recognised
        self._head = bytearray()  # what came before
        self._make_parser: Callable[[], sse.Frames] = sse.Parser
        self._parser: sse.Frames | None = None  # of the head
        self._content_type = ""  # of an answer that is not a stream
        self._failure: Error | None = None

    @property
    def over(self) -> bool:
        return self._failure is not None or (self.exchange is not None and self.exchange.over)

    @property
    def failure(self) -> Error | None:
        return self.exchange.failure if self.exchange else self._failure

    def deadline(self) -> float | None:
        """Returns when to call `expire` unless something arrives; None for never."""
        return self.exchange.deadline() if self.exchange else None

    def expire(self, now: float) -> list[Event]:
        """Returns the last events when the wait for a usage record is over."""
        return self.exchange.expire(now) if self.exchange else []

    def feed(self, chunk: bytes, now: float) -> list[Event]:
        """Returns the events that chunk completes."""
        if self.exchange:
            return self.exchange.feed(chunk, now)
        self._head += chunk
        try:
            decoder = self._recognise(chunk)
        except Incomplete as error:
            self._failure = error
            return []
        if decoder is not None:
            return self._begin(decoder, now)
        if len(self._head) > MAX_HEAD_BYTES:
            self._failure = self._unknown()
        return []

    def close(self, now: float) -> list[Event]:
        """Ends the input; returns the last events."""
        if self.exchange:
            return self.exchange.close(now)
        decoder = self._recognise_frames(self._parser.close()) if self._parser else None
        if decoder is None:
            self._failure = self._failure or self._unknown()
            return []
        events = self._begin(decoder, now)
        assert self.exchange
        return events + self.exchange.close(now)

    def _recognise(self, chunk: bytes) -> Decoder | None:
        if self._parser is not None:
            return self._recognise_frames(self._parser.feed(chunk))
        head = self._head.removeprefix(sse.BOM).lstrip()
        if not head:
            return None
        if head[:1] in b"{[":
            from ..core.json import frames

            self._make_parser = frames.Parser
        else:
            field, colon, _ = head.partition(b":")
            if field not in SSE_FIELDS and (colon or len(head) > max(map(len, SSE_FIELDS))):
                raise self._unknown()
            if not colon:
                return None
        self._parser = self._make_parser()
        return self._recognise_frames(self._parser.feed(bytes(self._head)))

    def _recognise_frames(self, frames: list[Frame]) -> Decoder | None:
        for name, data in frames:
            value = loads_or_none(data)
            decoder = recognise(name, value)
            if decoder is not None:
                if value.get("object") in UNSTREAMED or value.get("type") in UNSTREAMED:
                    self._content_type = JSON
                return decoder
        return None

    def _begin(self, decoder: Decoder, now: float) -> list[Event]:
        self.exchange = Exchange(decoder, self._timeouts, Timing(now), now, "the input", self._make_parser())
        self.exchange.head(200, {"content-type": self._content_type or decoder.content_types[0]})
        head, self._head = bytes(self._head), bytearray()
        return self.exchange.feed(head, now)

    def _unknown(self) -> Error:
        excerpt = self._head[:80].decode("utf-8", "replace").strip()
        if not excerpt:
            return Incomplete("the input is empty: was there an answer?")
        return Incomplete(f"unrecognised stream: it begins with {excerpt}")
