"""Resumes an answer that was cut, where the provider can go on exactly.

There are three strategies, chosen by the provider's row. llama.cpp replays the bytes of a generation from any offset;
OpenAI keeps a background response and sends its events from any number on; several servers continue a last message of
the assistant's. In the first two the generation outlives its connection, and is cancelled by a request.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

from ..core.decoder import Decoder
from ..core.events import Event, Reasoning, Start, Text, ToolCall
from ..core.exchange import Exchange
from ..dialects import dialect
from ..errors import option
from ..providers.prefill import continues
from ..providers.registry import BACKGROUND, OFFSET, PrefillStyle
from ..providers.target import Target
from .attempts import Resume
from .transfer import HttpRequest


def of(target: Target, note: Callable[[str], object] = lambda text: None) -> Resume | None:
    """Returns the resume strategy for a target, or None; `note` is then called with a sentence that says so."""
    if target.row.resume == OFFSET:
        return ByteOffset(target)
    if target.row.resume == BACKGROUND and target.api == "responses":
        return Background(target)
    if continues(target):
        return Continuation(target)
    note(f"{target.provider}/{target.model} cannot resume a cut answer: {option('resume_cut')} is ignored")
    return None


class ByteOffset(Resume):
    """llama.cpp: the generation runs under an id of our choice; its bytes can be read from any offset."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        id = f"llmstream-{os.urandom(8).hex()}"
        self._headers, self._cert = target.headers(), target.cert
        self._stream_url = f"{parts.scheme}://{parts.netloc}/v1/stream?conv_id={id}"
        self._bytes = 0
        self.headers = (f"X-Conversation-Id: {id}",)

    def received(self, chunk: bytes, events: list[Event]) -> None:
        self._bytes += len(chunk)

    def rest(self, exchange: Exchange, body: dict[str, Any], now: float) -> HttpRequest | None:
        exchange.reopen(now, same_bytes=True)
        return HttpRequest("GET", f"{self._stream_url}&from={self._bytes}", self._headers, cert=self._cert)

    def cancel(self) -> HttpRequest | None:
        return HttpRequest("DELETE", self._stream_url, self._headers, cert=self._cert)


class Background(Resume):
    """OpenAI: a background response, whose numbered events the server keeps for some minutes.

    Source: OpenAI documentation, "Background mode", on streaming.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._id = ""

    def prepare(self, body: dict[str, Any]) -> None:
        body.update(background=True, store=True)

    def received(self, chunk: bytes, events: list[Event]) -> None:
        self._id = next((event.id for event in events if isinstance(event, Start)), self._id)

    def rest(self, exchange: Exchange, body: dict[str, Any], now: float) -> HttpRequest | None:
        if not self._id:
            return None
        exchange.reopen(now, same_bytes=False)
        url = f"{self._response_url()}?stream=true&starting_after={exchange.position}"
        return HttpRequest("GET", url, self._target.headers(), cert=self._target.cert)

    def cancel(self) -> HttpRequest | None:
        if not self._id:
            return None
        return HttpRequest("POST", f"{self._response_url()}/cancel", self._target.headers(), {}, self._target.cert)

    def _response_url(self) -> str:
        return f"{self._target.url}/{quote(self._id)}"


FORMAT_FIELDS = {"response_format", "output_config", "format"}  # with them, a continuation would begin the format anew


class Continuation(Resume):
    """Servers that continue a last message of the assistant's; only where the answer so far is text alone."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._texts: list[str] = []
        self._only_text = True

    def received(self, chunk: bytes, events: list[Event]) -> None:
        self._texts += [event.text for event in events if isinstance(event, Text)]
        if any(isinstance(event, Reasoning | ToolCall) for event in events):
            self._only_text = False

    def rest(self, exchange: Exchange, body: dict[str, Any], now: float) -> HttpRequest | None:
        target, text = self._target, "".join(self._texts)
        if not self._only_text or body.keys() & FORMAT_FIELDS or not text.strip():
            return None
        messages = body["messages"]
        if messages[-1]["role"] == "assistant":  # the prefill: what is continued is one message
            text = messages[-1]["content"] + text
            messages = messages[:-1]
        sent = text.rstrip() if target.api == "messages" else text  # that API refuses blanks at the end
        style = target.row.prefill or PrefillStyle()
        messages = [*messages, {"role": "assistant", "content": sent, **style.message}]
        decoder = dialect(target.api).Decoder(target.provider, target.model)
        repeated = text if style.repeats else ""
        exchange.reopen(now, same_bytes=False, decoder=RestDecoder(decoder, repeated, text[len(sent) :]))
        body = body | {"messages": messages} | style.body
        return HttpRequest("POST", target.prefill_url, target.headers(body), body, target.cert)


class RestDecoder(Decoder):
    """Passes on another decoder's events for the rest of an answer, without the start.

    `repeated` is the text that the server sends again at the beginning, "" for none; `blanks` are those that were
    printed, but could not be sent: as many of them as come again are left out.
    """

    def __init__(self, inner: Decoder, repeated: str, blanks: str) -> None:
        super().__init__(inner.provider, inner.model)
        self._inner = inner
        self.content_types = inner.content_types
        self.calls, self.dropped = inner.calls, inner.dropped
        self._repeated, self._blanks = repeated, blanks
        self._buffer = ""  # of a text that may be a repetition

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        return self._adopt(self._inner.feed(event, data))

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        return self._adopt(self._inner.feed_answer(data))

    def feed_done(self) -> list[Event]:
        return self._adopt(self._inner.feed_done())

    def close(self) -> list[Event]:
        events = self._new(self._inner.close())
        buffer, self._buffer = self._buffer, ""
        return [*events, Text(buffer)] if buffer else events

    def _adopt(self, events: list[Event]) -> list[Event]:
        """Takes over the inner decoder's state; returns its events without the start and repeated text."""
        inner = self._inner
        self.over, self.finish, self.usage, self.failure = inner.over, inner.finish, inner.usage, inner.failure
        self.premature, self.fallback = inner.premature, inner.fallback
        return self._new(events)

    def _new(self, events: list[Event]) -> list[Event]:
        """Returns events without the start and repeated text."""
        events_left: list[Event] = []
        for event in events:
            if isinstance(event, Text):
                event.text = self._unrepeated(event.text)
            if not isinstance(event, Start) and not (isinstance(event, Text) and not event.text):
                events_left.append(event)
        return events_left

    def _unrepeated(self, text: str) -> str:
        """Returns a text without what was printed before."""
        if self._repeated:
            self._buffer += text
            if len(self._buffer) < len(self._repeated) and self._repeated.startswith(self._buffer):
                return ""
            text, self._buffer = self._buffer.removeprefix(self._repeated), ""
            self._repeated = ""
        while text and self._blanks:
            if text[0] != self._blanks[0]:
                self._blanks = ""
                break
            text, self._blanks = text[1:], self._blanks[1:]
        return text
