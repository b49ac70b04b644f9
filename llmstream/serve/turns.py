"""Turns of the event loop, for work that would hold up the answers that are streaming."""

from __future__ import annotations

import asyncio
from collections import deque

TASKS = 2  # that pass in one turn: with one, each request costs a fifth more; with many, tokens are late


class Turns:
    """Lets TASKS tasks pass in each turn of the loop; in between, the loop sees to all others."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._passed = 0  # in this turn

    async def wait(self) -> None:
        """Waits for a turn."""
        loop = asyncio.get_running_loop()
        if not self._passed:
            loop.call_soon(self._next, loop)
        if self._passed < TASKS:
            self._passed += 1
        else:
            future = loop.create_future()
            self._waiting.append(future)
            await future

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._passed = 0
        while self._waiting and self._passed < TASKS:
            future = self._waiting.popleft()
            if not future.done():  # not cancelled
                future.set_result(None)
                self._passed += 1
        if self._passed:
            loop.call_soon(self._next, loop)
