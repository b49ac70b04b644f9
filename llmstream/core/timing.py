"""When things happened in one generation, in seconds of a monotonic clock that the caller reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Timing:
    """`started` at the request, `first` and `last` at the first and last piece of output (None before it)."""

    __slots__ = ("first", "last", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.first: float | None = None
        self.last: float | None = None

    def mark(self, now: float) -> None:
        """Output arrived."""
        if self.first is None:
            self.first = now
        self.last = now

    @property
    def ttft(self) -> float | None:
        """Seconds from the request to the first output."""
        return None if self.first is None else self.first - self.started

    def rate(self, tokens: int) -> float | None:
        """Tokens a second after the first one; None where the time is too short to tell."""
        if self.first is None or self.last is None or self.last <= self.first or tokens < 2:
            return None
        return (tokens - 1) / (self.last - self.first)


class Limits:
    """Time-outs in seconds; None is no limit. `grace` is the wait for a usage record after the end mark."""

    __slots__ = ("first_token", "grace", "stall", "total")

    def __init__(
        self,
        first_token: float | None = 120.0,
        stall: float | None = 60.0,
        total: float | None = None,
        grace: float = 2.0,
    ) -> None:
        self.first_token, self.stall, self.total, self.grace = first_token, stall, total, grace


class Patience(NamedTuple):
    """How long to wait, in seconds, and how often to try again."""

    limits: Limits
    connect_timeout: float = 10.0
    retries: int = 4
    max_retry_wait: float = 60.0
    allowed: Callable[[], bool] | None = None  # whether there is another try, where many share a budget
