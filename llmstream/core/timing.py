"""Times and time-outs of one generation, in seconds. The clock is monotonic, and the caller reads it."""

from typing import NamedTuple


class Timing:
    """The times of one generation, in seconds of a monotonic clock.

    `started` is when the request was made; `first` and `last` are when the first and the last piece of output
    arrived, None before there is any.
    """

    __slots__ = ("first", "last", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.first: float | None = None
        self.last: float | None = None

    def mark(self, now: float) -> None:
        """Notes that a piece of output arrived at `now`."""
        if self.first is None:
            self.first = now
        self.last = now

    @property
    def ttft(self) -> float | None:
        """The time to first token: seconds from the request to the first output, None before it."""
        return None if self.first is None else self.first - self.started

    def rate(self, tokens: int) -> float | None:
        """Tokens per second after the first one; None where the time is too short to tell."""
        if self.first is None or self.last is None or self.last <= self.first or tokens < 2:
            return None
        return (tokens - 1) / (self.last - self.first)


class Timeouts(NamedTuple):
    """The time-outs of one generation, in seconds; None is no limit.

    `first_token` and `stall` limit a silence of the server, in which no bytes come, before and after the first output:
    a model may think for many minutes, and what comes meanwhile is a sign of life. `total` runs from the first request
    to the end, retries included. `grace` is the wait for a usage record after the end mark.
    """

    first_token: float | None = 600.0
    stall: float | None = 300.0
    total: float | None = None
    connect: float | None = 10.0
    grace: float = 2.0
