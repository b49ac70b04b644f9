"""One response under way, wherever it comes from."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from ..errors import MANY


class Ask(NamedTuple):
    """An HTTP request: header lines, and the JSON of a POST; None for a GET or DELETE."""

    method: str
    url: str
    headers: list[str]
    body: dict[str, Any] | None = None


class Transfer:
    """`chunks` is what has arrived since it was last taken.

    Once it has `ended`, `reason` says why, "" if well, and `again` how often what ended so is worth trying.
    """

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.ended = False
        self.reason = ""
        self.again = MANY

    def take(self) -> bytes:
        """What has arrived since the last call."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        return data

    def head(self) -> tuple[int, dict[str, str]] | None:
        """Status and headers (names in lower case) of the last response, once they are complete."""
        raise NotImplementedError


class Transport(Protocol):
    """What carries requests: the network, or a recording of it. It has the clock, too: monotonic, in seconds."""

    def now(self) -> float:
        """The time."""

    def send(self, ask: Ask, connect_timeout: float) -> Transfer:
        """Sends a request; the answer arrives in the transfer. A connect_timeout of 0 is none."""

    def tell(self, ask: Ask) -> None:
        """Sends a request whose answer does not matter, in a second or two at most, whoever reads stdout."""

    def wait(self, deadline: float | None) -> float:
        """Waits until something happened or the deadline has come; returns the time.

        What happened stands in the transfers. Raises ReaderGone as soon as stdout's reader leaves.
        """

    def end(self, transfer: Transfer) -> None:
        """Ends a transfer; one that is still under way by closing its connection at once."""

    def close(self) -> None:
        """Ends all transfers."""
