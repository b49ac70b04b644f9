"""Accepts connections.

A new connection waits without a protocol for its first bytes. One that begins a POST then waits behind all others: to
read or refuse the requests of thousands takes a second, and a check of the server's health cannot wait so long.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from .connection import Connection

ACCEPTS = 512  # connections at once, before the others go on
ACCEPT_PAUSE_S = 1.0  # while no descriptor is free
CONNECTS = 8  # of those that wait, in one turn of the loop: 2 ms


class Arrivals:
    """Accepts the connections of a listening socket, and passes each to `connect`."""

    def __init__(self, listener: socket.socket, connect: Callable[[socket.socket], object]) -> None:
        self._listener, self._connect = listener, connect
        self._loop = asyncio.get_running_loop()
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}  # those that have sent nothing, and their limits
        self._waiting: deque[socket.socket] = deque()
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Stops accepting, closes the connections that have sent nothing, and passes all others on."""
        while self._accept():
            pass
        self._loop.remove_reader(self._listener)
        for client in list(self._silent):
            self._look(client)
        while self._waiting:
            self._connect(self._waiting.popleft())

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:  # not closed meanwhile
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> bool:
        """Accepts waiting connections; returns whether there may be more.

        uvloop accepts one a turn, so the last of many would wait for all others.
        """
        try:
            for _ in range(ACCEPTS):
                client, _ = self._listener.accept()
                client.setblocking(False)
                self._silent[client] = self._loop.call_later(Connection.head_timeout_s, self._drop, client)
                self._loop.add_reader(client, self._look, client)
            return True
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            pass
        except OSError:  # no descriptor or memory is free
            self._loop.remove_reader(self._listener)
            self._loop.call_later(ACCEPT_PAUSE_S, self._listen)
        return False

    def _look(self, client: socket.socket) -> None:
        """Passes a connection on by its first bytes, or lets it wait."""
        self._forget(client)
        try:
            start = client.recv(4, socket.MSG_PEEK)
        except OSError:
            start = b""
        if not start:  # the client has gone
            client.close()
        elif start != b"POST":
            self._connect(client)
        else:
            if not self._waiting:
                self._loop.call_soon(self._pass_on)
            self._waiting.append(client)

    def _pass_on(self) -> None:
        """Passes on some of the waiting connections."""
        for _ in range(min(CONNECTS, len(self._waiting))):
            self._connect(self._waiting.popleft())
        if self._waiting:
            self._loop.call_soon(self._pass_on)

    def _drop(self, client: socket.socket) -> None:
        self._forget(client)
        client.close()

    def _forget(self, client: socket.socket) -> None:
        self._loop.remove_reader(client)
        self._silent.pop(client).cancel()
