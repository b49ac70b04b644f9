"""asyncio's loop, or uvloop's, as the one that transports and generations wait in; and what its streams share.

Nothing here keeps a loop alive: it is referred to weakly, what is watched is dropped with it, and a call that comes
after it was closed does nothing. So a program may drop loop and streams in any order.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from functools import partial

from .loop import READ, WRITE, Alarm
from .transports import Routes


class _Alarm:
    """A call that is never early: uvloop counts whole milliseconds, and libcurl sets a time that it was given once."""

    __slots__ = ("_due", "_handle", "_loop", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop, when: float, due: Callable[[], object]) -> None:
        self._loop, self._when, self._due = loop, when, due
        self._handle: asyncio.TimerHandle | None = None
        self._set()

    def _set(self) -> None:
        self._handle = self._loop.call_later(max(0.0, self._when - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._handle = None
        if time.monotonic() < self._when:
            self._set()
        else:
            self._due()

    def cancel(self) -> None:
        if self._handle:
            self._handle.cancel()
            self._handle = None


class _Never:
    """The alarm of a loop that is closed."""

    def cancel(self) -> None:
        pass


class AsyncLoop:
    """The Watching of an asyncio loop; to be called in its thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._masks: dict[int, int] = {}

    def _open(self) -> asyncio.AbstractEventLoop | None:
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    def now(self) -> float:
        return time.monotonic()

    def watch(self, fd: int, mask: int, ready: Callable[[int], object]) -> None:
        """A descriptor that is broken is ready for all that it is watched for, as asyncio has it."""
        if (loop := self._open()) is None:
            return
        before = self._masks.get(fd, 0)
        self._masks[fd] = mask
        if mask & READ:
            loop.add_reader(fd, partial(ready, READ))
        elif before & READ:
            loop.remove_reader(fd)
        if mask & WRITE:
            loop.add_writer(fd, partial(ready, WRITE))
        elif before & WRITE:
            loop.remove_writer(fd)

    def unwatch(self, fd: int) -> None:
        mask = self._masks.pop(fd, 0)
        if (loop := self._open()) is None:
            return
        if mask & READ:
            loop.remove_reader(fd)
        if mask & WRITE:
            loop.remove_writer(fd)

    def at(self, when: float, due: Callable[[], object]) -> Alarm:
        loop = self._open()
        return _Never() if loop is None else _Alarm(loop, when, due)


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Routes] = weakref.WeakKeyDictionary()


async def routes(loop: asyncio.AbstractEventLoop) -> Routes:
    """The routes that all streams of the running loop share, so that they use connections again."""
    if (found := _shared.get(loop)) is None:
        found = _shared[loop] = Routes(AsyncLoop(loop), jobs=1)
        close = weakref.finalize(loop, found.close)
        close.atexit = False
        if hasattr(loop, "__dict__"):
            loop.__dict__["_llmstream"] = end = _at_shutdown(close)  # nothing else may hold it: it holds the loop
            await anext(end)
    return found


async def _at_shutdown(close: Callable[[], object]) -> AsyncGenerator[None]:
    """asyncio.run ends the generators of its loop, and so tells of the end."""
    try:
        yield
    finally:
        _shared.pop(asyncio.get_running_loop(), None)
        close()
