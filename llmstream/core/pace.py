"""When the next of many requests to one provider may go out.

Four things hold a request back, and the latest of them decides:

- Concurrency. `limit` streams run at once. It starts small and grows by one for each answer (so it doubles within the
  time to the first byte) up to `jobs` or the first refusal; from then on by one for `limit` answers, and it is halved on
  refusal (TCP's slow start, and AIMD). While nothing has been refused, starts are spread over that time too, or the
  bursts of slow start would run into small buckets.
- An admission rate, learnt from the first 429 on. Most limits are rates, and a sawtooth of concurrency wastes a quarter
  of a rate. What a provider lets through is exactly what was let through between two moments at which it refused: at both
  its bucket was empty. Between refusals the rate follows a cubic curve (CUBIC, RFC 9438): quickly back to near what was
  found, long about there, then ever faster upwards, since limits are raised as well.
- What the provider says: Retry-After, and the remainders in its rate-limit headers.
- What the user says: requests and tokens a minute.

429 speaks of a rate: concurrency then falls no further than what that rate needs. 503 and 529 speak of load: it is
halved, and no rate is concluded. All that was sent before a reaction counts as one signal with what caused it.

Every method takes constant time on the average. Times are seconds of a monotonic clock that the caller reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from .rate_limits import limits_of
from .retry import retry_after, spoken

FIRST_JOBS = 8
RATE_REFUSED, OVERLOADED = 429, (503, 529)
SLACK = 0.02  # seconds that a caller may be late without losing its place: event loops are
ROUGH, FINE = 0.5, 0.05  # how far the rate goes down, by what it is known from
EAGER = 4.0  # how much faster than evenly a remainder may be used


class Sent:
    """One request under way: what `Pace.sent` gives, and `answered` and `ended` take."""

    __slots__ = ("at", "answered", "halted", "order", "tokens", "total", "past")

    def __init__(self, at: float, tokens: int, order: int, total: int, halted: float) -> None:
        self.at, self.tokens, self.order, self.total, self.halted = at, tokens, order, total, halted
        self.answered = self.past = False


class Pace:
    """The pace of all streams to one provider.

    `jobs` is the most at once, `rpm` and `tpm` are the user's caps, `max_wait` the longest wait (seconds) that a
    provider may ask for: beyond it, `closed_until` is set and `closed_reason` says so.
    """

    def __init__(self, jobs: int, rpm: float | None = None, tpm: float | None = None, max_wait: float = 60.0) -> None:
        self._jobs, self._rpm, self._tpm, self._max_wait = jobs, rpm, tpm, max_wait
        self.running = 0
        self.throttled = 0  # 429s so far
        self.reason = ""  # what the last next_start that did not say "now" waits for
        self.closed_until: float | None = None
        self.closed_reason = ""
        self._limit = float(min(jobs, FIRST_JOBS))
        self._orders = self._total = 0  # requests and tokens sent so far
        self._last: Sent | None = None
        self._not_before = float("-inf")
        self._halted = 0.0  # seconds for which Retry-After has stopped everything so far
        self._due = float("-inf")  # of the spread of starts
        self._answer_time = self._run_time = 0.0  # smoothed: to the head, to the end
        self._reacted = float("-inf")  # what was sent before has been reacted to
        # The rate: _top is about what the provider bears, _drop how far below it is begun, _span the seconds back to it.
        self._top: float | None = None
        self._drop, self._span, self._since = ROUGH, 2.0, 0.0
        self._mark: Sent | None = None  # the refused request from which on what is let through is counted
        self._mark_throttled = 0
        self._checks: tuple[Sent | None, Sent | None] = (None, None)  # two requests a second apart, the older first
        self._rows: dict[
            str, tuple[float, float, Sent]
        ] = {}  # by unit: remainder, when it is reset, as of which request
        self._minute: deque[Sent] = deque()  # what counts for tpm
        self._minute_tokens = 0

    @property
    def limit(self) -> int:
        """How many may run at once now."""
        return int(self._limit)

    def rate(self, now: float) -> float | None:
        """The learnt admission rate in requests a second; None before a first 429."""
        if self._top is None:
            return None
        x = max(0.0, now - self._since) / self._span - 1
        return self._top * (1 + (self._drop if x < 0 else FINE) * x**3)

    def next_start(self, now: float, tokens: int) -> float | None:
        """When the next request, of about so many tokens, may go out: ask again then; not after `now`: at once.

        None: not before one of those that run has ended, or has had an answer.
        """
        if self.running >= self.limit:
            self.reason = f"{self.running} run at once"
            return None
        best, self.reason = now, ""
        for at, reason in self._bounds(now, tokens):
            if at > best:
                best, self.reason = at, reason
        return best

    def _bounds(self, now: float, tokens: int) -> list[tuple[float, str]]:
        bounds = [(self._not_before, "the provider asked to wait"), (self._due, "spread after a rate limit")]
        last = self._last
        if last is None:
            return bounds
        if self._rpm:
            bounds.append((last.at + 60 / self._rpm, "--rpm"))
        if self._tpm:
            bounds.append((self._minute_free(now, tokens), "--tpm"))
        for unit, (remaining, reset_at, seen) in self._rows.items():
            if reset_at <= now:
                continue
            gone, cost = (last.order - seen.order, 1) if unit == "requests" else (last.total - seen.total, tokens)
            left = remaining - gone
            if left < cost:
                bounds.append((reset_at, f"no {unit} left"))
            else:
                bounds.append((last.at + (reset_at - now) * cost / left / EAGER, f"few {unit} left"))
        return bounds

    def sent(self, now: float, tokens: int) -> Sent:
        """A request goes out, that is thought to cost so many tokens (input and output)."""
        self.running += 1
        self._orders += 1
        self._total += tokens
        self._last = sent = Sent(now, tokens, self._orders, self._total, self._halted)
        if self._checks[1] is None or now - self._checks[1].at >= 1:
            self._checks = (self._checks[1] or sent, sent)
        rate = self.rate(now)
        if rate:
            gap = 1 / rate
        else:
            gap = self._answer_time / self._limit / 2
        self._due = max(self._due, now - SLACK) + gap
        if self._tpm:
            self._minute.append(sent)
            self._minute_tokens += tokens
        return sent

    def answered(self, sent: Sent, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        """The head of its response is here. Header names in lower case; `wall` is the time of day in Unix seconds."""
        sent.answered = True
        self._read_limits(sent, headers, wall)
        if status < 400:
            self._answer_time = _smoothed(self._answer_time, now - sent.at)
            slow_start = self._reacted == float("-inf")
            self._limit = min(float(self._jobs), self._limit + (1 if slow_start else 1 / self._limit))
        elif status == RATE_REFUSED or status in OVERLOADED:
            self._refused(sent, now, status, headers, wall)

    def ended(self, sent: Sent, now: float, tokens: int | None) -> None:
        """It is over, whole or not; `tokens` is what it cost in truth, where that is known."""
        self.running -= 1
        if sent.answered:
            self._run_time = _smoothed(self._run_time, now - sent.at)
        if tokens is not None:
            if self._tpm and not sent.past:
                self._minute_tokens += tokens - sent.tokens
            sent.tokens = tokens

    def _minute_free(self, now: float, tokens: int) -> float:
        assert self._tpm and self._last
        while self._minute and self._minute[0].at <= now - 60:
            past = self._minute.popleft()
            past.past = True
            self._minute_tokens -= past.tokens
        if self._minute and self._minute_tokens + tokens > self._tpm:
            return self._minute[0].at + 60
        return self._last.at + 60 * min(tokens, self._tpm) / self._tpm

    def _read_limits(self, sent: Sent, headers: Mapping[str, str], wall: float) -> None:
        rows: dict[str, tuple[float, float, Sent]] = {}
        for unit, _, remaining, reset in limits_of(headers, wall):
            held = self._rows.get(unit)
            if held and held[2].order > sent.order:
                continue
            if unit not in rows or remaining < rows[unit][0]:
                rows[unit] = (remaining, sent.at + min(reset, self._max_wait), sent)
        self._rows |= rows

    def _refused(self, sent: Sent, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        if status == RATE_REFUSED:
            self.throttled += 1
        asked = retry_after(headers, wall)
        if asked is not None and asked > self._max_wait:
            self.closed_until = now + asked
            self.closed_reason = f"the provider asks to wait {spoken(asked)}: more than --max-retry-wait allows"
        if asked is not None and now + asked > self._not_before:
            self._halted += now + asked - max(now, self._not_before)
            self._not_before = now + asked
        if sent.at < self._reacted:
            return
        self._reacted = now
        floor = 1.0
        if status == RATE_REFUSED:
            self._learn(sent, now)
            floor = 1 + 1.5 * (self.rate(now) or 0) * self._run_time
        self._limit = max(1.0, min(self._limit, max(self._limit / 2, floor)))

    def _learn(self, sent: Sent, now: float) -> None:
        mark, known = self._mark, self.rate(sent.at)
        let_through = 0
        if mark:
            let_through = sent.order - mark.order - (self.throttled - self._mark_throttled)
        if mark is None or let_through < 10 or sent.at - mark.at < 0.25:
            if known is None:
                check = self._checks[0] or sent
                seconds = max(sent.at - check.at, 0.1)
                self._top = max(sent.order - check.order, 1) / seconds
            else:
                self._top = known
            self._drop, self._span = ROUGH, 2.0
        else:
            seconds = sent.at - mark.at
            halted = min(sent.halted - mark.halted, seconds * 0.9)
            lower, upper = let_through / seconds, let_through / (seconds - halted)
            self._top = upper
            self._drop = 1 - (1 - FINE) * lower / upper
            self._span = 10 + 20 / upper
            mark = None
        if mark is None:
            self._mark, self._mark_throttled = sent, self.throttled
        self._since = max(now, self._not_before)
        self._due = max(self._since, self._due)


def _smoothed(before: float, value: float) -> float:
    return before + (value - before) / 8 if before else value


class Budget:
    """The retries of a whole run, so that it fails fast where a provider is down.

    It starts at `retries` times `jobs` (some tens at least); each retry takes one, each prompt that is finished gives one
    back, up to the start.
    """

    def __init__(self, retries: int, jobs: int) -> None:
        self._most = self.left = max(retries * jobs, 30) if retries else 0

    def take(self) -> bool:
        """Whether there is one more retry."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True

    def give(self) -> None:
        """A prompt is finished."""
        self.left = min(self._most, self.left + 1)
