"""Turns of the event loop, for work that would hold up the answers that are streaming."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets one task pass in each turn of the loop; in between, the loop sees to all others."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_passing = False  # a task has passed in this turn

    async def wait(self) -> None:
        """Waits for a turn."""
        loop = asyncio.get_running_loop()
        if self._is_passing:
            future = loop.create_future()
            self._waiting.append(future)
            await future
        else:
            self._is_passing = True
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # not cancelled
                future.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._is_passing = False
