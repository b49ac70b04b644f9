"""The ASGI response that runs a generation and streams it to its client, and the state that all of them share.

Two tasks a request and no task per token: one carries the generation's events to the client, the other waits for the
client to disconnect. Whichever ends first ends the other, so the generator is closed as soon as the connection is, in
every phase: in the queue, before the first token, between two tokens, and while a slow reader blocks the writer.
Meanwhile the request's own task wakes once per `keep_alive_s` seconds to see whether a silence needs a keep-alive.

Nothing is buffered here: `send` returns when the transport's buffer (64 KiB) has room, and only then is the next event
requested from the generator. So backpressure reaches the provider.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .. import stdio
from ..core.cpu_limit import SharedLimit
from ..core.report import CutJson
from ..errors import Error, Unavailable, UsageError
from .body_limits import ALL_REGEXES_CPU_S, REGEX_CPU_REFILL, Memory
from .error_responses import NAME, internal_error, message_with_hint, note_failure, response_to
from .request import ChatRequest, Generate, Item
from .settings import Settings
from .turns import Turns


class AnswerEncoder(Protocol):
    """Turns an answer's events into the bytes of a protocol."""

    media_type: str
    eager: bool  # send the head before the first event; else an error before the first bytes has an HTTP status
    has_finish_reason: bool  # which says of JSON that was cut at a limit of its length that it was
    keep_alive: bytes  # sent after a silence; b"": nothing is sent

    def feed(self, events: Sequence[Item]) -> bytes:
        """Returns the bytes of events that arrived together."""

    def close(self) -> bytes:
        """Returns the end of a complete answer."""

    def error(self, error: Error) -> bytes:
        """Returns the end of an answer that failed after its head had been sent."""


class ServerState:
    """What all requests share: the generation, the settings, the running answers, and whether the server is closing."""

    def __init__(self, generate: Generate, settings: Settings) -> None:
        self.generate, self.settings = generate, settings
        self.jobs = asyncio.Semaphore(settings.jobs)
        self.memory = Memory(settings.bodies_bytes, settings.max_body_bytes)
        self.regex_limit = SharedLimit(ALL_REGEXES_CPU_S, REGEX_CPU_REFILL)
        self.large_body = asyncio.Lock()  # one at a time: each holds the interpreter's lock for a while
        self.turns = Turns()  # to begin a request
        self.requests = 0  # complete ones that are under way
        self.answers: set[AnswerResponse] = set()  # running and queued
        self.closing = False
        self._noted_at = -1.0

    @property
    def is_full(self) -> bool:
        """Whether as many requests are under way as may run and wait."""
        return self.requests >= self.settings.jobs + self.settings.queue

    def note_busy(self) -> None:
        """Writes a line to stderr that requests are refused, at most one a second."""
        now = time.monotonic()
        if now - self._noted_at >= 1.0:
            self._noted_at = now
            stdio.note(
                NAME, f"too many requests: {self.requests} are under way, more are refused: raise --jobs or --queue"
            )

    def cut(self) -> None:
        """Ends all answers with an error."""
        for answer in self.answers:
            answer.cut()


class AnswerResponse(Response):
    """Starts the generation when Starlette calls it; a route returns it."""

    background = None

    def __init__(self, state: ServerState, request: ChatRequest, encoder: AnswerEncoder) -> None:
        self._state, self._request, self._encoder = state, request, encoder
        self._head_sent = self._cut = self._ending = False
        self._now = asyncio.get_running_loop().time
        self._last_write = self._now()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._writer = asyncio.create_task(self._answer())
        disconnect = asyncio.create_task(_disconnect(receive))
        self._state.answers.add(self)
        try:
            await self._wait(disconnect)
        finally:
            disconnect.cancel()
            self._writer.cancel()
            await asyncio.gather(disconnect, self._writer, return_exceptions=True)
            self._state.answers.discard(self)

    async def _wait(self, disconnect: asyncio.Task[None]) -> None:
        """Waits until the answer ends or the client disconnects, and meanwhile sends the keep-alives."""
        interval, keep_alive = self._state.settings.keep_alive_s, self._encoder.keep_alive
        timeout = interval if keep_alive else None
        while True:
            done, _ = await asyncio.wait(
                (self._writer, disconnect), timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return
            silence = self._now() - self._last_write
            if silence >= interval and self._head_sent and not self._ending:
                await self._write(keep_alive)
                silence = 0.0
            timeout = interval - silence if silence < interval else interval  # which is never 0

    def cut(self) -> None:
        """Ends the answer with an error, unless it is ending already."""
        if not self._ending:
            self._cut = True
            self._writer.cancel()

    # The task that writes.

    async def _answer(self) -> None:
        error: Error | None = None
        try:
            await self._generate()
        except asyncio.CancelledError:
            if not self._cut:
                raise
            error = Unavailable("the server is shutting down: try again later")
        except CutJson as failure:
            error = None if self._encoder.has_finish_reason else failure
        except Error as failure:
            error = failure
        except Exception as failure:
            error = internal_error(failure)
        self._ending = True
        await self._end(error)

    async def _generate(self) -> None:
        if self._encoder.eager:
            await self._send_head()
        async with self._state.jobs:
            events = self._state.generate(self._request)
            feed = self._encoder.feed
            try:
                async for batch in events:
                    if data := feed(batch):
                        await self._write(data)
            finally:
                await events.aclose()

    async def _send_head(self, *extra: tuple[bytes, bytes]) -> None:
        self._head_sent = True
        headers = [
            (b"content-type", self._encoder.media_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # else nginx buffers the stream
            (b"x-content-type-options", b"nosniff"),
            *extra,
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _write(self, data: bytes) -> None:
        if not self._head_sent:
            await self._send_head()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._last_write = self._now()

    async def _end(self, error: Error | None) -> None:
        if error and not self._head_sent:
            await self._send_error(error)
            return
        if error and not isinstance(error, UsageError):
            note_failure(self._scope["path"], message_with_hint(error))
        data = self._encoder.error(error) if error else self._encoder.close()
        if not self._head_sent:
            await self._send_head((b"content-length", str(len(data)).encode()))
        await self._send({"type": "http.response.body", "body": data})

    async def _send_error(self, error: Error) -> None:
        await response_to(self._scope["path"], error)(self._scope, self._receive, self._send)


async def _disconnect(receive: Receive) -> None:
    """Returns when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
