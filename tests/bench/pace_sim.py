"""Simulates `map` against providers with rate limits: how close the pace comes to the limit.

    python -m tests.bench.pace_sim

Discrete events on a virtual clock, with seeded random numbers, so each run gives the same table.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from itertools import count, product
from typing import NamedTuple

from llmstream.batch.pace import Pace
from llmstream.core.retry import Backoff, RetryPolicy
from llmstream.errors import Unavailable

WALL = 1_700_000_000.0


class Bucket:
    """A token bucket: `rate` requests a second, `burst` at once. Its reset is when it is full again, as at OpenAI."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self._level, self._at = rate, burst, burst, 0.0

    def take(self, now: float) -> bool:
        """Returns whether a request is accepted now."""
        self._level = min(self.burst, self._level + (now - self._at) * self.rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def state(self, now: float) -> tuple[float, float]:
        """Returns the remaining requests, and the seconds to the reset."""
        return math.floor(self._level), (self.burst - self._level) / self.rate

    def wait(self, now: float) -> float:
        """Returns the seconds until a request is accepted."""
        return (1 - self._level) / self.rate


class Window:
    """A fixed window: `most` requests in each period of `seconds`."""

    def __init__(self, most: int, seconds: float) -> None:
        self.rate, self.burst = most / seconds, most
        self._seconds, self._most, self._period, self._used = seconds, most, -1, 0

    def take(self, now: float) -> bool:
        period = math.floor(now / self._seconds)
        if period != self._period:
            self._period, self._used = period, 0
        if self._used >= self._most:
            return False
        self._used += 1
        return True

    def state(self, now: float) -> tuple[float, float]:
        return self._most - self._used, self.wait(now)

    def wait(self, now: float) -> float:
        return (self._period + 1) * self._seconds - now


class Case(NamedTuple):
    limit: str
    response: float  # seconds
    retry_after: str  # "none", "seconds" (whole ones, rounded up), "ms"
    remaining: bool
    jobs: int


class Outcome(NamedTuple):
    seconds: float
    ideal: float
    sent: int
    throttled: int

    @property
    def over(self) -> float:
        """How much longer than the ideal it took, as a share of the ideal."""
        return self.seconds / self.ideal - 1

    @property
    def share(self) -> float:
        """The share of requests that were refused."""
        return self.throttled / self.sent


LIMITS = {
    "bucket 100": lambda: Bucket(100, 100),
    "bucket 10": lambda: Bucket(100, 10),
    "window 1 s": lambda: Window(100, 1),
    "none": lambda: Bucket(1e9, 1e9),
}
CASES = [
    Case(*case)
    for case in product(
        ("bucket 100", "bucket 10", "window 1 s"),
        (0.02, 0.2, 2.0),
        ("none", "seconds", "ms"),
        (False, True),
        (8, 64, 1000),
    )
]


def simulate(
    case: Case,
    prompts: int = 3000,
    refusal: float = 0.1,
    head: float = 0.5,
    late: float = 0.001,
    pace=None,
    provider=None,
    seed=1,
) -> Outcome:
    """Runs many prompts, each of which is retried until it is answered.

    The head of an answer comes after the share `head` of its time, a refusal after `refusal` seconds at most (limits
    are checked before the model runs); the caller's loop is up to `late` seconds late.
    """
    rng = random.Random(seed)
    provider = provider or LIMITS[case.limit]()
    pace = pace or Pace(case.jobs)
    events: list = []
    ties = count()
    ready = deque((prompt, Backoff(RetryPolicy(1000))) for prompt in range(prompts))
    now, sent_count, done, alarm, kind = 0.0, 0, 0, math.inf, ""
    while done < prompts:
        while ready and kind != "stale":
            at, _ = pace.earliest(now, 0)
            if at == math.inf:
                break
            if at > now:
                if at < alarm:  # a later alarm stays in the heap, and is stale then
                    alarm = at
                    heapq.heappush(events, (at + rng.random() * late, next(ties), "alarm", at))
                break
            job = ready.popleft()
            sent, sent_count = pace.sent(now, 0), sent_count + 1
            ok = provider.take(now)
            headers = {}
            if case.remaining:
                left, reset = provider.state(now)
                headers = {"x-ratelimit-limit-requests": f"{provider.burst:.0f}"}
                headers |= {
                    "x-ratelimit-remaining-requests": f"{left:.0f}",
                    "x-ratelimit-reset-requests": f"{reset * 1000:.0f}ms",
                }
            if not ok and case.retry_after == "seconds":
                headers["retry-after"] = str(math.ceil(provider.wait(now)))
            if not ok and case.retry_after == "ms":
                headers["retry-after-ms"] = f"{provider.wait(now) * 1000:.0f}"
            took = (case.response if ok else min(refusal, case.response)) * (0.8 + 0.4 * rng.random())
            heapq.heappush(events, (now + took * (head if ok else 1), next(ties), "head", (sent, ok, headers)))
            heapq.heappush(events, (now + took, next(ties), "end", (sent, job, ok, headers)))
        now, _, kind, data = heapq.heappop(events)
        if kind == "alarm":
            if data == alarm:
                alarm = math.inf
            else:
                kind = "stale"
        elif kind == "retry":
            ready.appendleft(data)
        elif kind == "head":
            sent, ok, headers = data
            pace.answered(sent, now, 200 if ok else 429, headers, WALL + now)
        else:
            sent, job, ok, headers = data
            pace.ended(sent, now, None)
            if ok:
                done += 1
            else:
                wait = job[1].wait(Unavailable("busy"), headers, WALL + now, rng.random())
                heapq.heappush(events, (now + wait, next(ties), "retry", job))
    by_limit, by_jobs = (prompts - provider.burst) / provider.rate, prompts * case.response / case.jobs
    return Outcome(now, max(by_limit, by_jobs) + case.response, sent_count, pace.rate.throttled)


def main() -> None:
    print("limit        answer Retry-After headers  jobs  seconds   ideal    over    429s")
    for case in CASES:
        out = simulate(case)
        print(
            f"{case.limit:12} {case.response:6} {case.retry_after:>11} {case.remaining!s:>7} {case.jobs:5} "
            f"{out.seconds:8.1f} {out.ideal:7.1f} {out.over:7.1%} {out.share:7.1%}"
        )


if __name__ == "__main__":
    main()
