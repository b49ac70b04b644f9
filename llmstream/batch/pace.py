"""When the next of many requests to one provider may start.

Several rules may delay a request, and the latest of their times decides:

- Concurrency: how many run at once.
- Pause: what Retry-After asks for, and longer and longer waits when everything is refused.
- Spacing: the admission rate, learned from 429 responses; before the first one, slowly growing numbers of starts.
- Quota: the remainders in the provider's rate-limit headers.
- RequestCap, TokenCap: the user's caps per minute.

All requests that were sent before a refusal arrived count as one signal with it, as lost segments of one window do in
TCP: the rules react once a round trip.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from .learned_rate import InFlight, LearnedRate
from .pace_rules import (
    RATE_LIMITED,
    Concurrency,
    Latency,
    Pause,
    Quota,
    RequestCap,
    Rule,
    Spacing,
    TokenCap,
    is_refusal,
)


class Pace:
    """The pace of all streams to one provider.

    `jobs` is the most at once, `rpm` and `tpm` are the user's caps, `max_wait` is the longest wait (seconds) that a
    provider may ask for: beyond it `closed` says so.
    """

    def __init__(self, jobs: int, rpm: float | None = None, tpm: float | None = None, max_wait: float = 60.0) -> None:
        self._latency, self._rate, self._pause = Latency(), LearnedRate(), Pause(max_wait)
        self._concurrency = Concurrency(jobs, self._rate, self._latency)
        spacing = Spacing(self._rate, self._pause, self._concurrency, self._latency, max_wait)
        # In this order, for spacing starts where the pause ends, and concurrency goes by the rate that spacing learns.
        self._rules: list[Rule] = [self._pause, spacing, self._concurrency, Quota(self._latency, max_wait)]
        self._rules += [RequestCap(rpm)] if rpm else []
        self._rules += [TokenCap(tpm)] if tpm else []
        self._number = self._total_tokens = 0  # of the requests so far
        self._reacted_at = -inf

    @property
    def running(self) -> int:
        """How many requests run now."""
        return self._concurrency.running

    @property
    def limit(self) -> int:
        """How many may run at once now."""
        return int(self._concurrency.limit)

    @property
    def throttled(self) -> int:
        """How many responses were 429 so far."""
        return self._rate.throttled

    def rate(self, now: float) -> float | None:
        """Returns the learned admission rate in requests a second; None before the first 429."""
        return self._rate.at(now)

    def closed(self, now: float) -> str:
        """Returns why the provider is given up for longer than `max_wait`, "" where it is not."""
        return self._pause.closed(now)

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        """Returns when a request of about `tokens` tokens may start, and what it waits for ("" for nothing).

        A time that is not after `now` means at once; a later one: ask again then. Infinity means not before a running
        request has had an answer or has ended.
        """
        latest = self._concurrency.earliest(now, tokens)
        if latest[0] == inf:  # nothing is later
            return latest
        for rule in self._rules:
            bound = rule.earliest(now, tokens)
            if bound[0] > latest[0]:
                latest = bound
        return latest if latest[0] > now else (now, "")

    def sent(self, now: float, tokens: int) -> InFlight:
        """Starts a request that is expected to cost so many tokens (input and output)."""
        self._number += 1
        self._total_tokens += tokens
        request = InFlight(now, tokens, self._number, self._total_tokens, self._pause.halted_s)
        for rule in self._rules:
            rule.sent(request)
        return request

    def answered(self, request: InFlight, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        """The head of its response is here. Header names in lower case; `wall` is the time of day in Unix seconds."""
        request.answered = True
        if status < 400:
            self._latency.answered(request, now)
        for rule in self._rules:
            rule.answered(request, now, status, headers, wall)
        if is_refusal(status) and request.sent_at >= self._reacted_at:
            self._reacted_at = now
            for rule in self._rules:
                rule.refused(request, now, overload=status != RATE_LIMITED)

    def ended(self, request: InFlight, now: float, tokens: int | None) -> None:
        """Ends a request, complete or not; `tokens` is its real cost, None where that is unknown."""
        if request.answered:
            self._latency.ended(request, now)
        for rule in self._rules:
            rule.ended(request, now, tokens)
