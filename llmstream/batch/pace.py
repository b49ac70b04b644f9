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
from .pace_rules import RATE_LIMITED, REFUSALS, Average, Concurrency, Pause, Quota, RequestCap, Rule, Spacing, TokenCap


class Pace:
    """The pace of all streams to one provider.

    `jobs` is the most at once, `rpm` and `tpm` are the user's caps, `max_wait` is the longest wait (seconds) that a
    provider may ask for: beyond it `pause.closed` says so.
    """

    def __init__(self, jobs: int, rpm: float | None = None, tpm: float | None = None, max_wait: float = 60.0) -> None:
        self.rate, self.pause = LearnedRate(), Pause(max_wait)
        self._head_s, self._answer_s = Average(), Average()  # from sending to an answer's head, and to its end
        self.concurrency = Concurrency(jobs, self.rate, self._answer_s)
        spacing = Spacing(self.rate, self.pause, self.concurrency, self._head_s, max_wait)
        # The order counts: spacing starts where the pause ends, and concurrency uses the rate that spacing learns.
        self._rules: list[Rule] = [self.pause, spacing, self.concurrency, Quota(self._head_s, max_wait)]
        self._rules += [RequestCap(rpm)] if rpm else []
        self._rules += [TokenCap(tpm)] if tpm else []
        self._number = self._total_tokens = 0  # of the requests so far
        self._reacted_at = -inf

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        """Returns when a request of about `tokens` tokens may start, and what it waits for ("" for nothing).

        A time that is not after `now` means at once; a later one: ask again then. Infinity means not before a running
        request has had an answer or has ended.
        """
        latest = self.concurrency.earliest(now, tokens)
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
        request = InFlight(now, tokens, self._number, self._total_tokens, self.pause.halted_s)
        for rule in self._rules:
            rule.sent(request)
        return request

    def answered(self, request: InFlight, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        """Handles the head of a response. Header names are in lower case; `wall` is the Unix time in seconds."""
        request.answered = True
        if status < 400:
            self._head_s.add(now - request.sent_at)
        for rule in self._rules:
            rule.answered(request, now, status, headers, wall)
        if status in REFUSALS and request.sent_at >= self._reacted_at:
            self._reacted_at = now
            for rule in self._rules:
                rule.refused(request, now, overload=status != RATE_LIMITED)

    def ended(self, request: InFlight, now: float, tokens: int | None) -> None:
        """Ends a request, complete or not; `tokens` is its real cost, None where that is unknown."""
        if request.answered:
            self._answer_s.add(now - request.sent_at)
        for rule in self._rules:
            rule.ended(request, now, tokens)
