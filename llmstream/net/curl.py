"""The network as a transport: libcurl's multi interface on a loop, for one stream or a thousand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pycurl

from .. import signals
from ..errors import UNLIMITED, Error
from .easy import configuration_error, explain, prepare
from .loop import READ, WRITE, Alarm, EventLoop, Loop
from .transfer import HttpRequest, Transfer, Transport

LINGER_S = 1.0  # a complete answer's response may take so long to end, for its connection to be reused
IDLE_LINGER_S = 0.02  # the same, before the loop goes idle
FORGOTTEN_S = 2.0  # limit of a request whose response does not matter
HEAD_END = (b"\r\n", b"\n")  # the line that ends a response's head
# The retry limit by libcurl error. DNS and certificate failures do not heal in a minute.
MAX_RETRIES = {
    pycurl.E_COULDNT_CONNECT: 1,
    pycurl.E_COULDNT_RESOLVE_HOST: 0,
    pycurl.E_COULDNT_RESOLVE_PROXY: 0,
    pycurl.E_PEER_FAILED_VERIFICATION: 0,
    pycurl.E_SSL_CONNECT_ERROR: 0,
    pycurl.E_UNSUPPORTED_PROTOCOL: 0,
}


class CurlTransfer(Transfer):
    """A transfer on a libcurl handle."""

    def __init__(self, curl: Curl, url: str, wake: Callable[[], object]) -> None:
        super().__init__()
        self.url = url
        self.easy = pycurl.Curl()
        self.head_lines: list[bytes] = []
        self.wake = wake
        self.alarm: Alarm | None = None  # that ends it
        self._curl, self._to_wake = curl, curl.to_wake
        self._paused = self._stopped = False  # stopped: libcurl holds a part of the body, and does not read on

    def on_head_line(self, line: bytes) -> None:
        """libcurl's callback for a line of the head."""
        self.head_lines.append(line)
        if line in HEAD_END:
            self._to_wake[self] = None

    def on_body(self, chunk: bytes) -> int | None:
        """libcurl's callback for a part of the body."""
        if self._paused:
            self._stopped = True
            return int(pycurl.WRITEFUNC_PAUSE)
        if self.on_chunk is None:
            self.chunks.append(chunk)
            self._to_wake[self] = None
        elif self.on_chunk(chunk):
            self._to_wake[self] = None
        return None

    def head(self) -> tuple[int, dict[str, str]] | None:
        if not self.head_lines or self.head_lines[-1] not in HEAD_END:
            return None
        status = self.easy.getinfo(pycurl.RESPONSE_CODE)
        if status < 200:
            return None
        headers: dict[str, str] = {}
        for line in self.head_lines:
            text = line.decode("latin-1")
            if text.startswith("HTTP/"):
                headers.clear()
            elif text.strip():
                name, _, value = text.partition(":")
                headers[name.strip().lower()] = value.strip()
        return status, headers

    def pause(self, paused: bool) -> None:
        self._paused = paused
        if self._stopped and not paused and not self.ended:
            self._stopped = False
            with signals.SignalsDeferred():
                self.easy.pause(pycurl.PAUSE_CONT)  # allowed only once there is a connection
            self._curl.loop.call_at(0.0, self._curl.wake_owners)  # of the part that libcurl held


def _end_before_request(*addresses: object) -> int:
    """libcurl's callback between the connection and the request."""
    return int(pycurl.PREREQFUNC_ABORT)


class Curl(Transport):
    """A Transport over the network, by libcurl."""

    calls_on_chunk = True

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self._multi = pycurl.CurlMulti()
        self._socket_action = self._multi.socket_action
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._alarm: Alarm | None = None
        self._transfers: dict[pycurl.Curl, CurlTransfer] = {}
        self.to_wake: dict[CurlTransfer, None] = {}  # transfers whose owners are to be called, in order
        self._forgotten: set[CurlTransfer] = set()
        self._lingering: set[CurlTransfer] = set()
        self._preconnecting: set[CurlTransfer] = set()

    def send(self, request: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]) -> CurlTransfer:
        transfer = CurlTransfer(self, request.url, wake)
        easy = transfer.easy
        try:
            prepare(easy, request, connect_timeout)
        except Error as error:
            transfer.ended, transfer.error = True, error
            self.loop.call_at(0.0, wake)
            return transfer
        easy.setopt(pycurl.WRITEFUNCTION, transfer.on_body)
        easy.setopt(pycurl.HEADERFUNCTION, transfer.on_head_line)
        if self._preconnecting:
            easy.setopt(pycurl.PIPEWAIT, 1)  # wait for the connection that is being opened, rather than open another
        self._add(transfer)
        return transfer

    def _add(self, transfer: CurlTransfer) -> None:
        self._transfers[transfer.easy] = transfer
        with signals.SignalsDeferred():
            self._multi.add_handle(transfer.easy)

    def preconnect(self, request: HttpRequest, connect_timeout: float | None) -> None:
        """Opens a connection, as Transport says, where the server speaks HTTP/2.

        A callback of libcurl's ends the transfer before its request is sent. libcurl then keeps a connection of HTTP/2,
        for two minutes without use, and closes one of HTTP/1.
        """
        transfer = CurlTransfer(self, request.url, lambda: None)
        try:
            prepare(transfer.easy, request, connect_timeout)
            transfer.easy.setopt(pycurl.PREREQFUNCTION, _end_before_request)
        except (Error, AttributeError):  # the request has the same error; a libcurl before 7.80
            return
        transfer.wake = partial(self._end, transfer)
        self._preconnecting.add(transfer)
        self._add(transfer)

    def send_and_forget(self, request: HttpRequest) -> None:
        transfer = self.send(request, FORGOTTEN_S, lambda: None)
        self._forgotten.add(transfer)
        self._drain(transfer, FORGOTTEN_S)

    def end(self, transfer: Transfer) -> None:
        assert isinstance(transfer, CurlTransfer)
        if transfer.complete and not transfer.ended:  # at its end the connection can be reused
            transfer.complete = False
            transfer.pause(False)
            self._lingering.add(transfer)
            self._drain(transfer, LINGER_S)
        else:
            self._end(transfer)

    def finish(self, transfer: Transfer) -> None:
        assert isinstance(transfer, CurlTransfer)
        self._forgotten.add(transfer)
        transfer.alarm = self.loop.call_at(self.loop.now() + FORGOTTEN_S, partial(self._end, transfer))

    def _drain(self, transfer: CurlTransfer, limit_s: float) -> None:
        """Drops the rest of a response, and ends the transfer after it, or after `limit_s`."""
        alarm = self.loop.call_at(self.loop.now() + limit_s, partial(self._end, transfer))

        def drop() -> None:
            transfer.chunks.clear()
            if transfer.ended:
                alarm.cancel()
                self._end(transfer)

        transfer.wake = drop

    def _end(self, transfer: CurlTransfer) -> None:
        if self._transfers.pop(transfer.easy, None):
            self._lingering.discard(transfer)
            self._forgotten.discard(transfer)
            self._preconnecting.discard(transfer)
            self.to_wake.pop(transfer, None)
            if transfer.alarm:
                transfer.alarm.cancel()
            with signals.SignalsDeferred():
                self._multi.remove_handle(transfer.easy)
            transfer.easy.close()

    def settle(self) -> None:
        assert isinstance(self.loop, Loop)
        self._wait_for_forgotten()
        deadline = self.loop.now() + IDLE_LINGER_S
        while self._lingering and self.loop.wait(deadline) < deadline:
            pass
        for transfer in list(self._lingering):
            self._end(transfer)

    @property
    def is_settled(self) -> bool:
        return not self._forgotten

    def close(self) -> None:
        for transfer in list(self._transfers.values()):
            if transfer not in self._forgotten:
                self._end(transfer)
        if self._forgotten and isinstance(self.loop, Loop):
            self.loop.unwatch_stdout()
            self._wait_for_forgotten()
        if self._alarm:
            self._alarm.cancel()
        self._multi.close()

    def _wait_for_forgotten(self) -> None:
        assert isinstance(self.loop, Loop)
        while self._forgotten:  # each has its own time limit
            self.loop.wait()

    def abandon(self) -> None:
        import ctypes

        # Where libcurl's handle is freed, even at the end of the process, it says goodbye to the servers.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._multi))
        for transfer in self._transfers.values():
            transfer.ended = True
        for transfers in (self._transfers, self.to_wake, self._forgotten, self._lingering, self._preconnecting):
            transfers.clear()

    # libcurl's callbacks say which sockets to watch and when to call it.

    def _on_socket(self, what: int, fd: int, multi: pycurl.CurlMulti, data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self.loop.unwatch(fd)
            return
        mask = (READ if what & pycurl.POLL_IN else 0) | (WRITE if what & pycurl.POLL_OUT else 0)
        self.loop.watch(fd, mask, partial(self._act, fd))

    def _on_timer(self, milliseconds: int) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if milliseconds >= 0:
            time_out = partial(self._act, pycurl.SOCKET_TIMEOUT, 0)
            self._alarm = self.loop.call_at(self.loop.now() + milliseconds / 1000, time_out)

    def _act(self, fd: int, mask: int) -> None:
        """Lets libcurl work on a socket that is ready, and calls the owners of transfers that got data."""
        events = (pycurl.CSELECT_IN if mask & READ else 0) | (pycurl.CSELECT_OUT if mask & WRITE else 0)
        if not events and fd != pycurl.SOCKET_TIMEOUT:
            events = pycurl.CSELECT_ERR
        is_inner, signals.deferring = signals.deferring, True  # SignalsDeferred without its two calls, for each chunk
        try:
            _, running = self._socket_action(fd, events)
            if running < len(self._transfers):
                self._reap()
        finally:
            signals.deferring = is_inner
            if signals.pending and not is_inner:
                signals.raise_pending()
        if len(self.to_wake) == 1:
            self.to_wake.popitem()[0].wake()
        elif self.to_wake:
            self.wake_owners()

    def wake_owners(self) -> None:
        """Calls the owners of transfers that got data; outside libcurl, since they may end a transfer."""
        to_wake = self.to_wake
        try:
            while to_wake:
                transfer = next(iter(to_wake))
                del to_wake[transfer]
                transfer.wake()
        finally:
            if to_wake:  # an owner has raised: the others are called all the same
                self.loop.call_at(0.0, self.wake_owners)

    def _reap(self) -> None:
        """Marks the transfers that have ended."""
        queued = 1
        while queued:
            queued, succeeded, failed = self._multi.info_read()
            for easy, code, message in failed:
                transfer = self._transfers[easy]
                transfer.max_retries = MAX_RETRIES.get(code, UNLIMITED)
                transfer.reason = explain(code, message, transfer.url)
                transfer.error = configuration_error(code, message, transfer.url)
            for easy in [*succeeded, *(easy for easy, _, _ in failed)]:
                transfer = self._transfers[easy]
                transfer.ended = True
                self.to_wake[transfer] = None
