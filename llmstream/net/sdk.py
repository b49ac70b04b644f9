"""The official SDKs as a transport: they find credentials, build, sign and send; the raw bytes are read here.

An SDK blocks. So each request has a thread, which hands the body on through a pipe: waiting stays one poll, of that
pipe and of stdout's reader, and a full pipe holds the server back. The thread imports the SDK, too, which takes up to
a second: time-outs and a reader who leaves count from the start. What it learns besides the body stands in the transfer
before the pipe is closed. Foreign exceptions end here: a response is handed on as one, whatever its status, so that
errors and Retry-After are judged as everywhere; a lost connection is the transfer's reason; the rest is configuration.

Bedrock wraps each event in a binary frame of AWS's. The SDK's own decoder unwraps them; they go on as an event stream.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .. import stdio
from ..core.json_codec import to_json
from ..dialects import dialect
from ..errors import UNLIMITED, Error, UsageError
from ..providers.resolve import Target
from .clients import HINTS, build
from .loop import READ, Watching
from .transfer import HttpRequest, Transfer

AWS_FRAMES = "application/vnd.amazon.eventstream"
MANY_WORDS = 200  # characters of an SDK's explanation
# The SDKs' own switch for "hand me the response as it comes in", which with_streaming_response sets.
RAW = {"X-Stainless-Raw-Response": "stream", "Accept-Encoding": "identity"}


class _Sent(Transfer):
    """A request in the hands of its thread, which alone writes to the pipe and closes that end."""

    def __init__(self, loop: Watching, wake: Callable[[], object]) -> None:
        super().__init__()
        self.reader, self.writer = os.pipe()
        self.wake = wake
        self.forgotten = False
        self._loop = loop
        self.answered: tuple[int, dict[str, str]] | None = None
        self.signed = False  # and on its way: what fails from now on is the connection
        self.left = False  # nobody waits for it any more
        self._socket: socket.socket | None = None

    def head(self) -> tuple[int, dict[str, str]] | None:
        return self.answered

    def hold(self, held: bool) -> None:
        if self.forgotten:  # the number may be another's
            return
        if held:
            self._loop.unwatch(self.reader)
        else:
            self._loop.watch(self.reader, READ, self.read)

    def read(self, mask: int) -> None:
        """The pipe is ready."""
        if chunk := os.read(self.reader, stdio.CHUNK):
            self.chunks.append(chunk)
        else:
            self.ended = True
            self.forget()
        self.wake()

    def forget(self) -> None:
        """No more is read; what the thread writes then fails."""
        if not self.forgotten:
            self.forgotten = True
            self._loop.unwatch(self.reader)
            os.close(self.reader)

    def trace(self, name: str, info: dict[str, Any]) -> None:
        """Told by httpx's extension of this name what happens; a connection is TCP's first, and then maybe TLS's."""
        if name.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.connected(info["return_value"])

    def connected(self, stream: Any) -> None:
        self._socket = stream.get_extra_info("socket")
        if self.left:
            self.hang_up()

    def hang_up(self) -> None:
        """Ends the connection under the thread that reads from it; closing alone would not wake it."""
        self.left = True
        if self._socket is not None:
            with contextlib.suppress(OSError, ValueError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own would meddle with the thread's read


class Sdk:
    """A Transport by a target's SDK. What kept a request from being sent is the transfer's fault."""

    def __init__(self, target: Target, loop: Watching) -> None:
        self._target = target
        self.loop = loop
        self._path: str = dialect(target.api).PATH
        self._sdk: Any = None
        self._client: Any = None
        self._building = threading.Lock()
        self._here = threading.local()  # the transfer of each thread
        self._under_way: set[_Sent] = set()

    def send(self, ask: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]) -> Transfer:
        sent = _Sent(self.loop, wake)
        self._under_way.add(sent)
        sent.hold(False)
        threading.Thread(target=self._carry, args=(sent, ask, connect_timeout), daemon=True).start()
        return sent

    def tell(self, ask: HttpRequest) -> None:
        """Only asked for by ways to go on after a cut, of which there are none here."""

    def end(self, transfer: Transfer) -> None:
        assert isinstance(transfer, _Sent)
        self._under_way.discard(transfer)
        if not transfer.forgotten:
            transfer.forget()
            transfer.hang_up()

    def settle(self) -> None:
        pass

    def close(self) -> None:
        for sent in list(self._under_way):
            self.end(sent)

    # In the thread.

    def _carry(self, sent: _Sent, ask: HttpRequest, connect_timeout: float | None) -> None:
        try:
            _quiet()
            self._here.sent = sent
            with contextlib.closing(self._response(sent, ask, connect_timeout)) as response:
                self._hand_on(sent, response)
        except BrokenPipeError:  # nobody waits for the rest
            sent.hang_up()
        except Exception as error:  # whatever the SDK, its HTTP library or its finder of credentials raises
            with contextlib.suppress(BrokenPipeError):
                self._translate(error, sent)
        finally:
            os.close(sent.writer)

    def _response(self, sent: _Sent, ask: HttpRequest, connect_timeout: float | None) -> Any:
        with self._building:
            if self._client is None:
                self._sdk, self._client = build(self._target, self._mark)
        timeout = self._sdk.Timeout(None, connect=connect_timeout)
        headers = {name: value.strip() for name, _, value in (line.partition(":") for line in ask.headers)}
        body = json.loads(to_json(ask.body).encode("utf-8", "replace"))
        if sent.left:
            raise BrokenPipeError
        options = {"headers": headers | RAW, "timeout": timeout, "max_retries": 0, "follow_redirects": False}
        return self._client.post(self._path, cast_to=object, body=body, options=options).http_response

    def _mark(self, request: Any) -> None:
        """Hook of the HTTP client, before a request goes out."""
        sent: _Sent = self._here.sent
        sent.signed = True
        request.extensions = {**request.extensions, "trace": sent.trace}

    def _hand_on(self, sent: _Sent, response: Any) -> None:
        sent.connected(response.extensions["network_stream"])  # a kept connection was not traced
        headers = _headers(response)
        chunks: Iterable[bytes] = response.iter_bytes()
        if headers.get("content-type", "").startswith(AWS_FRAMES):
            headers["content-type"] = "text/event-stream"
            chunks = _unwrapped(chunks)
        sent.answered = response.status_code, headers
        for chunk in chunks:
            _write(sent.writer, chunk)

    def _translate(self, error: Exception, sent: _Sent) -> None:
        why = " ".join(str(error.__cause__ or error).split()) or type(error.__cause__ or error).__name__
        if sent.answered is not None:
            sent.reason = why
        elif isinstance(error, Error):
            sent.fault = error
        elif sent.signed and isinstance(error, self._sdk.APIStatusError):
            sent.answered = error.response.status_code, _headers(error.response)
            _write(sent.writer, error.response.content)
        elif sent.signed:
            sent.reason, sent.max_retries = f"cannot reach {self._target.provider}: {why}", _worth(error)
        elif getattr(error, "retryable", False):  # google-auth's word for a token server out of order
            sent.reason = f"no token for {self._target.provider}: {why}"
        else:
            provider = self._target.provider
            hint = HINTS.get(provider, "is its key set?")
            sent.fault = UsageError(f"cannot sign for {provider} ({why[:MANY_WORDS]}): {hint}")


def _quiet() -> None:
    """Warnings and logs of libraries are no notes of ours to stderr; what matters comes as an exception."""
    if not stdio.is_ours():
        return
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable()


def _headers(response: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _unwrapped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    from anthropic.lib.bedrock._stream_decoder import AWSEventStreamDecoder

    for event in AWSEventStreamDecoder().iter_bytes(iter(chunks)):
        data = event.data.replace("\r", "\n").replace("\n", "\ndata: ")  # line ends in JSON are only layout
        yield f"event: {event.event}\ndata: {data}\n\n".encode()


def _worth(error: BaseException | None) -> int:
    """How often a connection that failed so is worth trying: as net/curl has it of libcurl's errors."""
    while error is not None:
        if isinstance(error, (socket.gaierror, ssl.SSLError)):
            return 0
        if isinstance(error, ConnectionRefusedError):
            return 1
        error = error.__cause__ or error.__context__
    return UNLIMITED


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
