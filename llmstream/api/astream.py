"""Streams for asyncio, any number of them in one loop:

async with llmstream.astream("Name three rivers.") as answer:
    async for piece in answer.text:
        print(piece, end="", flush=True)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar, Unpack

from ..core.events import Event, Text
from ..net import aio
from ..net.pool import JOBS
from ..providers.child_environment import without_keys
from ..providers.registry import EMBEDDED
from .base import BaseStream
from .options import Options
from .prepared import PreparedRequest

__all__ = ["AsyncStream", "Options", "astream"]

T = TypeVar("T")
MAX_BUFFERED_BYTES = 64 * 1024  # beyond it the server is paused
EVENT_BYTES = 128  # bookkeeping per event, beside its text


def astream(prompt: str = "", model: str | Sequence[str] | None = None, **options: Unpack[Options]) -> AsyncStream:
    """Streams as `stream` does, for asyncio.

    Where a command has to print the key, or an option names a file or a URL, that is done in a thread when the stream
    is first read, and reading raises what is wrong with it.
    """
    return AsyncStream(PreparedRequest(prompt, {**options, "model": model}))


class _Each(AsyncIterator[T], Generic[T]):
    """Async iterator over `step()`. Closing it closes the stream.

    An async generator would not end with the `for` that reads it, but some time later, and keep the stream open.
    """

    def __init__(self, step: Callable[[], Awaitable[T]], aclose: Callable[[], Awaitable[None]]) -> None:
        self._step, self.aclose = step, aclose

    def __anext__(self) -> Awaitable[T]:
        return self._step()


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class AsyncStream(BaseStream):
    """Iterates over the events of one answer, for one task. A task that is cancelled while it reads closes the stream.

    A slow reader slows the server: the buffer is bounded. `jobs` is how many streams an embedded model is to serve at
    once. `on_fallback` is that of BaseStream.
    """

    def __init__(
        self,
        prepared: PreparedRequest,
        jobs: int = JOBS,
        on_fallback: Callable[[str, str], object] | None = None,
    ) -> None:
        super().__init__(prepared, on_fallback)
        prepared.build(may_block=False)
        self._jobs = jobs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._reading = False
        self._buffered = 0

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:  # in any thread, at any point of the loop's own code
        if self._generation is not None and not self._ended and self._loop and not self._is_inherited:
            self._from_outside(self._loop)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return (await self._take(1))[0]

    def batches(self) -> AsyncIterator[list[Event]]:
        """Yields the events that arrived together, in lists that are never empty."""
        return _Each(self._take, self.aclose)

    @property
    def text(self) -> AsyncIterator[str]:
        """The text alone, piece by piece as it arrives. A filter over it that ends early closes the stream."""
        return _Each(self._piece, self.aclose)

    async def read(self) -> str:
        """Reads to the end, and returns the text from here on. Callbacks get it while it comes."""
        return "".join([piece async for piece in self.text])

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def close(self) -> None:
        """Ends the answer at once, if it is not over: `finish.reason` is then "cancelled". Any thread may call it."""
        self._closing = True
        if self._loop is None or self._loop is _running() or self._is_inherited:
            self._cancel()
            self._wake()
        else:
            self._from_outside(self._loop)

    def _from_outside(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self.close)
        except RuntimeError:  # the loop is closed: there is no reader
            self._cancel()

    async def _piece(self) -> str:
        while True:
            event = await self.__anext__()
            if isinstance(event, Text):
                return event.text

    async def _take(self, most: int | None = None) -> list[Event]:
        await self._wait()
        if batch := self._pop(most):
            return self._run_callbacks(batch)
        raise StopAsyncIteration

    async def _wait(self) -> None:
        if self._reading:
            raise RuntimeError("another task is reading this stream")
        self._reading = True
        try:
            if self._loop is None and not self._closing:
                await self._start()
            while True:
                if self._falls_back() or self._goes_on():
                    await self._start()
                if self._advance() is not None:
                    break
                assert self._loop
                if self._buffered and self._generation:  # the queue is empty
                    self._buffered = 0
                    self._generation.pause(False)
                self._waiter = self._loop.create_future()
                await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._reading = False

    async def _start(self) -> None:
        """Sends the request to the model."""
        loop = self._loop = asyncio.get_running_loop()
        prepared = self._prepared
        if not prepared.is_built:
            await aio.in_thread(loop, prepared.build)
        target, size = prepared.target, prepared.request.size()
        if target.row.transport == EMBEDDED:  # its server takes a second or more to start
            from ..net import embedded

            if not embedded.is_running(target.model, size):
                env = without_keys(os.environ, prepared.catalogue)
                await aio.in_thread(loop, partial(embedded.serve, target.model, size, self._jobs, apart=env))
        if not self._closing:
            routes = await aio.routes(loop)
            self._begin(*routes.to(target, size))

    def _wake(self) -> None:
        """Buffers new events, and wakes the reader."""
        generation = self._generation
        if generation and not self._ended and self._fallback_cause() is None:
            batch = self._buffer(generation)
            self._buffered += sum(
                EVENT_BYTES + len(getattr(event, "text", getattr(event, "arguments", ""))) for event in batch
            )
            if self._buffered > MAX_BUFFERED_BYTES:
                generation.pause(True)
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
