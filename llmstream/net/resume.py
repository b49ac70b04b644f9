"""Going on after a cut, where the provider can go on exactly (`--continue`).

Three ways; a provider's row names its own. llama.cpp replays the bytes of a generation from any offset; OpenAI keeps
a background response and sends its events from any number on; several servers go on with a last message of the
assistant's. The first two outlive their connection, so that an early end has to be told to the server.
"""

from __future__ import annotations

import os
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from ..core.decoder import Decoder
from ..core.events import Event, Reasoning, Start, Text, ToolCall
from ..core.exchange import Exchange
from ..dialects import dialect
from ..providers.prefill import continues
from ..providers.registry import BACKGROUND, OFFSET, PrefillStyle
from ..providers.resolve import Target
from .transfer import HttpRequest


class Resume(Protocol):
    """One way to go on."""

    headers: list[str]  # of the first request, beside the dialect's own

    def prepare(self, body: dict[str, Any]) -> None:
        """Puts into the body of the first request what it takes; the user's own fields come after it."""

    def received(self, chunk: bytes, events: list[Event]) -> None:
        """A part of the response came."""

    def ask(self, exchange: Exchange, body: dict[str, Any], now: float) -> HttpRequest | None:
        """The request for the rest, the exchange made ready for its answer; None where there is no going on."""

    def cancel(self) -> HttpRequest | None:
        """The request that ends a generation which goes on without us."""


def of(target: Target) -> Resume | None:
    """The way of a target, if it has one."""
    if target.row.resume == OFFSET:
        return Replay(target)
    if target.row.resume == BACKGROUND and target.api == "responses":
        return Background(target)
    return Prefill(target) if continues(target) else None


class Replay:
    """llama.cpp: the generation runs under an id of our own; its bytes are kept, and read again from an offset."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        name = f"llmstream-{os.urandom(8).hex()}"
        self._key_headers = target.headers()
        self._url = f"{parts.scheme}://{parts.netloc}/v1/stream?conv_id={name}"
        self._bytes = 0
        self.headers = [f"X-Conversation-Id: {name}"]

    def prepare(self, body: dict[str, Any]) -> None: ...

    def received(self, chunk: bytes, events: list[Event]) -> None:
        self._bytes += len(chunk)

    def ask(self, exchange: Exchange, body: dict[str, Any], now: float) -> HttpRequest | None:
        exchange.reopen(now, same_bytes=True)
        return HttpRequest("GET", f"{self._url}&from={self._bytes}", self._key_headers)

    def cancel(self) -> HttpRequest | None:
        return HttpRequest("DELETE", self._url, self._key_headers)


class Background:
    """OpenAI: a background response, whose events are numbered and kept for some minutes.

    Source: OpenAI documentation, "Background mode", on streaming.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._id = ""
        self.headers: list[str] = []

    def prepare(self, body: dict[str, Any]) -> None:
        body.update(background=True, store=True)

    def received(self, chunk: bytes, events: list[Event]) -> None:
        self._id = next((event.id for event in events if isinstance(event, Start)), self._id)

    def ask(self, exchange: Exchange, body: dict[str, Any], now: float) -> HttpRequest | None:
        if not self._id:
            return None
        exchange.reopen(now, same_bytes=False)
        return HttpRequest(
            "GET", f"{self._own()}?stream=true&starting_after={exchange.position}", self._target.headers()
        )

    def cancel(self) -> HttpRequest | None:
        return HttpRequest("POST", f"{self._own()}/cancel", self._target.headers(), {}) if self._id else None

    def _own(self) -> str:
        return f"{self._target.url}/{quote(self._id)}"


FORMATS = {"response_format", "output_config"}  # which begin anew where a message goes on


class Prefill:
    """Servers that go on with a last message of the assistant's. Only where all that came is text."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._said: list[str] = []
        self._only_text = True
        self.headers: list[str] = []

    def prepare(self, body: dict[str, Any]) -> None: ...

    def received(self, chunk: bytes, events: list[Event]) -> None:
        self._said += [event.text for event in events if isinstance(event, Text)]
        if any(isinstance(event, Reasoning | ToolCall) for event in events):
            self._only_text = False

    def ask(self, exchange: Exchange, body: dict[str, Any], now: float) -> HttpRequest | None:
        target, said = self._target, "".join(self._said)
        if not self._only_text or body.keys() & FORMATS or not said.strip():
            return None
        asked, begun = body["messages"], ""
        if asked[-1]["role"] == "assistant":  # --prefill: what goes on is one message
            begun = asked[-1]["content"]
            asked = asked[:-1]
        said = begun + said
        sent = said.rstrip() if target.api == "messages" else said  # it refuses blanks at the end
        style = target.row.prefill or PrefillStyle()
        messages = [*asked, {"role": "assistant", "content": sent, **style.message}]
        decoder = dialect(target.api).Decoder(target.provider, target.model)
        again = said if style.repeats else ""
        exchange.reopen(now, same_bytes=False, decoder=Rest(decoder, again, said[len(sent) :]))
        return HttpRequest("POST", target.prefill_url, target.headers(), body | {"messages": messages} | style.body)

    def cancel(self) -> HttpRequest | None:
        return None


class Rest(Decoder):
    """Another decoder's events, of an answer that goes on; the start, which was, is left out.

    `again` is what the server says again at the beginning, "" for those that do not; `blanks` are those that were
    printed but could not be sent: as many of them as come again are left out.
    """

    def __init__(self, inner: Decoder, again: str, blanks: str) -> None:
        super().__init__(inner.provider, inner.model)
        self._inner = inner
        self._again, self._blanks = again, blanks
        self._held = ""

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        return self._follow(self._inner.feed(event, data))

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        return self._follow(self._inner.feed_answer(data))

    def feed_done(self) -> list[Event]:
        return self._follow(self._inner.feed_done())

    def close(self) -> list[Event]:
        held, self._held = self._held, ""
        return [Text(held)] if held else []

    def _follow(self, events: list[Event]) -> list[Event]:
        inner = self._inner
        self.over, self.finish, self.usage, self.failure = inner.over, inner.finish, inner.usage, inner.failure
        self.premature = inner.premature
        kept: list[Event] = []
        for event in events:
            if isinstance(event, Text):
                event.text = self._unrepeated(event.text)
            if not isinstance(event, Start) and not (isinstance(event, Text) and not event.text):
                kept.append(event)
        return kept

    def _unrepeated(self, text: str) -> str:
        if self._again:
            self._held += text
            if len(self._held) < len(self._again) and self._again.startswith(self._held):
                return ""
            text, self._held = self._held.removeprefix(self._again), ""
            self._again = ""
        while text and self._blanks:
            if text[0] != self._blanks[0]:
                self._blanks = ""
                break
            text, self._blanks = text[1:], self._blanks[1:]
        return text
