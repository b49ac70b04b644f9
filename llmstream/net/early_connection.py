"""Connects to a provider while the prompt is awaited on stdin: names, TCP and TLS take three round trips or more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from ..dialects import dialect
from ..inputs import Input
from ..providers.registry import CURL
from ..providers.target import Target
from .loop import READ, Loop
from .transports import Routes


def can_connect(target: Target) -> bool:
    """Returns whether a connection to a target can be opened before there is a request: over TLS, by libcurl."""
    return target.row.transport == CURL and target.url[:8].lower() == "https://"


class ConnectingInput(Input):
    """stdin. The first read that has to wait for it begins to connect to a target.

    `make_routes` makes the routes for that, on the `loop`, which is None before. An error of the connection is left to
    the request that follows.
    """

    def __init__(self, target: Target, connect_timeout: float | None, make_routes: Callable[[Loop], Routes]) -> None:
        super().__init__()
        self.loop: Loop | None = None
        self._routes: Routes | None = None
        self._target, self._connect_timeout, self._make_routes = target, connect_timeout, make_routes

    def take_routes(self) -> Routes | None:
        """Returns the routes that have the connection, for the request; None where there is no connection."""
        routes, self._routes = self._routes, None
        return routes

    def read(self, timeout: float | None = None) -> bytes | None:
        if self.loop is None:
            if (data := super().read(0)) is not None:
                return data
            self.loop = Loop()
            self._routes = self._make_routes(self.loop)
            self._routes.preconnect(self._target, self._connect_timeout)
            self.loop.wait(self.loop.now())
            from . import generation  # noqa: F401 - which the answer needs, and which takes some milliseconds

            dialect(self._target.api)  # as this does
        return self._read_on(self.loop, timeout)

    def _read_on(self, loop: Loop, timeout: float | None) -> bytes | None:
        """Reads as `read` does, on a loop."""
        deadline = None if timeout is None else loop.now() + timeout
        ready: list[int] = []
        loop.watch(self._fd, READ, ready.append)
        try:
            while deadline is None or loop.now() < deadline:
                loop.wait(deadline)
                if ready:
                    ready.clear()
                    with contextlib.suppress(BlockingIOError):  # another process has read what was there
                        return self._read()
            return None
        finally:
            loop.unwatch(self._fd)
