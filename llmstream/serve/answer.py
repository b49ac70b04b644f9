"""An answer on its way to a client, as an ASGI response.

Two tasks a request and none a token: one carries the generation's events to the client, the other waits for the client
to leave. Whichever ends first ends the other, so that the generator is closed as soon as the connection is, in every
phase: in the queue, before the first token, between two, and while a slow reader keeps the writer waiting. Between them
the request's own task looks, once per `keep_alive` seconds, whether there is a silence to break.

Nothing is buffered here: `send` returns when the transport's buffer (64 KiB) has room, and only then is the generator
asked for more.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..core.events import Event
from ..errors import Error, Unavailable
from . import refusal
from .request import ChatRequest, Generate
from .settings import Settings


class Renderer(Protocol):
    """Events to the bytes of a protocol."""

    media_type: str
    eager: bool  # the head goes out at once; else failures before the first bytes have a status of their own
    comment: bytes  # breaks a silence

    def feed(self, events: list[Event]) -> bytes: ...
    def close(self) -> bytes: ...
    def error(self, error: Error) -> bytes: ...


class Serving:
    """What all answers share: who generates, the bounds, and who is here."""

    def __init__(self, generate: Generate, settings: Settings) -> None:
        self.generate, self.settings = generate, settings
        self.jobs = asyncio.Semaphore(settings.jobs)
        self.answers: set[Answer] = set()
        self.closing = False

    @property
    def full(self) -> bool:
        return len(self.answers) >= self.settings.jobs + self.settings.queue

    def cut(self) -> None:
        """Ends all answers with an error."""
        for answer in self.answers:
            answer.cut()


class Answer(Response):
    """What a route returns; the generation begins when it is called."""

    background = None

    def __init__(self, serving: Serving, asked: ChatRequest, renderer: Renderer) -> None:
        self._serving, self._asked, self._renderer = serving, asked, renderer
        self._begun = self._cut = self._ending = False
        self._now = asyncio.get_running_loop().time
        self._written = self._now()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        if self._serving.full:
            await self._refuse(Unavailable("all places are taken: try again later"))
            return
        self._pump = asyncio.create_task(self._answer())
        left = asyncio.create_task(_departure(receive))
        self._serving.answers.add(self)
        try:
            await self._watch(left)
        finally:
            left.cancel()
            self._pump.cancel()
            await asyncio.gather(left, self._pump, return_exceptions=True)
            self._serving.answers.discard(self)

    async def _watch(self, left: asyncio.Task[None]) -> None:
        """Until the answer ends or the client leaves."""
        keep_alive, comment = self._serving.settings.keep_alive, self._renderer.comment
        while True:
            due = self._written + keep_alive - self._now() if comment else None
            done, _ = await asyncio.wait((self._pump, left), timeout=due, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            if self._begun and not self._ending and self._now() >= self._written + keep_alive:
                await self._write(comment)

    def cut(self) -> None:
        """Ends the answer with an error, if it is not ending already."""
        if not self._ending:
            self._cut = True
            self._pump.cancel()

    # The task that writes.

    async def _answer(self) -> None:
        error: Error | None = None
        try:
            await self._generate()
        except asyncio.CancelledError:
            if not self._cut:
                raise
            error = Unavailable("the server is shutting down: ask again later")
        except Error as failure:
            error = failure
        except Exception as failure:
            error = refusal.bug(failure)
        self._ending = True
        await self._end(error)

    async def _generate(self) -> None:
        if self._renderer.eager:
            await self._begin()
        async with self._serving.jobs:
            events = self._serving.generate(self._asked)
            feed = self._renderer.feed
            try:
                async for batch in events:
                    if data := feed(batch):
                        await self._write(data)
            finally:
                await events.aclose()

    async def _begin(self, *more: tuple[bytes, bytes]) -> None:
        self._begun = True
        headers = [
            (b"content-type", self._renderer.media_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would collect it
            (b"x-content-type-options", b"nosniff"),
            *more,
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _write(self, data: bytes) -> None:
        if not self._begun:
            await self._begin()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._written = self._now()

    async def _end(self, error: Error | None) -> None:
        if error and not self._begun:
            await self._refuse(error)
            return
        data = self._renderer.error(error) if error else self._renderer.close()
        if not self._begun:
            await self._begin((b"content-length", str(len(data)).encode()))
        await self._send({"type": "http.response.body", "body": data})

    async def _refuse(self, error: Error) -> None:
        await refusal.of(self._scope["path"], error)(self._scope, self._receive, self._send)


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
