"""A connection, with what uvicorn leaves out.

The head of a request is to come soon, and to be short, as is all around its body. A client that has vanished without a
word is found by the kernel's probes, so that no answer waits for it for ever; one that leaves is noticed also where it
has sent another request meanwhile. HTTP/1.0 knows no chunks: an answer there ends with the connection.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_TIMEOUT = 20.0  # seconds for the head of a request
MAX_HEAD = 64 * 1024  # bytes of it, and of what is neither head nor body
FRAMING = 8  # bytes in which a byte of a body may be wrapped: a chunk of its own takes 5
MAX_WAITING = 8  # requests behind the one that is answered; the kernel keeps the rest
SEND_BUFFER = 128 * 1024  # bytes that the kernel takes for a slow reader: left to itself, megabytes
PROBE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds, seconds, times


class Connection(HttpToolsProtocol):
    """uvicorn's protocol; the names that it calls back are httptools'."""

    head_timeout = HEAD_TIMEOUT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head: asyncio.TimerHandle | None = None  # a head is awaited, or has begun
        self._room = 0  # bytes that may come
        self._cycles: list[RequestResponseCycle] = []  # requests that are not answered whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        for name, value in PROBE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        for cycle in self._cycles:  # uvicorn tells the last one only
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._room -= len(data)
        super().data_received(data)
        if self._room < 0:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Unless it would be taken for the answer to the request before, or for a part of it."""
        waiting = [cycle for cycle in self._cycles if not cycle.response_complete]
        if not waiting or (len(waiting) == 1 and waiting[0].more_body and not waiting[0].response_started):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._head:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._forget_head()
        self._room = MAX_HEAD
        super().on_headers_complete()
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        if 0 < len(self._cycles) <= MAX_WAITING:
            self.flow.resume_reading()  # else it would not be seen that the client leaves
        if self.cycle not in self._cycles:
            self._cycles.append(self.cycle)
            if self.scope["http_version"] == "1.0":
                self.cycle.send = _to_the_end(self.cycle)  # type: ignore[method-assign,assignment]

    def on_body(self, body: bytes) -> None:
        self._room += (1 + FRAMING) * len(body)
        super().on_body(body)

    def _await_head(self) -> None:
        self._room = MAX_HEAD
        self._head = self.loop.call_later(self.head_timeout, self.transport.close)

    def _forget_head(self) -> None:
        if self._head:
            self._head.cancel()
            self._head = None


def _to_the_end(cycle: RequestResponseCycle) -> Callable[[Any], Awaitable[None]]:
    """Its `send`, where a body of unknown length ends with the connection (RFC 1945, 7.2.2)."""
    send, unknown = cycle.send, False

    async def plain(message: Any) -> None:
        nonlocal unknown
        if message["type"] == "http.response.start":
            unknown = all(name.lower() != b"content-length" for name, _ in message["headers"])
            if unknown:
                cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize
        elif unknown and not message.get("more_body"):
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return plain
