"""The rate of requests that a provider accepts, estimated from its 429 responses.

Most limits of providers are rates, and adapting concurrency alone (up by one, down by half) wastes a quarter of a rate.
So from the first 429 on, the rate itself is estimated: what the provider accepted between two refusals.

Between refusals the rate follows a cubic curve, as the congestion window of TCP does in CUBIC (RFC 9438, section 4.2):

    rate(t) = accepted * (1 + decrease * (t / recovery - 1)**3)      t: seconds since the last refusal

It starts `decrease` below the estimate, comes back to it within `recovery` seconds, quickly at first and then ever more
slowly, stays near it for long, and then grows ever faster, because a limit may have been raised. CUBIC fixes the
curve's steepness C and computes the time K to the plateau from it; here the time is chosen, and the steepness follows.
"""

from __future__ import annotations

FIRST_DECREASE = 0.5  # share by which the rate is lowered after a refusal while the estimate is a guess
LEAST_DECREASE = 0.05  # and once it is certain
RECENT_S = 1.0  # the first estimate covers one to two of these intervals
REFUSALS_S = 5.0  # later ones cover one to two of these: less would measure the phase of a fixed window, not its size


class InFlight:
    """One request from its start to its end.

    `tokens` is its expected cost, and the real one once that is known. `number` counts the requests to the provider,
    this one included; `total_tokens` sums up their expected tokens. `halted_s` are the seconds for which pauses had
    stopped all requests by then, `throttled` the 429s that had arrived when this one was refused.
    """

    __slots__ = ("answered", "expired", "halted_s", "number", "sent_at", "throttled", "tokens", "total_tokens")

    def __init__(self, sent_at: float, tokens: int, number: int, total_tokens: int = 0, halted_s: float = 0) -> None:
        self.sent_at, self.tokens, self.number = sent_at, tokens, number
        self.total_tokens, self.halted_s, self.throttled = total_tokens, halted_s, 0
        self.answered = self.expired = False  # its head has arrived; it was sent more than a minute ago


class Baseline:
    """Remembers two requests at least `interval` seconds apart; `older` is the one to measure from."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.older: InFlight | None = None
        self._newer: InFlight | None = None

    def add(self, request: InFlight) -> None:
        """Adds a request, unless less than an interval has passed since the newer one."""
        if self._newer is None or request.sent_at - self._newer.sent_at >= self._interval:
            self.older, self._newer = self._newer or request, request


class LearnedRate:
    """Estimates the admission rate of one provider."""

    def __init__(self) -> None:
        self.throttled = 0  # 429 responses
        self.requests = Baseline(RECENT_S)  # to which each request is added that starts
        self._refusals = Baseline(REFUSALS_S)
        self._accepted = 0.0  # the estimate, in requests a second
        self._learned_from: InFlight | None = None  # the refused request that the estimate was made from
        self._decrease, self._recovery_s, self._since = FIRST_DECREASE, 2.0, 0.0  # the curve's

    def at(self, now: float) -> float:
        """Returns the rate in requests a second; 0 before the first 429."""
        x = max(0.0, now - self._since) / self._recovery_s - 1
        return self._accepted * (1 + self._decrease * x**3)

    def unused(self, now: float, seconds: float) -> None:
        """Holds the curve back by seconds in which the rate was not what limited: it was not tested then."""
        if now - self._since > self._recovery_s:
            self._since += seconds

    def refused(self, request: InFlight, now: float, resume_at: float) -> None:
        """Learns from a 429 to `request`, which arrived `now`; the curve begins at `resume_at`."""
        delay = now - request.sent_at
        if self._learned_from is None or self._refusals.older is None:
            base = self.requests.older or request
            self._accepted = max(request.number - base.number, 1) / max(request.sent_at - base.sent_at, 0.1)
            self._decrease, self._recovery_s = FIRST_DECREASE, 2 + 4 * delay
            self._learned_from = request
        else:
            self._refine(request, delay, self._refusals.older, self._learned_from)
        request.throttled = self.throttled
        self._refusals.add(request)
        self._since = resume_at

    def _refine(self, request: InFlight, delay: float, base: InFlight, learned_from: InFlight) -> None:
        """Estimates from what was accepted since an earlier refusal, and from the rate that was refused now.

        The truth lies between the two: fewer requests were accepted than could have been where the rate was low for a
        time and the provider's bucket full, and a full bucket accepts more than the rate for a time. The nearer the
        two are, the more certain is the estimate, the less is the rate lowered, and the longer it stays near it.
        """
        rate = self.at(request.sent_at)
        seconds = max(request.sent_at - base.sent_at - (request.halted_s - base.halted_s), 0.25)
        accepted = request.number - base.number - (self.throttled - base.throttled)
        if request.sent_at - learned_from.sent_at < 1 + delay or accepted < 10:  # too few: lower it this once only
            self._decrease = 1 - FIRST_DECREASE * min(rate, self._accepted) / self._accepted
            self._recovery_s = 1 + 4 * delay
            return
        least = min(rate, accepted / seconds)
        uncertainty = min(rate / least, 3.0)
        self._accepted = least * uncertainty**0.5
        self._decrease = 1 - (1 - LEAST_DECREASE) * uncertainty**-0.3
        self._recovery_s = 1 + 9 / uncertainty**2 + 20 / rate + 4 * delay
        self._learned_from = request
