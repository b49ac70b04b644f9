"""A pool of loops, with their connections, for the streams of a Python program."""

from __future__ import annotations

import os

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


_idle: list[PooledLoop] = []  # a stack: the last one used is the next to be used


def acquire() -> PooledLoop:
    """Returns a loop that no other stream uses."""
    while True:
        try:
            pooled = _idle.pop()
        except IndexError:
            return PooledLoop()
        if pooled.process == os.getpid():  # after a fork, the connections are the parent's
            return pooled


def release(pooled: PooledLoop) -> None:
    """Takes a loop back, once its stream is over."""
    if len(_idle) < MAX_IDLE and pooled.process == os.getpid():
        pooled.routes.settle()
        _idle.append(pooled)
    else:
        pooled.routes.close()
        pooled.loop.close()
