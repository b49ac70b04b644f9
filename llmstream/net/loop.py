"""The event loop: libcurl's multi interface, and stdout's reader, in one wait.

libcurl says by callback which sockets it wants watched and when it wants to be woken; epoll (where there is none,
poll) waits for them. One loop carries one stream or a thousand. Bytes are appended to a transfer's list by
libcurl itself, so no Python runs per chunk before `wait` returns.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Any

import pycurl

from .. import __version__, stdio
from ..errors import ReaderGone, UsageError

LOOPBACK = "localhost,127.0.0.0/8,::1"  # through no proxy
FOREVER = 2**31 - 1  # milliseconds; 0 would be libcurl's default
CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD, Alpine
)
# What will pass is told from what will not by the retries; here only words that help.
HINTS = {
    pycurl.E_COULDNT_CONNECT: "is the server running?",
    pycurl.E_COULDNT_RESOLVE_HOST: "is the address right, and the network up?",
    pycurl.E_PEER_FAILED_VERIFICATION: "SSL_CERT_FILE names the CA certificates to trust",
    pycurl.E_SSL_CONNECT_ERROR: "does the server speak TLS at this port, or is it http://?",
    pycurl.E_GOT_NOTHING: "does the server speak TLS at this port: https://?",
}


class Transfer:
    """One POST under way. `chunks` is what has arrived since it was last taken; `reason` why it ended, "" if well."""

    def __init__(self, easy: pycurl.Curl) -> None:
        self.easy = easy
        self.chunks: list[bytes] = []
        self.lines: list[bytes] = []  # of the head
        self.ended = False
        self.reason = ""

    def take(self) -> bytes:
        """What has arrived since the last call."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        return data

    def head(self) -> tuple[int, dict[str, str]] | None:
        """Status and headers (names in lower case) once they are complete; those of the last response."""
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
            else:
                name, _, value = text.partition(":")
                headers[name.strip().lower()] = value.strip()
        return status, headers


class Loop:
    """Runs transfers. `wait` raises ReaderGone as soon as stdout's reader leaves."""

    def __init__(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._epoll = hasattr(select, "epoll")
        self._poll: Any = select.epoll() if self._epoll else select.poll()
        self._curl_wake: float | None = None
        self._transfers: dict[pycurl.Curl, Transfer] = {}
        with contextlib.suppress(PermissionError):  # epoll takes no regular file: nobody can leave one
            self._poll.register(stdio.STDOUT, 0)

    def post(self, url: str, headers: list[str], body: bytes, connect_timeout: float) -> Transfer:
        """Begins a POST; the answer arrives in the transfer. A connect_timeout of 0 seconds is none."""
        easy = pycurl.Curl()
        transfer = Transfer(easy)
        try:
            easy.setopt(pycurl.URL, url)
        except UnicodeEncodeError:
            raise UsageError(f"{url} is not a URL: it is not ASCII") from None
        easy.setopt(pycurl.POSTFIELDS, body)
        easy.setopt(
            pycurl.HTTPHEADER,
            [
                *headers,
                "Content-Type: application/json",
                "Accept: text/event-stream, application/json",
                "Accept-Encoding: identity",  # compression holds back what streaming is for
                "Expect:",  # no round trip before a large prompt
                f"User-Agent: llmstream/{__version__}",
            ],
        )
        easy.setopt(pycurl.WRITEFUNCTION, transfer.chunks.append)
        easy.setopt(pycurl.HEADERFUNCTION, transfer.lines.append)
        easy.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        easy.setopt(pycurl.CONNECTTIMEOUT_MS, round(connect_timeout * 1000) or FOREVER)
        easy.setopt(pycurl.NOSIGNAL, 1)
        easy.setopt(pycurl.NOPROXY, _no_proxy())
        if url.startswith("https:"):
            _trust(easy)
        self._multi.add_handle(easy)
        self._transfers[easy] = transfer
        return transfer

    def wait(self, deadline: float | None) -> float:
        """Waits until something happened or the deadline has come; returns the time (monotonic, seconds).

        What happened stands in the transfers.
        """
        wakes = [wake for wake in (deadline, self._curl_wake) if wake is not None]
        timeout = max(0.0, min(wakes) - time.monotonic()) if wakes else None
        if self._epoll:
            ready = self._poll.poll(timeout)
        else:
            ready = self._poll.poll(None if timeout is None else timeout * 1000)
        now = time.monotonic()
        stdio.defer_signals()
        for fd, mask in ready:
            if fd == stdio.STDOUT:
                stdio.deliver_signals()
                raise ReaderGone
            action = (pycurl.CSELECT_IN if mask & select.POLLIN else 0) | (
                pycurl.CSELECT_OUT if mask & select.POLLOUT else 0
            )
            self._multi.socket_action(fd, action or pycurl.CSELECT_ERR)
        if self._curl_wake is not None and now >= self._curl_wake:
            self._curl_wake = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._reap()
        stdio.deliver_signals()
        return now

    def end(self, transfer: Transfer) -> None:
        """Ends a transfer; one that is still under way by closing its connection at once."""
        if self._transfers.pop(transfer.easy, None):
            stdio.defer_signals()
            self._multi.remove_handle(transfer.easy)
            stdio.deliver_signals()
            transfer.easy.close()

    def close(self) -> None:
        for transfer in list(self._transfers.values()):
            self.end(transfer)
        self._multi.close()
        if self._epoll:
            self._poll.close()

    def _on_socket(self, what: int, fd: int, multi: pycurl.CurlMulti, data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            with contextlib.suppress(OSError, KeyError):  # closed meanwhile, and so forgotten by the kernel
                self._poll.unregister(fd)
            return
        mask = (select.POLLIN if what & pycurl.POLL_IN else 0) | (select.POLLOUT if what & pycurl.POLL_OUT else 0)
        try:
            self._poll.register(fd, mask)
        except FileExistsError:
            self._poll.modify(fd, mask)

    def _on_timer(self, milliseconds: int) -> None:
        self._curl_wake = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def _reap(self) -> None:
        queued = 1
        while queued:
            queued, well, failed = self._multi.info_read()
            for easy in well:
                self._transfers[easy].ended = True
            for easy, code, message in failed:
                transfer = self._transfers[easy]
                transfer.ended = True
                hint = HINTS.get(code, "")
                transfer.reason = (message or f"libcurl error {code}").rstrip(".") + (f" ({hint})" if hint else "")


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
