"""Turns of the event loop, for work that would hold up the answers that are streaming."""

from __future__ import annotations

import asyncio
import time
from collections import deque

TASKS = 2  # that pass in one turn: with one, each request costs a fifth more; with many, tokens are late
LONG_S = 0.005  # a turn of a busy loop


class Turns:
    """Lets a few tasks run in each turn of the loop, so that the loop has time for all others.

    While some wait and the loop is busy, one passes in every second turn: they wait longer, and tokens are on time.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._passed = 0  # in this turn
        self._began = 0.0  # this turn
        self._is_next = False  # the loop will call _next
        self._has_paused = False  # no task has passed in this turn

    async def wait(self) -> None:
        """Waits for a turn."""
        loop = asyncio.get_running_loop()
        if not self._is_next:
            self._is_next, self._began, self._passed = True, time.monotonic(), 0
            loop.call_soon(self._next, loop)
        if self._passed < TASKS and not self._waiting:
            self._passed += 1
        else:
            future = loop.create_future()
            self._waiting.append(future)
            await future

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        began, self._began = self._began, time.monotonic()
        is_long = self._began - began > LONG_S
        self._has_paused = is_long and not self._has_paused
        free = 0 if self._has_paused else 1 if is_long else TASKS
        self._passed = TASKS - free
        while self._waiting and self._passed < TASKS:
            future = self._waiting.popleft()
            if not future.done():  # not cancelled
                future.set_result(None)
                self._passed += 1
        self._is_next = bool(self._waiting or self._passed)
        if self._is_next:
            loop.call_soon(self._next, loop)
