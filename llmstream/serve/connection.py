"""An HTTP connection: uvicorn's protocol with the limits and the checks that it lacks.

- The head of a request is bounded in time and size, and so are chunk headers and trailers around its body. Trailers
  are dropped: the checks of the headers are over when they arrive.
- A connection between two requests has the time limit of a head, whatever bytes arrive.
- A response that ends before its request closes the connection: the rest of the body is not read.
- A client that does not read what is sent to it loses the connection.
- `Upgrade` is ignored (RFC 9110, 7.8), where uvicorn's parser would drop the request's body.
- TCP keep-alive probes find clients that have vanished without closing the connection.
- While the server is full or shuts down, requests for answers are refused here: hundreds at once would take seconds on
  their way through the application. A browser's go there, since its page reads only a response with headers for its
  origin.
- A client's disconnect is noticed even after it has pipelined further requests.
- HTTP/1.0 has no chunks: an answer of unknown length ends with the connection.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from collections.abc import Awaitable, Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .error_responses import BUSY, SHUTTING_DOWN, unavailable_response

MAX_HEAD_BYTES = 64 * 1024  # of a head, and of all that is neither head nor body
FRAMING_BYTES = 8  # allowed around each byte of a body: a chunk of one byte needs 5
MAX_PIPELINED = 8  # requests read behind the one that is being answered; the kernel keeps the rest
SEND_BUFFER_BYTES = 128 * 1024  # in the kernel for a slow reader; its default grows to megabytes
REFUSED_TIMEOUT_S = 2.0  # for a client to read why it is refused
KEEPALIVE_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds, seconds, probes


class Connection(HttpToolsProtocol):
    """uvicorn's protocol on httptools, whose parser calls the on_... methods."""

    head_timeout_s = 20.0
    write_timeout_s = 60.0  # for a client to read some of what waits for it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None  # runs while a head is awaited or incomplete
        self._write_timer: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes that the client has not read, when the write timer looked last
        self._in_head = self._is_refused = False
        self._body_follows_upgrade = False  # the parser reads it behind a head of its own
        self._allowance = 0  # bytes that may still arrive
        self._cycles: list[RequestResponseCycle] = []  # requests whose response is incomplete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()
        self._write_timer = self.loop.call_later(self.write_timeout_s / 2, self._check_progress)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        if self._write_timer:
            self._write_timer.cancel()
        for cycle in self._cycles:  # uvicorn notifies the last one only
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Ends the connection after the response that is under way. A request that waits in the kernel is refused."""
        if not _bytes_in_kernel(self.transport, termios.FIONREAD):
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        self._allowance -= len(data)
        self._unset_keepalive_if_required()
        if not self._is_refused:
            self._feed(data)  # raises the allowance by what is head or body
        if self._allowance < 0:
            self.transport.close()
        elif not self._is_refused and not self._head_timer and (self.cycle is None or self.cycle.response_complete):
            self._start_head_timer()  # these bytes, line ends perhaps, have begun no request

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._skip_upgrade()
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
            else:
                return

    def _skip_upgrade(self) -> None:
        """Replaces the parser, which has stopped behind a head with `Upgrade`, by one that reads the body."""
        framing = [line for line in self.headers if line[0] in (b"content-length", b"transfer-encoding")]
        head = b"".join(b"%s: %s\r\n" % line for line in framing)
        self.parser = httptools.HttpRequestParser(self)
        self._body_follows_upgrade = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % head)
        self._body_follows_upgrade = False

    def send_400_response(self, msg: str) -> None:
        """Answers a malformed request, unless the response would be read as the answer of an earlier request."""
        incomplete = [cycle for cycle in self._cycles if not cycle.response_complete]
        if not incomplete or (len(incomplete) == 1 and incomplete[0].more_body and not incomplete[0].response_started):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        if self._body_follows_upgrade:
            return
        super().on_message_begin()
        self._in_head = True
        if not self._head_timer:
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        if not self._body_follows_upgrade:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # not in trailers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._body_follows_upgrade or self._is_refused:
            return
        self._in_head = False
        self._stop_head_timer()
        self._allowance = MAX_HEAD_BYTES
        if self._is_refused_at_once():
            self._refuse()
            return
        super().on_headers_complete()
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        waiting = sum(len(cycle.body) for cycle in self._cycles)
        if 0 < len(self._cycles) <= MAX_PIPELINED and waiting < MAX_HEAD_BYTES:
            self.flow.resume_reading()  # uvicorn pauses at a pipelined request, and would not see the disconnect
        if self.cycle not in self._cycles:
            self._cycles.append(self.cycle)
            if self.scope["http_version"] == "1.0":
                self.cycle.send = _ended_by_close(self.cycle)  # type: ignore[method-assign,assignment]

    def on_body(self, body: bytes) -> None:
        if self._is_refused:
            return
        self._allowance += (1 + FRAMING_BYTES) * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_refused and (self._body_follows_upgrade or not self.parser.should_upgrade()):
            super().on_message_complete()

    def on_response_complete(self) -> None:
        if any(cycle.response_complete and cycle.more_body for cycle in self._cycles):  # the rest is not read
            self.transport.close()
        super().on_response_complete()

    def _is_refused_at_once(self) -> bool:
        """Whether the request whose head is complete is one more than the server takes."""
        state = self.config.app.state.server  # type: ignore[union-attr]
        if self.parser.get_method() != b"POST" or not (state.is_full or state.closing):
            return False
        is_pipelined = any(not cycle.response_complete for cycle in self._cycles)
        return not is_pipelined and all(name != b"origin" for name, _ in self.headers)

    def _refuse(self) -> None:
        """Answers that the server takes no more, and ignores what else arrives until the client closes its end."""
        self._is_refused = True
        state = self.config.app.state.server  # type: ignore[union-attr]
        message = SHUTTING_DOWN if state.closing else BUSY
        self.transport.write(unavailable_response(self.url.decode("latin-1"), message))
        self.transport.write_eof()
        if not state.closing:
            state.note_busy()
        self.loop.call_later(REFUSED_TIMEOUT_S, self.transport.close)

    def resume_writing(self) -> None:
        self._unsent = 0
        super().resume_writing()

    def _check_progress(self) -> None:
        """Ends the connection if the client has read nothing since the last check, though something waits for it.

        While the transport's buffer is full nothing is added to it, and neither while it is closing.
        """
        unsent = self.transport.get_write_buffer_size()
        unsent += _bytes_in_kernel(self.transport, termios.TIOCOUTQ) if unsent else 0
        waits = self.flow.write_paused or self.transport.is_closing()
        if waits and 0 < self._unsent <= unsent:
            self.transport.abort()
            return
        self._unsent = unsent if waits else 0
        self._write_timer = self.loop.call_later(self.write_timeout_s / 2, self._check_progress)

    def _expect_head(self) -> None:
        self._allowance = MAX_HEAD_BYTES
        self._start_head_timer()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None


def set_options(listener: socket.socket) -> None:
    """Sets the options of a listening socket that its connections inherit."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    for name, value in KEEPALIVE_PROBES.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _bytes_in_kernel(transport: asyncio.BaseTransport, direction: int) -> int:
    """Returns the bytes that wait in the kernel for us (FIONREAD) or for the client (TIOCOUTQ).

    Returns 0 where the kernel does not tell: macOS does not for the client.
    """
    number = bytearray(4)
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), direction, number)
    except OSError:
        return 0
    return int.from_bytes(number, sys.byteorder)


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
