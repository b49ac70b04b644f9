"""The event loop: descriptors, times and stdout's reader, in one wait.

Whatever takes part gives a callback: libcurl's sockets, the pipes of an SDK's threads, stdin. epoll waits for them, or
poll where there is none. One loop carries one stream or a thousand.
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


class Alarm(Protocol):
    """A callback at a time, which is called once unless it is cancelled before."""

    def cancel(self) -> None: ...


class Watching(Protocol):
    """What transports and generations need of a loop: ours, or asyncio's behind net/aio. The clock is monotonic."""

    def now(self) -> float:
        """The time, in seconds."""

    def watch(self, fd: int, mask: int, ready: Callable[[int], object]) -> None:
        """Calls `ready`, with what it is ready for, whenever fd is ready to READ or WRITE as `mask` says, or broken.

        Takes the place of an earlier watch of the same descriptor. Raises PermissionError for a regular file.
        """

    def unwatch(self, fd: int) -> None:
        """No more of that; one that is not watched is none the worse."""

    def at(self, when: float, due: Callable[[], object]) -> Alarm:
        """Calls `due` at that time, or as soon after it as may be."""


class _Alarm:
    __slots__ = ("due",)

    def __init__(self, due: Callable[[], object]) -> None:
        self.due: Callable[[], object] | None = due

    def cancel(self) -> None:
        self.due = None


class Loop:
    """Ours. `wait` is one round of it. With `reader`, stdout's reader is watched, too."""

    def __init__(self, reader: bool = True) -> None:
        self._epoll = hasattr(select, "epoll")
        self._poll: Any = select.epoll() if self._epoll else select.poll()
        self._ready: dict[int, Callable[[int], object]] = {}
        self._alarms: list[tuple[float, int, _Alarm]] = []  # a heap; the number keeps equal times in order
        self._number = 0
        self._pipes: list[int] = []
        if reader:
            with contextlib.suppress(PermissionError):  # epoll takes no regular file: nobody can leave one
                self._poll.register(stdio.STDOUT, 0)

    def now(self) -> float:
        return time.monotonic()

    def watch(self, fd: int, mask: int, ready: Callable[[int], object]) -> None:
        if fd in self._ready:
            self._poll.modify(fd, mask)
        else:
            self._poll.register(fd, mask)
        self._ready[fd] = ready

    def unwatch(self, fd: int) -> None:
        if self._ready.pop(fd, None):
            with contextlib.suppress(OSError, KeyError):  # closed meanwhile, and so forgotten by the kernel
                self._poll.unregister(fd)

    def at(self, when: float, due: Callable[[], object]) -> Alarm:
        alarm = _Alarm(due)
        self._number += 1
        heapq.heappush(self._alarms, (when, self._number, alarm))
        return alarm

    def wait(self, deadline: float | None = None) -> float:
        """Waits until something was called back, or the deadline has come; returns the time.

        Raises ReaderGone as soon as stdout's reader leaves.
        """
        alarms = self._alarms
        while alarms and alarms[0][2].due is None:
            heapq.heappop(alarms)
        if alarms and (deadline is None or alarms[0][0] < deadline):
            deadline = alarms[0][0]
        timeout = None if deadline is None else min(max(0.0, deadline - self.now()), stdio.DAY)
        ready = self._poll.poll(timeout if self._epoll or timeout is None else timeout * 1000)
        calls = self._ready
        for fd, mask in ready:
            if (call := calls.get(fd)) is not None:  # unless a call before it has changed that
                call(mask)
            elif fd == stdio.STDOUT:
                raise ReaderGone
        now = self.now()
        while alarms and alarms[0][0] <= now:
            due = heapq.heappop(alarms)[2].due
            if due is not None:
                due()
        return now

    def waker(self) -> Callable[[], None]:
        """What another thread calls to end a wait."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        self.watch(reader, READ, lambda mask: os.read(reader, stdio.CHUNK))

        def wake() -> None:
            with contextlib.suppress(BlockingIOError):  # full of earlier calls
                os.write(writer, b"\0")

        self._pipes += [reader, writer]
        return wake

    def forget_reader(self) -> None:
        """stdout's reader may leave from now on."""
        with contextlib.suppress(OSError, KeyError):
            self._poll.unregister(stdio.STDOUT)

    def close(self) -> None:
        if self._epoll:
            self._poll.close()
        for fd in self._pipes:
            os.close(fd)
