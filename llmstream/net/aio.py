"""Makes asyncio's loop, or uvloop's, an EventLoop, and keeps the routes that its streams share.

Nothing here keeps a loop alive: references to it are weak, its watches go with it, and calls after it was closed do
nothing. So a program may drop loop and streams in any order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TypeVar

from ..errors import Unavailable
from .loop import READ, WRITE, Alarm
from .transports import Routes

T = TypeVar("T")
LATE_S = 0.05  # an alarm that rings so late may have missed data
LOOK_S = 0.002  # in which a loop looks at its descriptors
SETTLE_S = 0.01  # between two looks at what is still to be sent, when the loop ends


class _Alarm:
    """An alarm that never rings early: uvloop rounds to milliseconds, and libcurl does not repeat a time-out.

    Nor does it ring late before the descriptors were looked at, after the process was stopped or the loop blocked.
    """

    __slots__ = ("_callback", "_handle", "_looked", "_loop", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop | None, when: float, callback: Callable[[], object]) -> None:
        self._loop, self._when, self._callback = loop, when, callback
        self._handle: asyncio.TimerHandle | None = None
        self._looked = False
        self._set()

    def _set(self) -> None:
        if self._loop:
            self._handle = self._loop.call_later(max(0.0, self._when - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._handle = None
        late = time.monotonic() - self._when
        if late < 0:
            self._set()
        elif late > LATE_S and not self._looked and self._loop:
            self._looked = True
            self._handle = self._loop.call_later(LOOK_S, self._ring)
        else:
            self._callback()

    def cancel(self) -> None:
        if self._handle:
            self._handle.cancel()
            self._handle = None


class AsyncLoop:
    """An asyncio loop as an EventLoop; to be used in its thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._masks: dict[int, int] = {}

    def _open_loop(self) -> asyncio.AbstractEventLoop | None:
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    def now(self) -> float:
        return time.monotonic()

    def watch(self, fd: int, mask: int, ready: Callable[[int], object]) -> None:
        """As EventLoop has it; asyncio reports a broken descriptor as ready for all that it is watched for."""
        before = self._masks.pop(fd, 0)
        if mask:
            self._masks[fd] = mask
        if (loop := self._open_loop()) is None:
            return
        if mask & READ:
            loop.add_reader(fd, partial(ready, READ))
        elif before & READ:
            loop.remove_reader(fd)
        if mask & WRITE:
            loop.add_writer(fd, partial(ready, WRITE))
        elif before & WRITE:
            loop.remove_writer(fd)

    def unwatch(self, fd: int) -> None:
        self.watch(fd, 0, lambda events: None)

    def call_at(self, when: float, callback: Callable[[], object]) -> Alarm:
        return _Alarm(self._open_loop(), when, callback)  # a closed loop's alarm never rings


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Routes] = weakref.WeakKeyDictionary()


def _after_fork() -> None:
    """Gives up the routes of all loops in a forked process: their connections are the parent's."""
    for shared in list(_shared.values()):
        shared.abandon()
    _shared.clear()


os.register_at_fork(after_in_child=_after_fork)


async def routes(loop: asyncio.AbstractEventLoop) -> Routes:
    """Returns the routes that all streams of the running loop share, to reuse connections."""
    if (shared := _shared.get(loop)) is None:
        shared = _shared[loop] = Routes(AsyncLoop(loop), jobs=1)
        close = weakref.finalize(loop, shared.close)
        close.atexit = False
        if hasattr(loop, "__dict__"):
            loop.__dict__["_llmstream"] = end = _at_shutdown(shared, close)  # no other reference: it holds the loop
            await anext(end)
    return shared


async def _at_shutdown(shared: Routes, close: Callable[[], object]) -> AsyncGenerator[None]:
    """Closes the routes when asyncio.run ends its loop, since it ends the loop's generators first."""
    try:
        yield
    finally:
        while not shared.is_settled:  # each request has its own time limit
            await asyncio.sleep(SETTLE_S)
        _shared.pop(asyncio.get_running_loop(), None)
        close()


async def in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> T:
    """Returns the result of `work`, done in a thread of its own.

    Unlike the loop's executor, the thread keeps neither the loop nor the process from ending.
    """
    import threading

    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.done():  # cancelled
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result = error = None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(finish, result, error)

    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError as error:  # the system allows no more threads
        raise Unavailable(f"too many streams at once ({error})") from None
    return await future
