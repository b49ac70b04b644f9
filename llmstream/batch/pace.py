"""When the next of many requests to one provider may start.

Several rules may delay a request, and the latest of their times decides:

- Concurrency: how many run at once.
- Pause: what Retry-After asks for, and longer and longer waits when everything is refused.
- Spacing: the admission rate, learned from 429 responses; before the first one, slowly growing numbers of starts.
- Quota: the remainders in the provider's rate-limit headers.
- RequestCap, TokenCap: the user's caps per minute.

Nothing starts slowly where the headers, or the user's cap of requests, say what the provider bears.

All requests that were sent before a refusal arrived count as one signal with it, as lost segments of one window do in
TCP: the rules react once a round trip.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from ..core.retry import retry_after
from .learned_rate import InFlight, LearnedRate
from .pace_rules import Concurrency, History, Pause, Quota, RequestCap, Rule, Spacing, TokenCap
from .rate_limits import limits_of

RATE_LIMITED = 429  # HTTP status
REFUSALS = (RATE_LIMITED, 503, 529)  # what asks for fewer requests; 529 is Anthropic's overload


class Pace:
    """The pace of all streams to one provider.

    `jobs` is the most at once, `rpm` and `tpm` are the user's caps, `max_wait` is the longest wait (seconds) that a
    provider may ask for: beyond it `pause.closed` says so.
    """

    def __init__(self, jobs: int, rpm: float | None = None, tpm: float | None = None, max_wait: float = 60.0) -> None:
        self._history, self.rate, self.pause = History(), LearnedRate(), Pause(max_wait)
        self.concurrency = Concurrency(jobs, self.rate, self._history)
        self._quota = Quota(self._history, max_wait)
        self._spacing = Spacing(self.rate, self._history, max_wait)
        if rpm:
            self.concurrency.allow(jobs)
            self._spacing.is_slow = False
        self._token_cap = TokenCap(tpm, self._history) if tpm else None
        self._rules: list[Rule] = [self.pause, self._spacing, self._quota]
        self._rules += [RequestCap(rpm, self._history)] if rpm else []
        self._rules += [self._token_cap] if self._token_cap else []
        self._reacted_at = -inf

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        """Returns when a request of about `tokens` tokens may start (`now`: at once), and what it waits for, or "".

        Infinity means not before a running request has had an answer or has ended.
        """
        if (running := self.concurrency.running) >= int(self.concurrency.limit):
            return inf, f"{running} run at once"
        latest = now, ""
        for rule in self._rules:
            bound = rule.earliest(now, tokens)
            if bound[0] > latest[0]:
                latest = bound
        return latest

    def sent(self, now: float, tokens: int) -> InFlight:
        """Starts a request that is expected to cost so many tokens (input and output)."""
        last = self._history.last
        request = InFlight(now, tokens, last.number + 1, last.total_tokens + tokens, self.pause.halted_s)
        self.concurrency.running += 1
        self._spacing.sent(request, self.concurrency.limit, self._quota.room(tokens))
        if self._token_cap:
            self._token_cap.sent(request)
        self._history.last = request
        return request

    def answered(self, request: InFlight, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        """Handles the head of a response. Header names are in lower case; `wall` is the Unix time in seconds."""
        request.answered = True
        self._quota.update(request, now, limits_of(headers, wall))
        is_news = request.sent_at >= self._reacted_at
        if status < 400:
            self._history.head_s = _average(self._history.head_s, now - request.sent_at)
            self.concurrency.grow(now)
            if self._quota.is_known:
                self.concurrency.allow(self.concurrency.running + self._quota.room(request.tokens))
            if is_news:
                self.pause.consecutive = 0
        elif status in REFUSALS:
            self.rate.throttled += status == RATE_LIMITED
            if (seconds := retry_after(headers, wall)) is not None:
                self.pause.wait(now, seconds)
            if is_news:
                self._reacted_at = now
                self.pause.refused(now)
                resume_at = self._spacing.refused(now, self.pause.earliest(now, 0)[0])
                if status == RATE_LIMITED:
                    self.rate.refused(request, now, resume_at)
                self.concurrency.shrink(now, overload=status != RATE_LIMITED)

    def ended(self, request: InFlight, now: float, tokens: int | None) -> None:
        """Ends a request, complete or not; `tokens` is its real cost, None where that is unknown."""
        self.concurrency.running -= 1
        if request.answered:
            self._history.answer_s = _average(self._history.answer_s, now - request.sent_at)
        if self._token_cap and tokens is not None:
            self._token_cap.ended(request, tokens)


def _average(before: float, value: float) -> float:
    """Returns the moving average with a value added, which counts for an eighth; 0 before the first one."""
    return before + (value - before) / 8 if before else value
