"""When to ask again after a failure, and how long to wait first.

Only what failed before any output is asked again, and only what may pass. The wait is the server's Retry-After where
it gives one, else a random part of an exponentially growing bound ("full jitter": clients that failed together do
not come back together).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ..errors import UNLIMITED, Error, option

FIRST, LONGEST = 0.5, 30.0  # seconds: the bounds of the first and the last wait


class Retries:
    """The budget of one generation: `limit` times, none of them after a wait of more than `max_wait` seconds.

    `allowed`, where given, is asked last.
    """

    def __init__(self, limit: int = 4, max_wait: float = 60.0, allowed: Callable[[], bool] | None = None) -> None:
        self._limit, self._max_wait, self._allowed = limit, max_wait, allowed
        self.done = 0

    def wait(self, failure: Error, headers: Mapping[str, str], wall: float, dice: float) -> float | None:
        """Seconds to wait before the next try, or None to give up.

        `wall` is the time of day in Unix seconds, `dice` a random number in [0, 1).
        Where a wait that the server asks for is what forbids it, failure says so.
        """
        should = headers.get("x-should-retry")
        worth = {"true": UNLIMITED, "false": 0}.get(should or "", failure.again)
        if self.done >= min(self._limit, worth):
            return None
        asked = retry_after(headers, wall)
        if asked is not None and asked > self._max_wait:
            failure.message += f": it asks to wait {spoken(asked)}, more than {option('max_retry_wait')} allows"
            return None
        if self._allowed is not None and not self._allowed():
            return None
        bound = min(FIRST * 2**self.done, LONGEST, self._max_wait)
        self.done += 1
        return asked if asked is not None else bound * dice


class Budget:
    """The retries of a whole run of many prompts, so that it fails fast where a provider is down.

    It starts at `retries` times `jobs` (30 at least); each retry takes one, each finished prompt gives one back, up to
    the start. With no retries there are none.
    """

    def __init__(self, retries: int, jobs: int) -> None:
        self._most = self.left = max(retries * jobs, 30) if retries else 0

    def take(self) -> bool:
        """Whether there is one more retry; it is taken."""
        if not self.left:
            return False
        self.left -= 1
        return True

    def give(self) -> None:
        """A prompt is finished."""
        self.left = min(self._most, self.left + 1)


def retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """The wait that a response asks for, in seconds from now, never negative; None where it asks for none.

    RFC 9110 section 10.2.3 (seconds or an HTTP date), and OpenAI's `retry-after-ms`. Fractions are taken as meant;
    what cannot be read is taken for none.
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
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - wall)
    except (ValueError, OverflowError):
        return None


def spoken(seconds: float) -> str:
    """A wait in a unit that people think in."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172800 else f"{seconds / 86400:.0f} days"
