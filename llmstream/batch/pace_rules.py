"""The rules of `Pace`: each one alone says when the next request to a provider may start, and what it waits for.

Every method takes constant time on the average. Times are seconds of a monotonic clock that the caller reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import NamedTuple, Protocol

from ..core.retry import format_wait
from ..errors import option
from .learned_rate import InFlight, LearnedRate
from .rate_limits import Limit

INITIAL_STREAMS = 8  # at once, and without any gap between their starts
KNOWN_INCREASE = 0.7  # by each answer, beyond what the provider says that it bears: a small bucket may be refilled fast
INITIAL_STARTS_PER_S = 64.0  # the most while nothing has been learned; doubled every half second
MAX_STARTS_PER_S = 2000.0  # the most where the provider bears more: the answers that run have to be read, too
LATE_S = 0.02  # a caller that is later than this loses its place in the schedule: event loops are never punctual
FIRST_PAUSE_S = 0.05  # after a second refusal in a row, doubled by each further one
EAGERNESS = 4.0  # how much faster than evenly the remainder of a quota is used
MINUTE_S = 60.0


class Rule(Protocol):
    """Says when the next request may start; only Concurrency says how many may run instead."""

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        """Returns when a request of about `tokens` tokens may start, at once if not after `now`, and the reason."""


class History:
    """What several rules measure by: the last request, and average seconds from sending to a head and to an end."""

    def __init__(self) -> None:
        self.last = InFlight(-inf, 0, 0, 0)  # before the first one
        self.head_s = self.answer_s = 0.0  # 0 before the first answer


class Concurrency:
    """At most `limit` requests run at once, up to `jobs`: TCP's slow start, then AIMD (RFC 5681, section 3.1).

    Slow start: each answer's head adds two, so the limit doubles within the time to the first byte; where headers say
    what the provider bears, the limit is that, and grows by less. After a refusal:
    plus one for `limit` answers, half at each further refusal. But 429 speaks of a rate, which LearnedRate estimates:
    the limit falls no further than what that rate needs, and grows fast up to there.
    """

    def __init__(self, jobs: int, rate: LearnedRate, history: History) -> None:
        self._jobs, self._rate, self._history = jobs, rate, history
        self.running = 0
        self.limit = float(min(jobs, INITIAL_STREAMS))
        self._refused = self._overload = self._is_known = False  # ever; the last time; by `allow`

    def grow(self, now: float) -> None:
        """Raises the limit after the head of an answer."""
        fast = KNOWN_INCREASE if self._is_known else 2.0
        self.limit = min(
            float(self._jobs), self.limit + (fast if self.limit < self._threshold(now) else 1 / self.limit)
        )

    def allow(self, count: float) -> None:
        """Raises the limit to what the provider bears, as it says itself; not after a refusal, which says otherwise."""
        self._is_known = not self._refused
        if self._is_known:
            self.limit = max(self.limit, min(float(self._jobs), count))

    def shrink(self, now: float, overload: bool) -> None:
        """Lowers the limit after a refusal: by 429, or by `overload`, which is about concurrency alone."""
        self._refused, self._overload = True, overload
        self.limit = max(1.0, min(self.limit, max(self.limit / 2, self._threshold(now))))

    def _threshold(self, now: float) -> float:
        """Returns the limit up to which growth is fast: what the learned rate needs, and half as much again."""
        if not self._refused:
            return self._jobs
        return 0.0 if self._overload else 1 + 1.5 * self._rate.at(now) * self._history.answer_s


class Pause:
    """Nothing starts for as long as Retry-After says, or, after refusals in a row, for a time that doubles.

    `halted_s` is the sum of all seconds that Retry-After stopped requests for; `consecutive` counts the refusals since
    an answer. The provider is given up where one pause, or the refusals in a row, last longer than `max_wait` seconds.
    """

    def __init__(self, max_wait: float) -> None:
        self._max_wait = max_wait
        self._wait_until = self._pause_until = -inf
        self.halted_s = 0.0
        self.consecutive = 0
        self._first_refusal = -inf
        self._closed = -inf, ""  # until when, and why

    def closed(self, now: float) -> str:
        """Returns why requests are not even to wait for this provider, "" when they may."""
        until, reason = self._closed
        return reason if now < until else ""

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        if self._wait_until >= self._pause_until:
            return self._wait_until, "the provider asked to wait"
        return self._pause_until, "the provider refuses requests"

    def wait(self, now: float, seconds: float) -> None:
        """Waits as Retry-After says."""
        if seconds > self._max_wait:
            allowed = f"more than {option('max_retry_wait')} allows"
            self._closed = now + seconds, f"the provider asks to wait {format_wait(seconds)}: {allowed}"
        if now + seconds > self._wait_until:
            self.halted_s += now + seconds - max(now, self._wait_until)
            self._wait_until = now + seconds

    def refused(self, now: float) -> None:
        """Pauses, from the second refusal in a row on."""
        self.consecutive += 1
        if self.consecutive == 1:
            self._first_refusal = now
            return
        seconds = now - self._first_refusal
        if seconds > self._max_wait:
            self._closed = now + self._max_wait, f"the provider has refused everything for {format_wait(seconds)}"
        pause = min(FIRST_PAUSE_S * 2.0 ** min(self.consecutive - 2, 20), self._max_wait / 2)
        self._pause_until = max(self._pause_until, now + pause)


class Spacing:
    """Starts are spread in time: at the learned rate, or, before any is learned, over a quarter of the time to a head.

    Without the latter the bursts of slow start would run into small buckets. `is_slow` is False where another rule
    knows what the provider bears.
    """

    def __init__(self, rate: LearnedRate, history: History, max_wait: float) -> None:
        self._rate, self._history, self._max_wait = rate, history, max_wait
        self._due, self._first_at = -inf, 0.0
        self.is_slow = True

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        return self._due, "learning the rate limit" if self._rate.at(now) else "starting slowly"

    def sent(self, request: InFlight, concurrency: float, room: float) -> None:
        """Sets the time of the next start.

        `concurrency` is how many may run at once, `room` for how many more the provider says that it has room.
        """
        now = request.sent_at
        if request.number == 1:
            self._first_at = now
        elif now - self._due > LATE_S:
            self._rate.unused(now, now - self._history.last.sent_at)
        self._rate.requests.add(request)
        if rate := self._rate.at(now):
            gap = min(1 / rate, self._max_wait)
        elif request.number < INITIAL_STREAMS:
            gap = 0.0
        elif room >= 1 or not self.is_slow:
            gap = 1 / MAX_STARTS_PER_S
        else:
            starts_per_s = INITIAL_STARTS_PER_S * 2 ** min(2 * (now - self._first_at), 30)
            gap = max(min(self._history.head_s, 1.0) / concurrency / 4, 1 / starts_per_s)
        self._due = max(self._due, now - LATE_S) + gap

    def refused(self, now: float, pause_until: float) -> float:
        """Returns the time from which starts are spread again; what a pause delays is not made up for."""
        self._due = max(now, self._due, pause_until)
        return self._due


class Remainder(NamedTuple):
    """The rest of a quota, from the headers of a response."""

    left: float
    reset_at: float
    request: InFlight  # whose response had the headers
    limit: float | None  # the whole quota


class Quota:
    """Uses up what the provider's rate-limit headers leave, without running dry.

    What "reset" means differs: the end of a fixed window (OpenRouter), or the time at which a bucket that is refilled
    all the time is full again (OpenAI, Groq). So a remainder is spread over the time to its reset, EAGERNESS times as
    fast as evenly. In a window that uses most of it early and never runs dry; in a bucket it settles where the refill
    is met, with 1/(1 + EAGERNESS) of it full. Only where nothing is left, the reset is waited for.

    A reset counts from the sending of its request, because that is when limits are counted. A reset after more than
    `max_wait` seconds (limits per day) counts as `max_wait`: a 429 will tell.
    """

    def __init__(self, history: History, max_wait: float) -> None:
        self._history, self._max_wait = history, max_wait
        self._remainders: dict[str, Remainder] = {}  # by unit
        self._rooms: dict[str, tuple[float, InFlight]] = {}  # by unit: what there was for requests after one

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        latest, last = (-inf, ""), self._history.last
        for unit, (left, reset_at, request, limit) in list(self._remainders.items()):
            if reset_at <= now:
                # All is there again, but how much the next period holds is unknown before an answer within it.
                del self._remainders[unit]
                if limit:
                    self._remainders[unit] = Remainder(limit, now + 2 * self._history.head_s, last, None)
                continue
            used, cost = last.number - request.number, 1
            if unit == "tokens":
                used, cost = last.total_tokens - request.total_tokens, tokens
            if left - used < cost:
                latest = max(latest, (reset_at, f"no {unit} left"))
            else:
                spread = (reset_at - now) * cost / (left - used) / EAGERNESS
                latest = max(latest, (last.sent_at + spread, f"few {unit} left"))
        return latest

    def update(self, request: InFlight, now: float, limits: Iterable[Limit]) -> None:
        """Replaces the remainders by those in the head of a response: of several for one unit the smallest."""
        for unit, limit, left, reset in sorted(limits, key=lambda limit: limit.remaining)[::-1]:
            before = self._remainders.get(unit)
            if before and before.request.number > request.number:
                continue  # an older request's answer that came later
            self._remainders.pop(unit, None)
            reset_at = request.sent_at + min(reset, self._max_wait)
            if reset_at > now:
                self._remainders[unit] = Remainder(left, reset_at, request, limit)
            self._rooms[unit] = (left if reset_at > now else limit or left), request

    @property
    def is_known(self) -> bool:
        """Whether there were any such headers."""
        return bool(self._rooms)

    def room(self, tokens: int) -> float:
        """Returns how many more requests of about `tokens` tokens the last headers have room for, 0 without headers."""
        last, rooms = self._history.last, []
        for unit, (left, request) in self._rooms.items():
            if unit == "tokens":
                rooms.append((left - (last.total_tokens - request.total_tokens)) / max(tokens, 1))
            else:
                rooms.append(left - (last.number - request.number))
        return max(0.0, min(rooms, default=0.0))


class RequestCap:
    """At most `rpm` requests a minute, evenly spaced."""

    def __init__(self, rpm: float, history: History) -> None:
        self._rpm, self._history = rpm, history

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        return self._history.last.sent_at + MINUTE_S / self._rpm, f"at most {self._rpm:g} requests a minute"


class TokenCap:
    """At most `tpm` tokens in any minute, evenly spaced. What is larger than that goes alone."""

    def __init__(self, tpm: float, history: History) -> None:
        self._tpm, self._history = tpm, history
        self._minute: deque[InFlight] = deque()  # the requests of the last minute
        self._tokens = 0  # theirs

    def earliest(self, now: float, tokens: int) -> tuple[float, str]:
        while self._minute and self._minute[0].sent_at <= now - MINUTE_S:
            request = self._minute.popleft()
            request.expired = True
            self._tokens -= request.tokens
        if self._minute and self._tokens + tokens > self._tpm:
            at = self._minute[0].sent_at + MINUTE_S
        else:
            at = self._history.last.sent_at + MINUTE_S * min(tokens, self._tpm) / self._tpm
        return at, f"at most {self._tpm:g} tokens a minute"

    def sent(self, request: InFlight) -> None:
        """Counts the expected tokens of a request that starts."""
        self._minute.append(request)
        self._tokens += request.tokens

    def ended(self, request: InFlight, tokens: int) -> None:
        """Counts its real cost instead of the expected one."""
        if not request.expired:
            self._tokens += tokens - request.tokens
            request.tokens = tokens
