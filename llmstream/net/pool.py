"""A pool of loops, with their connections, for the streams of a Python program."""

from __future__ import annotations

import os
import weakref

from .loop import Loop
from .transports import Routes

MAX_IDLE = 8  # idle loops in the pool
JOBS = 4  # prompts that the embedded model answers at once; each takes its share of memory


class PooledLoop:
    """A loop for one stream at a time, and its routes to all targets."""

    def __init__(self) -> None:
        self.loop = Loop(watch_stdout=False)
        self.wake = self.loop.waker()
        self.routes = Routes(self.loop, JOBS)
        self.process = os.getpid()
        _all.add(self)

    def close(self) -> None:
        """Ends all requests, and closes the loop."""
        try:
            self.routes.close()
        finally:
            self.loop.close()

    def abandon(self) -> None:
        """Gives the loop up in a forked process."""
        self.routes.abandon()
        self.loop.abandon()


_idle: list[PooledLoop] = []  # a stack: the last one used is the next to be used
_all: weakref.WeakSet[PooledLoop] = weakref.WeakSet()


def acquire() -> PooledLoop:
    """Returns a loop that no other stream uses."""
    try:
        return _idle.pop()
    except IndexError:
        return PooledLoop()


def release(pooled: PooledLoop, reusable: bool) -> None:
    """Takes a loop back, once its stream is over, or closes it."""
    if pooled.process != os.getpid():
        return
    if reusable and len(_idle) < MAX_IDLE:
        pooled.routes.settle()
        _idle.append(pooled)
    else:
        pooled.close()


def _after_fork() -> None:
    """Gives up all loops in a forked process: their connections are the parent's."""
    _idle.clear()
    for pooled in list(_all):
        pooled.abandon()


os.register_at_fork(after_in_child=_after_fork)
