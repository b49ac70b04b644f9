"""The rules of `Pace`: each one alone says when the next request to a provider may start, and what it waits for.

Every method takes constant time on the average. Times are seconds of a monotonic clock that the caller reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from ..core.retry import format_wait, retry_after
from ..errors import option
from .learned_rate import InFlight, LearnedRate
from .rate_limits import limits_of

INITIAL_STREAMS = 8  # at once, and without any gap between their starts
INITIAL_STARTS_PER_S = 64.0  # the most while nothing has been learned; doubled every half second
LATE_S = 0.02  # a caller that is later than this loses its place in the schedule: event loops are never punctual
FIRST_PAUSE_S = 0.05  # after a second refusal in a row, doubled by each further one
EAGERNESS = 4.0  # how much faster than evenly the remainder of a quota is used
MINUTE_S = 60.0
RATE_LIMITED = 429  # HTTP status
REFUSALS = (RATE_LIMITED, 503, 529)  # what asks for fewer requests; 529 is Anthropic's overload
AT_ONCE = (-inf, "")


class Rule:
    """Base of the rules. Each overrides the events that it learns from."""

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        """Returns when a request of about `tokens` tokens may start, and what it waits for ("" for nothing).

        A time that is not after `now` means at once; infinity means not before a running request goes on or ends.
        """
        raise NotImplementedError

    def sent(self, request: InFlight) -> None:
        """A request starts at `request.sent_at`."""

    def answered(self, request: InFlight, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        """The head of a response has arrived, with header names in lower case; `wall` is the Unix time."""

    def refused(self, request: InFlight, now: float, overload: bool) -> None:
        """A response was 429, or 503 or 529 (`overload`). Of refusals in one round trip only the first comes here."""

    def ended(self, request: InFlight, now: float, tokens: int | None) -> None:
        """A request has ended, complete or not; `tokens` is its real cost, None where that is unknown."""


class Average:
    """A moving average: `value` is 0 before the first one is added."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, value: float) -> None:
        """Adds a value, which counts for an eighth."""
        self.value += (value - self.value) / 8 if self.value else value


class Concurrency(Rule):
    """At most `limit` requests run at once, up to `jobs`: TCP's slow start, then AIMD (RFC 5681, section 3.1).

    Slow start: each answer's head adds two, so the limit doubles within the time to the first byte, though none of the
    streams has ended by then. After a refusal AIMD: additive increase, by one for `limit` answers; multiplicative
    decrease, by half at each refusal.

    429 speaks of a rate, which LearnedRate estimates: the limit falls no further than what that rate needs, and grows
    fast up to there. Overload is about concurrency alone: the limit is halved, and grows slowly from there.
    """

    def __init__(self, jobs: int, rate: LearnedRate, answer_s: Average) -> None:
        self._jobs, self._rate, self._answer_s = jobs, rate, answer_s
        self.running = 0
        self.limit = float(min(jobs, INITIAL_STREAMS))
        self._refused = self._overload = False  # ever; the last time

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        return (inf, f"{self.running} run at once") if self.running >= int(self.limit) else AT_ONCE

    def sent(self, request: InFlight) -> None:
        self.running += 1

    def answered(self, request: InFlight, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        if status < 400:
            increase = 2 if self.limit < self._threshold(now) else 1 / self.limit
            self.limit = min(float(self._jobs), self.limit + increase)

    def refused(self, request: InFlight, now: float, overload: bool) -> None:
        self._refused, self._overload = True, overload
        self.limit = max(1.0, min(self.limit, max(self.limit / 2, self._threshold(now))))

    def ended(self, request: InFlight, now: float, tokens: int | None) -> None:
        self.running -= 1

    def _threshold(self, now: float) -> float:
        """Returns the limit up to which growth is fast: what the learned rate needs, and half as much again."""
        if not self._refused:
            return self._jobs
        return 0.0 if self._overload else 1 + 1.5 * (self._rate.at(now) or 0.0) * self._answer_s.value


class Pause(Rule):
    """Nothing starts for as long as Retry-After says, or, after refusals in a row, for a time that doubles.

    `halted_s` is the sum of all seconds that Retry-After stopped requests for. `closed` says why the provider is given
    up: because one pause, or the refusals in a row, last longer than `max_wait` seconds.
    """

    def __init__(self, max_wait: float) -> None:
        self._max_wait = max_wait
        self._wait_until = self._pause_until = -inf
        self.halted_s = 0.0
        self._consecutive = 0  # refusals since an answer
        self._first_refusal = self._last_refusal = -inf
        self._closed_until = -inf
        self._closed_reason = ""

    def closed(self, now: float) -> str:
        """Returns why requests are not even to wait for this provider, "" when they may."""
        return self._closed_reason if now < self._closed_until else ""

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        if self._wait_until >= self._pause_until:
            return self._wait_until, "the provider asked to wait"
        return self._pause_until, "the provider refuses requests"

    def answered(self, request: InFlight, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        if status < 400 and request.sent_at >= self._last_refusal:
            self._consecutive = 0
        if status not in REFUSALS or (seconds := retry_after(headers, wall)) is None:
            return
        if seconds > self._max_wait:
            self._closed_until = now + seconds
            wait, limit = format_wait(seconds), option("max_retry_wait")
            self._closed_reason = f"the provider asks to wait {wait}: more than {limit} allows"
        if now + seconds > self._wait_until:
            self.halted_s += now + seconds - max(now, self._wait_until)
            self._wait_until = now + seconds

    def refused(self, request: InFlight, now: float, overload: bool) -> None:
        self._consecutive += 1
        self._last_refusal = now
        if self._consecutive == 1:
            self._first_refusal = now
            return
        seconds = now - self._first_refusal
        if seconds > self._max_wait:
            self._closed_until = now + self._max_wait
            self._closed_reason = f"the provider has refused everything for {format_wait(seconds)}"
        pause = min(FIRST_PAUSE_S * 2.0 ** min(self._consecutive - 2, 20), self._max_wait / 2)
        self._pause_until = max(self._pause_until, now + pause)


class Spacing(Rule):
    """Starts are spread in time: at the learned rate, or, before any is learned, over a quarter of the time to a head.

    Without the latter the bursts of slow start would run into small buckets.
    """

    def __init__(
        self, rate: LearnedRate, pause: Pause, concurrency: Concurrency, head_s: Average, max_wait: float
    ) -> None:
        self._rate, self._pause, self._concurrency, self._head_s = rate, pause, concurrency, head_s
        self._max_wait = max_wait
        self._due = -inf
        self._first_at: float | None = None
        self._last_at = 0.0

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        return self._due, "learning the rate limit" if self._rate.at(now) else "starting slowly"

    def sent(self, request: InFlight) -> None:
        now = request.sent_at
        if self._first_at is None:
            self._first_at = now
        elif now - self._due > LATE_S:
            self._rate.unused(now, now - self._last_at)
        self._last_at = now
        self._rate.sent(request)
        self._due = max(self._due, now - LATE_S) + self._gap(request, now - self._first_at)

    def answered(self, request: InFlight, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        if status == RATE_LIMITED:
            self._rate.throttled += 1

    def refused(self, request: InFlight, now: float, overload: bool) -> None:
        self._due = max(now, self._due, self._pause.earliest(now, 0)[0])
        if not overload:
            self._rate.refused(request, now, self._due)

    def _gap(self, request: InFlight, elapsed: float) -> float:
        """Returns the seconds between this start and the next, `elapsed` seconds after the first one."""
        if rate := self._rate.at(request.sent_at):
            return min(1 / rate, self._max_wait)
        if request.number < INITIAL_STREAMS:
            return 0.0
        starts_per_s = INITIAL_STARTS_PER_S * 2 ** min(2 * elapsed, 30)
        return max(min(self._head_s.value, 1.0) / self._concurrency.limit / 4, 1 / starts_per_s)


class Remainder(NamedTuple):
    """The rest of a quota, from the headers of a response."""

    left: float
    reset_at: float
    request: InFlight  # whose response had the headers
    limit: float | None  # the whole quota


class Quota(Rule):
    """Uses up what the provider's rate-limit headers leave, without running dry.

    What "reset" means differs: the end of a fixed window (OpenRouter), or the time at which a bucket that is refilled
    all the time is full again (OpenAI, Groq). So a remainder is not used up and then waited for: it is spread over the
    time to its reset, EAGERNESS times as fast as evenly. In a window that uses most of it early and never runs dry; in
    a bucket it settles where the refill is met, with 1/(1 + EAGERNESS) of it full, and nothing stops. Only where
    nothing is left, the reset is waited for, in a bucket as well: none of it is lost until it is full.

    A reset counts from the sending of its request, because that is when limits are counted: one that is past when its
    response arrives says nothing any more. A reset after more than `max_wait` seconds (limits per day) counts as
    `max_wait`: a 429 will tell.
    """

    def __init__(self, head_s: Average, max_wait: float) -> None:
        self._head_s, self._max_wait = head_s, max_wait
        self._remainders: dict[str, Remainder] = {}  # by unit
        self._last: InFlight | None = None

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        latest, last = AT_ONCE, self._last
        if last is None:
            return latest
        for unit, (remaining, reset_at, request, limit) in list(self._remainders.items()):
            if reset_at <= now:
                # All is there again, but how much the next period holds is unknown before an answer within it.
                del self._remainders[unit]
                if limit:
                    self._remainders[unit] = Remainder(limit, now + 2 * self._head_s.value, last, None)
                continue
            if unit == "requests":
                left, cost = remaining - (last.number - request.number), 1
            else:
                left, cost = remaining - (last.total_tokens - request.total_tokens), tokens
            if left < cost:
                bound = reset_at, f"no {unit} left"
            else:
                bound = last.sent_at + (reset_at - now) * cost / left / EAGERNESS, f"few {unit} left"
            latest = max(latest, bound)
        return latest

    def sent(self, request: InFlight) -> None:
        self._last = request

    def answered(self, request: InFlight, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        smallest: dict[str, Remainder] = {}
        for unit, limit, left, reset in limits_of(headers, wall):
            before = self._remainders.get(unit)
            if before and before.request.number > request.number:
                continue  # an older request's answer that came later
            if unit not in smallest or left < smallest[unit].left:
                smallest[unit] = Remainder(left, request.sent_at + min(reset, self._max_wait), request, limit)
        for unit, remainder in smallest.items():
            self._remainders.pop(unit, None)
            if remainder.reset_at > now:
                self._remainders[unit] = remainder


class RequestCap(Rule):
    """At most `rpm` requests a minute, evenly spaced."""

    def __init__(self, rpm: float) -> None:
        self._rpm = rpm
        self._next = -inf

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        return self._next, f"at most {self._rpm:g} requests a minute"

    def sent(self, request: InFlight) -> None:
        self._next = request.sent_at + MINUTE_S / self._rpm


class TokenCap(Rule):
    """At most `tpm` tokens in any minute, evenly spaced. What is larger than that goes alone."""

    def __init__(self, tpm: float) -> None:
        self._tpm = tpm
        self._minute: deque[InFlight] = deque()  # the requests of the last minute
        self._tokens = 0  # theirs
        self._last_at = -inf

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        while self._minute and self._minute[0].sent_at <= now - MINUTE_S:
            request = self._minute.popleft()
            request.expired = True
            self._tokens -= request.tokens
        if self._minute and self._tokens + tokens > self._tpm:
            at = self._minute[0].sent_at + MINUTE_S
        else:
            at = self._last_at + MINUTE_S * min(tokens, self._tpm) / self._tpm
        return at, f"at most {self._tpm:g} tokens a minute"

    def sent(self, request: InFlight) -> None:
        self._minute.append(request)
        self._tokens += request.tokens
        self._last_at = request.sent_at

    def ended(self, request: InFlight, now: float, tokens: int | None) -> None:
        if tokens is not None:
            if not request.expired:
                self._tokens += tokens - request.tokens
            request.tokens = tokens
