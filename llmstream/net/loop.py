"""The event loop: waits for descriptors, alarms and the reader of stdout at once.

Users register callbacks: for libcurl's sockets, the pipes of an SDK's threads, stdin. The loop waits with epoll, or
with poll where there is no epoll. One loop carries one stream or a thousand.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import time
from collections.abc import Callable
from typing import Any, Protocol

from .. import stdio
from ..errors import ReaderGone

READ, WRITE = select.POLLIN, select.POLLOUT
MIN_COMPACTED = 64  # alarms in the heap, beyond which cancelled ones are removed


class Alarm(Protocol):
    """A callback that is called once at a time, unless it is cancelled before."""

    def cancel(self) -> None:
        """Cancels the alarm; does nothing if it has rung."""


class EventLoop(Protocol):
    """The loop that transports and generations need: `Loop`, or asyncio's behind net/aio. The clock is monotonic."""

    def now(self) -> float:
        """Returns the time, in seconds."""

    def watch(self, fd: int, mask: int, ready: Callable[[int], object]) -> None:
        """Calls `ready(events)` whenever fd is ready to READ or WRITE, as `mask` says, or is broken.

        Replaces an earlier watch of the same descriptor. Raises PermissionError for a regular file.
        """

    def unwatch(self, fd: int) -> None:
        """Stops watching fd; does nothing if it is not watched."""

    def call_at(self, when: float, callback: Callable[[], object]) -> Alarm:
        """Calls `callback` at the time `when`, or as soon as possible after it."""


class _Alarm:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback  # None once it is cancelled or called

    def cancel(self) -> None:
        self.callback = None


class Loop:
    """An EventLoop of our own. `watch_stdout` also watches for the reader of stdout to leave."""

    def __init__(self, watch_stdout: bool = True) -> None:
        self._epoll = hasattr(select, "epoll")
        self._poll: Any = select.epoll() if self._epoll else select.poll()
        self._ready: dict[int, Callable[[int], object]] = {}
        self._alarms: list[tuple[float, int, _Alarm]] = []  # a heap; the number keeps equal times in order
        self._number = 0
        self._compact_at = MIN_COMPACTED
        self._pipes: list[int] = []
        if watch_stdout:
            with contextlib.suppress(PermissionError):  # of epoll, for a regular file, which has no reader
                self._poll.register(stdio.STDOUT, 0)

    now = staticmethod(time.monotonic)

    def watch(self, fd: int, mask: int, ready: Callable[[int], object]) -> None:
        registered = fd in self._ready
        if registered:
            try:
                self._poll.modify(fd, mask)
            except FileNotFoundError:  # the descriptor was closed, and another file has its number now
                registered = False
        if not registered:
            self._poll.register(fd, mask)
        self._ready[fd] = ready

    def unwatch(self, fd: int) -> None:
        if self._ready.pop(fd, None):
            with contextlib.suppress(OSError, KeyError):  # the descriptor was closed, and the kernel has dropped it
                self._poll.unregister(fd)

    def call_at(self, when: float, callback: Callable[[], object]) -> Alarm:
        alarm = _Alarm(callback)
        self._number += 1
        if len(self._alarms) >= self._compact_at:  # most alarms are time-outs, which are cancelled long before
            self._alarms = [entry for entry in self._alarms if entry[2].callback is not None]
            heapq.heapify(self._alarms)
            self._compact_at = max(MIN_COMPACTED, 2 * len(self._alarms))
        heapq.heappush(self._alarms, (when, self._number, alarm))
        return alarm

    def wait(self, deadline: float | None = None) -> float:
        """Waits until a callback was called or the deadline has come; returns the time.

        An alarm rings only once the descriptors were looked at after its time.

        Raises ReaderGone as soon as stdout's reader leaves.
        """
        alarms = self._alarms
        while alarms and alarms[0][2].callback is None:
            heapq.heappop(alarms)
        if alarms and (deadline is None or alarms[0][0] < deadline):
            deadline = alarms[0][0]
        looked_at = self.now()
        timeout = None if deadline is None else deadline - looked_at
        if timeout is not None and not 0.0 <= timeout <= stdio.DAY_S:
            timeout = 0.0 if timeout < 0.0 else stdio.DAY_S
        ready = self._poll.poll(timeout if self._epoll or timeout is None else timeout * 1000)
        if not ready:  # the process may have been stopped for longer: data comes before the alarms that it would cancel
            looked_at = self.now()
            ready = self._poll.poll(0)
        watches = self._ready
        before = watches if len(ready) == 1 else {fd: watches.get(fd) for fd, _ in ready}
        for fd, mask in ready:
            if (call := before.get(fd)) is not None:
                if watches.get(fd) is call:  # else an earlier call changed the watch; the next wait reports fd
                    call(mask)
            elif fd == stdio.STDOUT:
                raise ReaderGone
        last = self._number  # alarms set from here on ring after the next round of descriptors
        while self._alarms and self._alarms[0][0] <= looked_at and self._alarms[0][1] <= last:
            alarm = heapq.heappop(self._alarms)[2]
            if (callback := alarm.callback) is not None:
                alarm.callback = None
                callback()
        return self.now()

    def waker(self) -> Callable[[], None]:
        """Returns a function that another thread may call to end a wait."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        self.watch(reader, READ, lambda mask: os.read(reader, stdio.CHUNK_BYTES))

        def wake() -> None:
            with contextlib.suppress(BlockingIOError):  # the pipe is full of earlier calls
                os.write(writer, b"\0")

        self._pipes += [reader, writer]
        return wake

    def unwatch_stdout(self) -> None:
        """Stops watching for the reader of stdout to leave."""
        with contextlib.suppress(OSError, KeyError):
            self._poll.unregister(stdio.STDOUT)

    def abandon(self) -> None:
        """Leaves the parent's epoll to the parent, in a forked process, where both would change the same watches."""
        if self._epoll:
            self._poll.close()
            self._poll = select.epoll()
        self._ready.clear()

    def close(self) -> None:
        """Closes the loop's own descriptors."""
        if self._epoll:
            self._poll.close()
        for fd in self._pipes:
            os.close(fd)
