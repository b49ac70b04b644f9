"""The wire: libcurl's multi interface on a loop, for one stream or a thousand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pycurl

from .. import stdio
from ..errors import UNLIMITED, UsageError
from .easy import prepare
from .loop import READ, WRITE, Alarm, Loop, Watching
from .transfer import HttpRequest, Transfer

LINGER = 1.0  # seconds for the end of a response after that of the answer
REST = 0.02  # the same, where nobody would see it come later
TELL = 2.0  # seconds for a request whose answer does not matter
BLANK = (b"\r\n", b"\n")  # the line that ends a head
# How often it is worth trying again, where not many times: names and certificates do not mend in a minute.
WORTH = {
    pycurl.E_COULDNT_CONNECT: 1,
    pycurl.E_COULDNT_RESOLVE_HOST: 0,
    pycurl.E_COULDNT_RESOLVE_PROXY: 0,
    pycurl.E_PEER_FAILED_VERIFICATION: 0,
    pycurl.E_SSL_CONNECT_ERROR: 0,
    pycurl.E_SSL_CACERT_BADFILE: 0,
    pycurl.E_UNSUPPORTED_PROTOCOL: 0,
}
HINTS = {
    pycurl.E_COULDNT_CONNECT: "is the server running?",
    pycurl.E_COULDNT_RESOLVE_HOST: "is the address right, and the network up?",
    pycurl.E_PEER_FAILED_VERIFICATION: "SSL_CERT_FILE names the CA certificates to trust",
    pycurl.E_SSL_CONNECT_ERROR: "does the server speak TLS at this port, or is it http://?",
    pycurl.E_GOT_NOTHING: "does the server speak TLS at this port: https://?",
}


class _Running(Transfer):
    """A transfer of libcurl's."""

    def __init__(self, curl: Curl, wake: Callable[[], object]) -> None:
        super().__init__()
        self.easy = pycurl.Curl()
        self.lines: list[bytes] = []  # of the head
        self.wake = wake
        self._curl, self._touched = curl, curl.touched
        self._held = self._stuck = False  # stuck: libcurl keeps a part, and reads no more

    def received_line(self, line: bytes) -> None:
        """libcurl's callback for a line of the head."""
        self.lines.append(line)
        if line in BLANK:
            self._touched[self] = None

    def received(self, chunk: bytes) -> int | None:
        """libcurl's callback for a part of the body."""
        if self._held:
            self._stuck = True
            return int(pycurl.WRITEFUNC_PAUSE)
        self.chunks.append(chunk)
        self._touched[self] = None
        return None

    def head(self) -> tuple[int, dict[str, str]] | None:
        if not self.lines or self.lines[-1] not in BLANK:
            return None
        status = self.easy.getinfo(pycurl.RESPONSE_CODE)
        if status < 200:
            return None
        headers: dict[str, str] = {}
        for line in self.lines:
            text = line.decode("latin-1")
            if text.startswith("HTTP/"):
                headers.clear()
            elif text.strip():
                name, _, value = text.partition(":")
                headers[name.strip().lower()] = value.strip()
        return status, headers

    def hold(self, held: bool) -> None:
        self._held = held
        if self._stuck and not held and not self.ended:
            self._stuck = False
            with stdio.SignalsDeferred():
                self.easy.pause(pycurl.PAUSE_CONT)  # libcurl knows of no pause before there is a connection
            self._curl.loop.at(0.0, self._curl.wake)  # of what it had already


class Curl:
    """A Transport over the network."""

    def __init__(self, loop: Watching) -> None:
        self.loop = loop
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._alarm: Alarm | None = None
        self._transfers: dict[pycurl.Curl, _Running] = {}
        self.touched: dict[_Running, None] = {}  # whose owners are to be woken
        self._told: list[_Running] = []
        self._lingering: set[_Running] = set()

    def send(self, ask: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]) -> Transfer:
        transfer = _Running(self, wake)
        prepare(transfer.easy, ask, connect_timeout)
        self._add(transfer)
        return transfer

    def tell(self, ask: HttpRequest) -> None:
        transfer = _Running(self, lambda: self._forget(transfer))
        prepare(transfer.easy, ask, TELL)
        transfer.easy.setopt(pycurl.TIMEOUT_MS, round(TELL * 1000))
        self._told.append(transfer)
        self._add(transfer)

    def end(self, transfer: Transfer) -> None:
        assert isinstance(transfer, _Running)
        if transfer.whole and not transfer.ended:
            self._linger(transfer)
        else:
            self._end(transfer)

    def _linger(self, transfer: _Running) -> None:
        """Lets the response's own end come, so that its connection can serve again."""
        transfer.whole = False
        transfer.hold(False)
        self._lingering.add(transfer)
        alarm = self.loop.at(self.loop.now() + LINGER, partial(self._end, transfer))

        def drop() -> None:
            transfer.chunks.clear()
            if transfer.ended:
                alarm.cancel()
                self._end(transfer)

        transfer.wake = drop

    def _end(self, transfer: _Running) -> None:
        if self._transfers.pop(transfer.easy, None):
            self._lingering.discard(transfer)
            self.touched.pop(transfer, None)
            with stdio.SignalsDeferred():
                self._multi.remove_handle(transfer.easy)
            transfer.easy.close()

    def settle(self) -> None:
        assert isinstance(self.loop, Loop)
        until = self.loop.now() + REST
        while self._lingering and self.loop.wait(until) < until:
            pass
        for transfer in list(self._lingering):
            self._end(transfer)

    def close(self) -> None:
        for transfer in list(self._transfers.values()):
            if transfer not in self._told:
                self._end(transfer)
        if self._told and isinstance(self.loop, Loop):
            self.loop.forget_reader()
            while self._told:  # each has a time limit of its own
                self.loop.wait()
        if self._alarm:
            self._alarm.cancel()
        self._multi.close()

    def _add(self, transfer: _Running) -> None:
        easy = transfer.easy
        easy.setopt(pycurl.WRITEFUNCTION, transfer.received)
        easy.setopt(pycurl.HEADERFUNCTION, transfer.received_line)
        self._transfers[easy] = transfer
        with stdio.SignalsDeferred():
            self._multi.add_handle(easy)

    def _forget(self, told: _Running) -> None:
        if told.ended:
            self._told.remove(told)
            self._end(told)

    # libcurl says by callback which sockets it wants watched and when it wants to be called.

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
            self._alarm = self.loop.at(self.loop.now() + milliseconds / 1000, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, fd: int, mask: int) -> None:
        """Lets libcurl work on a socket that is ready, and wakes those who got something of it."""
        wanted = (pycurl.CSELECT_IN if mask & READ else 0) | (pycurl.CSELECT_OUT if mask & WRITE else 0)
        if not wanted and fd != pycurl.SOCKET_TIMEOUT:
            wanted = pycurl.CSELECT_ERR
        with stdio.SignalsDeferred():
            _, running = self._multi.socket_action(fd, wanted)
            if running < len(self._transfers):
                self._reap()
        self.wake()

    def wake(self) -> None:
        """Nobody is called from within libcurl: they may want to end a transfer."""
        touched = self.touched
        try:
            while touched:
                transfer = next(iter(touched))
                del touched[transfer]
                transfer.wake()
        finally:
            if touched:  # one has raised: the others get theirs all the same
                self.loop.at(0.0, self.wake)

    def _reap(self) -> None:
        queued = 1
        while queued:
            queued, well, failed = self._multi.info_read()
            for easy in well:
                self._transfers[easy].ended = True
                self.touched[self._transfers[easy]] = None
            for easy, code, message in failed:
                transfer = self._transfers[easy]
                transfer.ended = True
                self.touched[transfer] = None
                hint = HINTS.get(code, "")
                transfer.max_retries = WORTH.get(code, UNLIMITED)
                transfer.reason = (message or f"libcurl error {code}").rstrip(".") + (f" ({hint})" if hint else "")
                if code == pycurl.E_URL_MALFORMAT:
                    transfer.fault = UsageError(transfer.reason)
