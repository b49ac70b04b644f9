"""Retries: whether a failed request is sent again, and after which wait.

Only a failure before any output is retried, and only one that may be temporary. The wait is a random part of an
exponentially growing bound ("full jitter": clients that failed together do not come back together), or the server's
Retry-After where that is longer.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from ..errors import UNLIMITED, Error, Unavailable, option

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # bounds of the first and of the longest random wait


class RetryPolicy(NamedTuple):
    """How often a request is retried: `limit` times, none of them after a wait of more than `max_wait` seconds.

    Where the user chose the limit, `chosen`, it also holds for connections that are refused and names that do not
    resolve: a network that boots, or a server that loads its model, may come later. `budget` is consulted last, where
    many generations share one: it returns whether there is a retry left, and uses it.
    """

    limit: int = 4
    max_wait: float = 60.0
    chosen: bool = False
    budget: Callable[[], bool] | None = None


class Backoff:
    """Counts the retries of one generation, and chooses the wait before each."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.retries = 0
        self.limit = policy.limit  # of the retries after the last error

    def wait(self, error: Error, headers: Mapping[str, str], wall: float, random: float) -> float | None:
        """Returns the seconds to wait before the next attempt, or None to give up.

        `headers` are those of the response that failed, `wall` is the time of day in Unix seconds, `random` a number
        in [0, 1). Where the wait that the server asks for is too long, the message of `error` gets a note of it.
        """
        policy = self._policy
        max_retries = UNLIMITED if policy.chosen and isinstance(error, Unavailable) else error.max_retries
        max_retries = {"true": UNLIMITED, "false": 0}.get(headers.get("x-should-retry", ""), max_retries)
        self.limit = min(policy.limit, max_retries)
        if self.retries >= self.limit:
            return None
        wait = retry_after(headers, wall)
        if wait is not None and wait > policy.max_wait:
            allowed = f"more than {option('max_retry_wait')} allows"
            error.message += f": the server asks to wait {format_wait(wait)}, {allowed}"
            return None
        if policy.budget is not None and not policy.budget():
            return None
        bound: float = min(FIRST_WAIT_S * 2**self.retries, LONGEST_WAIT_S, policy.max_wait)
        self.retries += 1
        return max(bound * random, wait or 0.0)


class RetryBudget:
    """The retries that many prompts share, so that a run fails fast where a provider is down.

    It starts at `retries` times `jobs`, at least 30. Each retry uses one, and each finished prompt gives one back, up
    to the start. With `retries` 0 there are no retries.
    """

    def __init__(self, retries: int, jobs: int) -> None:
        self._limit = self.left = max(retries * jobs, 30) if retries else 0

    def use(self) -> bool:
        """Uses a retry, and returns whether there was one."""
        if not self.left:
            return False
        self.left -= 1
        return True

    def give_back(self) -> None:
        """Gives a retry back, for a finished prompt."""
        self.left = min(self._limit, self.left + 1)


def retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """Returns the wait that a response asks for, in seconds, never negative; None without a valid one.

    Read are `Retry-After` (RFC 9110 section 10.2.3: seconds, also with a fraction, or an HTTP date), and OpenAI's
    `retry-after-ms`. A date counts from the response's own `Date`, as the clocks may differ, else from `wall`.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if not math.isnan(seconds):
            return max(0.0, seconds)
    if "retry-after" not in headers:
        return None
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(headers["retry-after"]).timestamp()
    except (ValueError, OverflowError):
        return None
    with suppress(ValueError, OverflowError):
        wall = parsedate_to_datetime(headers.get("date", "")).timestamp()
    return max(0.0, at - wall)


def format_wait(seconds: float) -> str:
    """Writes a wait in seconds, minutes, hours or days, whichever fits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172800 else f"{seconds / 86400:.0f} days"
