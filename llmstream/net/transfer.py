"""Requests, responses and what carries them, independent of the kind of transport."""

from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from ..errors import UNLIMITED, Error
from .loop import EventLoop

Head = tuple[int, dict[str, str]]  # status and headers, whose names are in lower case


class HttpRequest(NamedTuple):
    """An HTTP request: its header lines, and the JSON body of a POST; None for a GET or DELETE.

    `cert` are the files of a client certificate and of its key, "" for none. `upload` is a file that is the body, from
    its beginning; its content type is among the headers. `once` is for what must not arrive twice: it goes over a new
    connection, since libcurl sends a request again where the server closes a connection that was used before.
    """

    method: str
    url: str
    headers: list[str]
    body: dict[str, Any] | None = None
    cert: tuple[str, str] = ("", "")
    upload: BinaryIO | None = None
    once: bool = False


class Transfer:
    """One request and its response, while it is under way.

    `chunks` is the part of the body that has arrived since the last `take`. Once the transfer has `ended`, `reason`
    says why, "" after a complete response, and `max_retries` how often to retry after such an end; `error` is why the
    request could not be sent. Set `complete` before `Transport.end` where all data that matters has arrived.
    `response_head` is what `head` returns, unless a subclass reads it elsewhere.

    `on_chunk`, where the owner sets it and the transport `calls_on_chunk`, is called with each part of the body, in
    place of `chunks`. It must not call the transport. It returns whether the owner has to be woken.
    """

    def __init__(self) -> None:
        self.response_head: Head | None = None
        self.chunks: list[bytes] = []
        self.on_chunk: Callable[[bytes], bool] | None = None
        self.ended = False
        self.reason = ""
        self.max_retries = UNLIMITED
        self.error: Error | None = None
        self.complete = False

    def take(self) -> bytes:
        """Returns the part of the body that has arrived since the last call."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        return data

    def head(self) -> Head | None:
        """Returns the head of the last response, None until it is complete."""
        return self.response_head

    def pause(self, paused: bool) -> None:
        """Stops or resumes reading. A long pause fills the network's buffers, and TCP then holds the server back."""


class Transport:
    """Carries requests: over the network, by an SDK, or from a recording."""

    loop: EventLoop
    calls_on_chunk = False

    def send(self, request: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]) -> Transfer:
        """Sends a request; a connect_timeout of None, in seconds, is no limit.

        Calls `wake` whenever a part of the response has arrived in the transfer, and when the transfer has ended.
        """
        raise NotImplementedError

    def preconnect(self, request: HttpRequest, connect_timeout: float | None) -> None:
        """Opens a connection to the request's server, which the next request uses; sends nothing. Does nothing here."""

    def send_and_forget(self, request: HttpRequest) -> None:
        """Sends a request whose response does not matter. `close` and `settle` wait a second or two for it."""

    def end(self, transfer: Transfer) -> None:
        """Ends a transfer. Closes its connection at once, unless the transfer is complete."""

    def finish(self, transfer: Transfer) -> None:
        """Lets a transfer end by itself, within some seconds, for which `close` waits; its owner is still called."""
        self.end(transfer)

    @property
    def is_settled(self) -> bool:
        """Whether all requests whose responses do not matter have been sent."""
        return True

    def settle(self) -> None:
        """Prepares for an idle loop: responses that lack only their end get some milliseconds for it."""

    def close(self) -> None:
        """Ends all transfers."""

    def abandon(self) -> None:
        """Gives the connections up in a forked process. They are the parent's: nothing is sent or shut down."""
