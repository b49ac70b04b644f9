"""One response under way, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ..errors import UNLIMITED, Error
from .loop import Watching


class HttpRequest(NamedTuple):
    """An HTTP request: header lines, and the JSON of a POST; None for a GET or DELETE."""

    method: str
    url: str
    headers: list[str]
    body: dict[str, Any] | None = None


class Transfer:
    """`chunks` is what has arrived since it was last taken.

    Once it has `ended`, `reason` says why, "" if well, and `max_retries` how often to retry after such an end; `fault`
    is why it was never sent. Whoever ends it says before whether it is `whole`: all that was wanted has come.
    """

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.ended = False
        self.reason = ""
        self.max_retries = UNLIMITED
        self.fault: Error | None = None
        self.whole = False

    def take(self) -> bytes:
        """What has arrived since the last call."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        return data

    def head(self) -> tuple[int, dict[str, str]] | None:
        """Status and headers (names in lower case) of the last response, once they are complete."""
        raise NotImplementedError

    def hold(self, held: bool) -> None:
        """Whether to leave what arrives with the kernel, and so, in the end, the server waiting."""


class Transport(Protocol):
    """What carries requests: the network, an SDK, or a recording."""

    loop: Watching

    def send(self, ask: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]) -> Transfer:
        """Sends a request; a connect_timeout of None is no limit.

        Whenever something of the answer has arrived in the transfer, and when it has ended, `wake` is called.
        """

    def tell(self, ask: HttpRequest) -> None:
        """Sends a request whose answer does not matter. `close` gives it a second or two."""

    def end(self, transfer: Transfer) -> None:
        """Ends a transfer. One under way that is not whole by closing its connection at once."""

    def settle(self) -> None:
        """Nobody waits in the loop for a time: what has only its own end to come gets a moment, and is ended."""

    def close(self) -> None:
        """Ends all transfers."""
