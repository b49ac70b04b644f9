"""The official SDKs as a transport: they find credentials, sign and send; the bytes of the response are read here.

An SDK blocks. So each request has a thread, which copies the body to a pipe: the loop waits for that pipe and for
stdout's reader in one poll, and a full pipe holds the server back. The thread imports the SDK, too, which takes up to
a second, so that time-outs and a reader who leaves count from the start. Status, headers and errors are set in the
transfer before the pipe is closed. Foreign exceptions are translated here: a response is passed on whatever its status,
so that errors and Retry-After are treated as with every transport; a lost connection is the transfer's reason; all
other exceptions are errors of the configuration.

Bedrock wraps each event in a binary frame of AWS. The SDK's decoder unwraps the frames into an event stream.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .. import stdio
from ..core.json_codec import to_json
from ..core.text import encode
from ..dialects import dialect
from ..errors import UNLIMITED, Error, UsageError, option
from ..providers.target import Target
from .clients import build, cloud_of, hide_proxies
from .loop import READ, EventLoop
from .transfer import HttpRequest, Transfer, Transport

AWS_FRAMES = "application/vnd.amazon.eventstream"
MAX_EXPLANATION = 200  # characters of an SDK's message
# The SDKs' switch for responses that are not parsed, which with_streaming_response sets.
RAW_HEADERS = {"X-Stainless-Raw-Response": "stream", "Accept-Encoding": "identity"}


class SdkTransfer(Transfer):
    """A transfer by a thread, which alone writes to the pipe and closes that end."""

    def __init__(self, loop: EventLoop, wake: Callable[[], object]) -> None:
        super().__init__()
        self.reader, self.writer = os.pipe()
        self.wake = wake
        self.reader_closed = False
        self._loop = loop
        self.sending = False  # the request is signed: failures are the connection's from now on
        self.abandoned = False
        self._socket: socket.socket | None = None

    def pause(self, paused: bool) -> None:
        if self.reader_closed:  # another file may have its number
            return
        if paused:
            self._loop.unwatch(self.reader)
        else:
            self._loop.watch(self.reader, READ, self.on_readable)

    def on_readable(self, mask: int) -> None:
        """Reads from the pipe."""
        if chunk := os.read(self.reader, stdio.CHUNK_BYTES):
            self.chunks.append(chunk)
        else:
            self.ended = True
            self.close_reader()
        self.wake()

    def close_reader(self) -> None:
        """Stops reading; further writes of the thread fail."""
        if not self.reader_closed:
            self.reader_closed = True
            self._loop.unwatch(self.reader)
            os.close(self.reader)

    def trace(self, name: str, info: dict[str, Any]) -> None:
        """httpx's trace callback; a connection is TCP's first, and then TLS's, if any."""
        if name.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.connected(info["return_value"])

    def connected(self, stream: Any) -> None:
        """Keeps the socket of a connection, to be shut down by `hang_up`."""
        self._socket = stream.get_extra_info("socket")
        if self.abandoned:
            self.hang_up()

    def hang_up(self) -> None:
        """Shuts the connection down under the thread that reads from it; closing it would not wake the thread."""
        self.abandoned = True
        if self._socket is not None:
            with contextlib.suppress(OSError, ValueError):
                # TLS's own shutdown would disturb the thread's read.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Sdk(Transport):
    """A Transport by a target's SDK, whose targets have no way to resume: there are no requests to forget."""

    def __init__(self, target: Target, loop: EventLoop) -> None:
        self._target = target
        self.loop = loop
        self._path: str = dialect(target.api).PATH
        self._sdk: Any = None
        self._client: Any = None
        self._build_lock = threading.Lock()
        self._local = threading.local()  # the transfer of each thread
        self._transfers: set[SdkTransfer] = set()

    def send(self, request: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]) -> Transfer:
        try:
            transfer = SdkTransfer(self.loop, wake)
        except OSError as error:
            return self._unsent(os.strerror(error.errno or errno.EIO), wake)
        thread = threading.Thread(target=self._run, args=(transfer, request, connect_timeout), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more threads
            os.close(transfer.writer)
            transfer.close_reader()
            return self._unsent(str(error), wake)
        self._transfers.add(transfer)
        transfer.pause(False)
        return transfer

    def _unsent(self, reason: str, wake: Callable[[], object]) -> Transfer:
        """Returns a transfer that has ended, because the process has too many streams: a retry finds fewer of them."""
        transfer = Transfer()
        transfer.ended, transfer.reason = True, _too_many(reason)
        self.loop.call_at(0.0, wake)
        return transfer

    def end(self, transfer: Transfer) -> None:
        if isinstance(transfer, SdkTransfer):
            self._transfers.discard(transfer)
            if not transfer.reader_closed:
                transfer.close_reader()
                transfer.hang_up()

    def close(self) -> None:
        for transfer in list(self._transfers):
            self.end(transfer)

    def abandon(self) -> None:
        for transfer in self._transfers:
            transfer.reader_closed = True
        self._transfers.clear()

    # In the thread.

    def _run(self, transfer: SdkTransfer, request: HttpRequest, connect_timeout: float | None) -> None:
        try:
            _silence_libraries()
            self._local.transfer = transfer
            with contextlib.closing(self._response(transfer, request, connect_timeout)) as response:
                self._copy(transfer, response)
        except BrokenPipeError:  # the reader is closed
            transfer.hang_up()
        except Exception as error:  # of the SDK, its HTTP library or its search for credentials
            with contextlib.suppress(BrokenPipeError):
                self._translate(error, transfer)
        finally:
            os.close(transfer.writer)

    def _response(self, transfer: SdkTransfer, request: HttpRequest, connect_timeout: float | None) -> Any:
        with self._build_lock:
            if self._client is None:
                self._sdk, self._client = build(self._target, self._on_request)
        timeout = self._sdk.Timeout(None, connect=connect_timeout)
        headers = {name: value.strip() for name, _, value in (line.partition(":") for line in request.headers)}
        body = json.loads(encode(to_json(request.body)))
        if transfer.abandoned:
            raise BrokenPipeError
        options = {"headers": headers | RAW_HEADERS, "timeout": timeout, "max_retries": 0, "follow_redirects": False}
        return self._client.post(self._path, cast_to=object, body=body, options=options).http_response

    def _on_request(self, request: Any) -> None:
        """The HTTP client's hook before a request goes out."""
        transfer: SdkTransfer = self._local.transfer
        transfer.sending = True
        request.extensions = {**request.extensions, "trace": transfer.trace}

    def _copy(self, transfer: SdkTransfer, response: Any) -> None:
        transfer.connected(response.extensions["network_stream"])  # a reused connection was not traced
        headers = _headers(response)
        chunks: Iterable[bytes] = response.iter_bytes()
        if headers.get("content-type", "").startswith(AWS_FRAMES):
            headers["content-type"] = "text/event-stream"
            chunks = _unwrapped(chunks)
        transfer.response_head = response.status_code, headers
        for chunk in chunks:
            _write(transfer.writer, chunk)

    def _translate(self, error: Exception, transfer: SdkTransfer) -> None:
        """Sets a foreign exception in the transfer: as the response, the reason of its end, or its error."""
        cause = error.__cause__ or error
        reason = hide_proxies(" ".join(str(cause).split()) or type(cause).__name__)
        provider = self._target.provider
        if transfer.response_head is not None:
            transfer.reason = reason
        elif isinstance(error, Error):
            transfer.error = error
        elif _exhausted(error):
            transfer.reason = _too_many(reason)
        elif transfer.sending and isinstance(error, self._sdk.APIStatusError):
            transfer.response_head = error.response.status_code, _headers(error.response)
            _write(transfer.writer, error.response.content)
        elif transfer.sending:
            transfer.reason, transfer.max_retries = f"cannot reach {provider}: {reason}", _max_retries(error)
        elif getattr(error, "retryable", False):  # google-auth: the token server is out of order
            transfer.reason = f"no token for {provider}: {reason}"
        else:
            why = reason[:MAX_EXPLANATION]
            transfer.error = UsageError(f"cannot sign for {provider} ({why}): {cloud_of(self._target).hint}")


def _silence_libraries() -> None:
    """Keeps warnings and logs of libraries off stderr, in the command line; errors come as exceptions."""
    if not stdio.is_command_line:
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
        data = event.data.replace("\r", "\n").replace("\n", "\ndata: ")  # line ends in JSON are layout
        yield f"event: {event.event}\ndata: {data}\n\n".encode()


def _too_many(reason: str) -> str:
    """Returns the reason of a transfer for which the process has too many files or threads."""
    return f"too many streams at once ({reason}): {option('jobs')} sets how many"


def _exhausted(error: BaseException | None) -> bool:
    """Returns whether an exception comes from the limit of open files or of threads."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        if isinstance(error, RuntimeError) and "new thread" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _max_retries(error: BaseException | None) -> int:
    """Returns the retry limit of a failed connection, as net/curl has it for libcurl's errors."""
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
