"""The wire: libcurl's multi interface on a loop, for one stream or a thousand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial

import pycurl

from .. import __version__, stdio
from ..errors import MANY, UsageError
from ..providers import shown
from .loop import READ, WRITE, Alarm, Loop, Watching
from .transfer import Ask, Transfer

to_json = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make another for each request

LOOPBACK = "localhost,127.0.0.0/8,::1"  # through no proxy
TELL = 2.0  # seconds for a request whose answer does not matter
FOREVER = 2**31 - 1  # milliseconds; 0 would be libcurl's default
CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD, Alpine
)
OURS = (
    "Accept: text/event-stream, application/json",
    "Accept-Encoding: identity",  # compression holds back what streaming is for
    f"User-Agent: llmstream/{__version__}",
)
# How often it is worth trying again, where not many times: names and certificates do not mend in a minute.
WORTH = {
    pycurl.E_COULDNT_CONNECT: 1,
    pycurl.E_COULDNT_RESOLVE_HOST: 0,
    pycurl.E_COULDNT_RESOLVE_PROXY: 0,
    pycurl.E_PEER_FAILED_VERIFICATION: 0,
    pycurl.E_SSL_CONNECT_ERROR: 0,
    pycurl.E_SSL_CACERT_BADFILE: 0,
    pycurl.E_URL_MALFORMAT: 0,
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

    def received(self, chunk: bytes) -> None:
        """libcurl's callback for a part of the body."""
        self.chunks.append(chunk)
        self._touched[self] = None

    def head(self) -> tuple[int, dict[str, str]] | None:
        if not self.lines or self.lines[-1] not in (b"\r\n", b"\n"):
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
        if self.ended:
            return
        with stdio.SignalsDeferred():
            self.easy.pause(pycurl.PAUSE_RECV if held else pycurl.PAUSE_CONT)
        if self.chunks:  # libcurl had some of it already
            self._curl.loop.at(0.0, self._curl.wake)


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

    def send(self, ask: Ask, connect_timeout: float, wake: Callable[[], object]) -> Transfer:
        transfer = _Running(self, wake)
        _prepare(transfer.easy, ask, connect_timeout)
        self._add(transfer)
        return transfer

    def tell(self, ask: Ask) -> None:
        transfer = _Running(self, lambda: self._forget(transfer))
        _prepare(transfer.easy, ask, TELL)
        transfer.easy.setopt(pycurl.TIMEOUT_MS, round(TELL * 1000))
        self._told.append(transfer)
        self._add(transfer)

    def end(self, transfer: Transfer) -> None:
        assert isinstance(transfer, _Running)
        if self._transfers.pop(transfer.easy, None):
            self.touched.pop(transfer, None)
            with stdio.SignalsDeferred():
                self._multi.remove_handle(transfer.easy)
            transfer.easy.close()

    def close(self) -> None:
        for transfer in list(self._transfers.values()):
            if transfer not in self._told:
                self.end(transfer)
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
        easy.setopt(pycurl.HEADERFUNCTION, transfer.lines.append)
        self._transfers[easy] = transfer
        with stdio.SignalsDeferred():
            self._multi.add_handle(easy)

    def _forget(self, told: _Running) -> None:
        if told.ended:
            self._told.remove(told)
            self.end(told)

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
        while touched:
            transfer = next(iter(touched))
            del touched[transfer]
            transfer.wake()

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
                transfer.again = WORTH.get(code, MANY)
                transfer.reason = (message or f"libcurl error {code}").rstrip(".") + (f" ({hint})" if hint else "")


def _prepare(easy: pycurl.Curl, ask: Ask, connect_timeout: float) -> None:
    given = {line.partition(":")[0].lower() for line in ask.headers}
    headers = [*ask.headers, *(line for line in OURS if line.partition(":")[0].lower() not in given)]
    if ask.body is not None:
        body = to_json(ask.body).encode("utf-8", "replace")
        easy.setopt(pycurl.POSTFIELDS, body)
        headers += ["Content-Type: application/json", "Expect:"]  # no round trip before a large prompt
    easy.setopt(pycurl.HTTPHEADER, headers)
    easy.setopt(pycurl.CUSTOMREQUEST, ask.method)
    try:
        easy.setopt(pycurl.URL, ask.url)
    except UnicodeEncodeError:
        raise UsageError(f"{shown(ask.url)} is not a URL: it is not ASCII") from None
    easy.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    easy.setopt(pycurl.CONNECTTIMEOUT_MS, min(round(connect_timeout * 1000), FOREVER) or FOREVER)
    easy.setopt(pycurl.NOSIGNAL, 1)
    easy.setopt(pycurl.NOPROXY, _no_proxy())
    if ask.url.startswith("https:"):
        _trust(easy)


def _no_proxy() -> str:
    """Loopback, and what the variable excepts, which libcurl reads only where it is told nothing."""
    theirs = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return theirs if theirs == "*" else f"{LOOPBACK},{theirs}"


def _trust(easy: pycurl.Curl) -> None:
    """CA certificates as curl finds them: its variables, the system's, else certifi's.

    The wheel's built-in path is that of the distribution that it was built on.
    """
    file = os.environ.get("CURL_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    directory = os.environ.get("SSL_CERT_DIR")
    if not file and not directory:
        file = next((path for path in CA_FILES if os.path.exists(path)), None)
        if file is None:
            import certifi

            file = certifi.where()
        elif directory := _hashed(file):
            easy.unsetopt(pycurl.CAINFO)  # the wheel has looked for a bundle, too
            file = None
    if file:
        easy.setopt(pycurl.CAINFO, file)
    if directory:
        easy.setopt(pycurl.CAPATH, directory)


def _hashed(bundle: str) -> str | None:
    """The bundle's directory, where it has the same certificates by their hashes, which OpenSSL reads one by one.

    Reading a whole bundle takes 5 to 15 ms. One that is newer than the directory was changed by hand.
    """
    directory = os.path.dirname(bundle)
    try:
        by_hand = os.stat(bundle).st_mtime > os.stat(directory).st_mtime
        hashed = any(name.endswith(".0") for name in os.listdir(directory))
    except OSError:
        return None
    return directory if hashed and not by_hand else None
