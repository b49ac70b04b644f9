"""An HTTP connection: uvicorn's protocol with the limits and the checks that it lacks.

- The head of a request is bounded in time and size, and so are chunk headers and trailers around its body.
- TCP keep-alive probes find clients that have vanished without closing the connection.
- A client's disconnect is noticed even after it has pipelined further requests.
- HTTP/1.0 has no chunks: an answer of unknown length ends with the connection.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 64 * 1024  # of a head, and of all that is neither head nor body
FRAMING_BYTES = 8  # allowed around each byte of a body: a chunk of one byte needs 5
MAX_PIPELINED = 8  # requests read behind the one that is being answered; the kernel keeps the rest
SEND_BUFFER_BYTES = 128 * 1024  # in the kernel for a slow reader; its default grows to megabytes
KEEPALIVE_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds, seconds, probes


class Connection(HttpToolsProtocol):
    """uvicorn's protocol on httptools, whose parser calls the on_... methods."""

    head_timeout_s = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None  # runs while a head is awaited or incomplete
        self._allowance = 0  # bytes that may still arrive
        self._cycles: list[RequestResponseCycle] = []  # requests whose response is incomplete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        for name, value in KEEPALIVE_PROBES.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        for cycle in self._cycles:  # uvicorn notifies the last one only
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._allowance -= len(data)
        super().data_received(data)  # raises the allowance by what is head or body
        if self._allowance < 0:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answers a malformed request, unless the response would be read as the answer of an earlier request."""
        incomplete = [cycle for cycle in self._cycles if not cycle.response_complete]
        if not incomplete or (len(incomplete) == 1 and incomplete[0].more_body and not incomplete[0].response_started):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._head_timer:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._allowance = MAX_HEAD_BYTES
        super().on_headers_complete()
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        if 0 < len(self._cycles) <= MAX_PIPELINED:
            self.flow.resume_reading()  # uvicorn pauses at a pipelined request, and would not see the disconnect
        if self.cycle not in self._cycles:
            self._cycles.append(self.cycle)
            if self.scope["http_version"] == "1.0":
                self.cycle.send = _ended_by_close(self.cycle)  # type: ignore[method-assign,assignment]

    def on_body(self, body: bytes) -> None:
        self._allowance += (1 + FRAMING_BYTES) * len(body)
        super().on_body(body)

    def _expect_head(self) -> None:
        self._allowance = MAX_HEAD_BYTES
        self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None


def _ended_by_close(cycle: RequestResponseCycle) -> Callable[[Any], Awaitable[None]]:
    """Returns a `send` for HTTP/1.0, where a body of unknown length ends with the connection (RFC 1945, 7.2.2).

    uvicorn would send chunks, and raises if a body does not have the expected length. So chunks are switched off, and
    the expected length is unlimited until the last message, which sets it to its own length.
    """
    send, unknown_length = cycle.send, False

    async def send_until_close(message: Any) -> None:
        nonlocal unknown_length
        if message["type"] == "http.response.start":
            unknown_length = all(name.lower() != b"content-length" for name, _ in message["headers"])
            if unknown_length:
                cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        elif unknown_length and not message.get("more_body"):
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return send_until_close
