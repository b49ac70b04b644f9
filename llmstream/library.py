"""Streams for Python programs: the answer to a prompt as events, pieces of text, or whole.

    with llmstream.stream("Name three rivers.") as answer:
        for piece in answer.text:
            print(piece, end="", flush=True)

The options are those of `llmstream gen`, and so are the environment and the configuration.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar, Unpack

from .answering import Answer, Asked, Options, ask
from .core.events import Event, Text
from .net import aio, kept

__all__ = ["AsyncStream", "Options", "Stream", "astream", "stream"]

T = TypeVar("T")
HELD = 64 * 1024  # of what has arrived and is not taken: beyond it the server has to wait
EVENT = 128  # for an event beside its text


def stream(prompt: str = "", model: str | None = None, **options: Unpack[Options]) -> Stream:
    """The answer of a model to a prompt. Nothing is sent before it is first read.

    Raises UsageError for what cannot be asked. Options are those of gen, see Options. While it is read, there may come
    Refused, Unavailable, or Incomplete for an answer that was cut, each after all that came before it.
    """
    return Stream(ask(prompt, {**options, "model": model}))


def astream(prompt: str = "", model: str | None = None, **options: Unpack[Options]) -> AsyncStream:
    """As `stream`, for asyncio: any number of them in one loop."""
    return AsyncStream(ask(prompt, {**options, "model": model}))


class Stream(Answer):
    """An iterator of events, to be read once. It may be closed by any thread, and moved between them."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._reading = threading.Lock()  # whoever has it may touch the generation
        self._leaving = threading.Lock()  # for those who wake a line: it may be another stream's soon
        self._line: kept.Line | None = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._line is not None:
            self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if not (batch := self._take(1)):
            raise StopIteration
        return batch[0]

    def batches(self) -> Iterator[list[Event]]:
        """The events that arrived together, in lists."""
        while batch := self._take():
            yield batch

    @property
    def text(self) -> Iterator[str]:
        """The text alone, piece by piece as it arrives."""
        for event in self:
            if isinstance(event, Text):
                yield event.text

    def read(self) -> str:
        """Reads to the end: the text from here on. A callback sees it while it comes."""
        return "".join(self.text)

    def close(self) -> None:
        """Ends the answer at once, if it is not over: `finish` is then "cancelled". For any thread, at any time."""
        self._closing = True
        self._settle()

    def _settle(self) -> None:
        """Closes, unless a thread is reading: that one is woken, and sees to it."""
        if self._reading.acquire(blocking=False):
            try:
                self._cancel()
            finally:
                self._reading.release()
        else:
            with self._leaving:
                if self._line:
                    self._line.wake()

    def _take(self, most: int | None = None) -> list[Event]:
        try:
            with self._reading:
                self._wait()
                batch = self._taken(most)
        finally:
            if self._closing:
                self._settle()  # somebody may have called while the lock was held
        return self._tell(batch)

    def _wait(self) -> None:
        if self._line is None and not self._closing and not self._ended:
            self._start()
        elif self._generation and not self._queue:
            self._generation.caught_up()
        while self._advance() is None:
            assert self._line
            self._line.loop.wait()

    def _start(self) -> None:
        line = self._line = kept.take()
        try:
            target = kept.served(self._asked.target, self._asked.size)
            self._begin(*line.routes.to(target, self._asked.size))
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        super()._end()
        with self._leaving:
            line, self._line = self._line, None
        if line:
            kept.give_back(line)


class _Each(AsyncIterator[T], Generic[T]):
    """What a function gives until it raises StopAsyncIteration.

    An async generator would not end with the `for` that reads it, but some time after, and keep the stream open.
    """

    def __init__(self, step: Callable[[], Awaitable[T]]) -> None:
        self._step = step

    async def __anext__(self) -> T:
        return await self._step()


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class AsyncStream(Answer):
    """An async iterator of events, to be read once, by one task. A task that is cancelled while it reads closes it.

    Read more slowly than the answer comes, it holds the server back: what waits here is bounded.
    """

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
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
        return _Each(self._take)

    @property
    def text(self) -> AsyncIterator[str]:
        """The text alone, piece by piece as it arrives."""
        return _Each(self._piece)

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
        if not target.url and target.provider != "replay":
            target = await loop.run_in_executor(None, kept.served, target, size)
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
