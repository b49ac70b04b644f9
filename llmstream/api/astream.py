"""Streams for asyncio, any number of them in one loop:

async with llmstream.astream("Name three rivers.") as answer:
    async for piece in answer.text:
        print(piece, end="", flush=True)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar, Unpack

from ..core.events import Event, Text
from ..net import aio
from ..net.pool import JOBS
from ..providers.registry import EMBEDDED
from .base import Answer, Options, PreparedRequest, ask

__all__ = ["AsyncStream", "Options", "astream"]

T = TypeVar("T")
HELD = 64 * 1024  # of what has arrived and is not taken: beyond it the server has to wait
EVENT = 128  # for an event beside its text


def astream(prompt: str = "", model: str | None = None, **options: Unpack[Options]) -> AsyncStream:
    """As `stream`, to be read in a loop of asyncio."""
    return AsyncStream(ask(prompt, {**options, "model": model}))


class _Each(AsyncIterator[T], Generic[T]):
    """What a function gives until it raises StopAsyncIteration. To close it is to close the stream.

    An async generator would not end with the `for` that reads it, but some time after, and keep the stream open.
    """

    def __init__(self, step: Callable[[], Awaitable[T]], aclose: Callable[[], Awaitable[None]]) -> None:
        self._step, self.aclose = step, aclose

    async def __anext__(self) -> T:
        return await self._step()


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class AsyncStream(Answer):
    """An async iterator of events, to be read once, by one task. A task that is cancelled while it reads closes it.

    Read more slowly than the answer comes, it holds the server back: what waits here is bounded. `jobs` is how many
    streams there may be at once, for an embedded model.
    """

    def __init__(self, asked: PreparedRequest, jobs: int = JOBS) -> None:
        super().__init__(asked)
        self._jobs = jobs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._reading = False
        self._held = 0

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:  # in any thread, and maybe in the middle of something of the loop's
        if self._generation is not None and not self._ended and self._loop:
            self._from_outside(self._loop)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return (await self._take(1))[0]

    def batches(self) -> AsyncIterator[list[Event]]:
        """The events that arrived together, in lists."""
        return _Each(self._take, self.aclose)

    @property
    def text(self) -> AsyncIterator[str]:
        """The text alone, piece by piece as it arrives. A filter over it that has enough closes the stream."""
        return _Each(self._piece, self.aclose)

    async def read(self) -> str:
        """Reads to the end: the text from here on. A callback sees it while it comes."""
        return "".join([piece async for piece in self.text])

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def close(self) -> None:
        """Ends the answer at once, if it is not over: `finish` is then "cancelled". For any thread, at any time."""
        self._closing = True
        if self._loop is None or self._loop is _running():
            self._cancel()
            self._wake()
        else:
            self._from_outside(self._loop)

    def _from_outside(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self.close)
        except RuntimeError:  # it is closed: nobody reads any more
            self._cancel()

    async def _piece(self) -> str:
        while True:
            event = await self.__anext__()
            if isinstance(event, Text):
                return event.text

    async def _take(self, most: int | None = None) -> list[Event]:
        await self._wait()
        if batch := self._taken(most):
            return self._tell(batch)
        raise StopAsyncIteration

    async def _wait(self) -> None:
        if self._reading:
            raise RuntimeError("another task is reading this stream")
        self._reading = True
        try:
            if self._loop is None and not self._closing:
                await self._start()
            while self._advance() is None:
                assert self._loop
                if self._held and self._generation:  # all of it is taken
                    self._held = 0
                    self._generation.pause(False)
                self._waiter = self._loop.create_future()
                await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._reading = False

    async def _start(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        target, size = self._asked.target, self._asked.size
        if target.row.transport == EMBEDDED:  # whose server takes a second or more to start
            from ..net import embedded

            await loop.run_in_executor(None, embedded.serve, target.model, size, self._jobs)
        if not self._closing:
            routes = await aio.routes(loop)
            self._begin(*routes.to(target, size))

    def _wake(self) -> None:
        """Something has arrived, or it is over."""
        generation = self._generation
        if generation and not self._ended:
            batch = generation.take()
            self._queue += batch
            self._held += sum(EVENT + len(getattr(event, "text", getattr(event, "arguments", ""))) for event in batch)
            if self._held > HELD:
                generation.pause(True)
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
