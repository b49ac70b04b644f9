"""When the next of many requests to one provider may go out.

Four things hold a request back, and the latest of them decides:

- Concurrency. `limit` streams run at once. It starts small and grows by two for each answer's head (so it doubles
  within the time to the first byte, though none of the streams has ended by then) up to `jobs` or the first refusal;
  from then on by one for `limit` answers, and it is halved on refusal (TCP's slow start, and AIMD). Before a refusal
  starts are spread as well, or the bursts of slow start would run into small buckets.
- An admission rate, learnt from the first 429 on. Most limits are rates, and a sawtooth of concurrency wastes a quarter
  of a rate. What a provider bears is what it let through between two moments at which it refused. Between refusals the
  rate follows a cubic curve (as in CUBIC, RFC 9438): quickly back to near what was found, long about there, then ever
  faster upwards, since limits are raised as well.
- What the provider says: Retry-After, and the remainders in its rate-limit headers.
- What the user says: requests and tokens a minute.

429 speaks of a rate: concurrency then falls no further than what that rate needs, and grows fast up to there. 503 and
529 speak of load: concurrency is halved, and no rate is concluded. All that was sent before a reaction counts as one
signal with what caused it.

Every method takes constant time on the average. Times are seconds of a monotonic clock that the caller reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ..core.retry import format_wait, retry_after
from .rate_limits import limits_of

FIRST_JOBS = 8
RATE_REFUSED, OVERLOADED = 429, (503, 529)
SLACK = 0.02  # seconds that a caller may be late without losing its place: event loops are
STARTS = 64.0  # a second: the most while nothing is known, doubled every half second
HALF, FINE = 0.5, 0.05  # how far the rate goes down: where it is guessed, where it is known
PAUSE = 0.05  # seconds of silence after a second refusal in a row, doubled by each further one
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
        self._began = 0.0
        self._answer_time = self._run_time = 0.0  # smoothed: to the head, to the end
        self._reacted = float("-inf")  # what was sent before has been reacted to
        self._in_a_row = 0  # reactions since an answer
        self._refused_since = 0.0  # the first of them
        self._loaded = False  # the last reaction was to load, not to a rate
        # The rate: _top is about what the provider bears, _drop the part of it by which the rate begins lower at
        # _since, _span the seconds until it is back; _learnt is the refused request that it was learnt from.
        self._top: float | None = None
        self._learnt: Sent | None = None
        self._drop, self._span, self._since = HALF, 2.0, 0.0
        # Two refused requests some seconds apart, the older first, with the count of 429s then: what is let through is
        # counted from the older one, so over 5 to 10 s, or a fixed window's phase would tell more than its size.
        self._marks: tuple[tuple[Sent, int] | None, tuple[Sent, int] | None] = (None, None)
        self._checks: tuple[Sent | None, Sent | None] = (None, None)  # two requests a second apart, the older first
        # By unit: what remains, when it is reset, as of which request, of how much.
        self._rows: dict[str, tuple[float, float, Sent, float | None]] = {}
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
        return self._top * (1 + self._drop * x**3)

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
        bounds = [
            (self._not_before, "the provider asked to wait"),
            (self._due, "learning the rate limit" if self._top else "starting slowly"),
        ]
        last = self._last
        if last is None:
            return bounds
        if self._rpm:
            bounds.append((last.at + 60 / self._rpm, "--rpm"))
        if self._tpm:
            bounds.append((self._minute_free(now, tokens), "--tpm"))
        for unit, (remaining, reset_at, seen, most) in list(self._rows.items()):
            if reset_at <= now:
                # All are there again, and what the next period holds is not known before an answer from it.
                del self._rows[unit]
                if most:
                    self._rows[unit] = (most, now + 2 * self._answer_time, last, None)
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
        if self._last is None:
            self._began = now
        elif now - self._due > SLACK and now - self._since > self._span:
            self._since += now - self._last.at  # not the rate held this one back: the rate has no reason to grow
        self._last = sent = Sent(now, tokens, self._orders, self._total, self._halted)
        if self._checks[1] is None or now - self._checks[1].at >= 1:
            self._checks = (self._checks[1] or sent, sent)
        self._due = max(self._due, now - SLACK) + self._gap(now)
        if self._tpm:
            self._minute.append(sent)
            self._minute_tokens += tokens
        return sent

    def answered(self, sent: Sent, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        """The head of its response is here. Header names in lower case; `wall` is the time of day in Unix seconds."""
        sent.answered = True
        self._read_limits(sent, now, headers, wall)
        if status < 400:
            self._answer_time = _smoothed(self._answer_time, now - sent.at)
            if sent.at >= self._reacted:
                self._in_a_row = 0
            grown = self._limit + (2 if self._limit < self._threshold(now) else 1 / self._limit)
            self._limit = min(float(self._jobs), grown)
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

    def _gap(self, now: float) -> float:
        """Seconds between this start and the next."""
        if rate := self.rate(now):
            return min(1 / rate, self._max_wait)
        if self._orders < FIRST_JOBS:
            return 0.0
        fastest = STARTS * 2 ** min(2 * (now - self._began), 30)
        return max(min(self._answer_time, 1.0) / self._limit / 4, 1 / fastest)

    def _minute_free(self, now: float, tokens: int) -> float:
        assert self._tpm and self._last
        while self._minute and self._minute[0].at <= now - 60:
            past = self._minute.popleft()
            past.past = True
            self._minute_tokens -= past.tokens
        if self._minute and self._minute_tokens + tokens > self._tpm:
            return self._minute[0].at + 60
        return self._last.at + 60 * min(tokens, self._tpm) / self._tpm

    # What "reset" means differs: the end of a fixed window (OpenRouter), or the time at which a bucket that fills all
    # the time is full again (OpenAI, Groq). So a remainder is not used up and then waited for: it is spread over the
    # time to its reset, EAGER times as fast as evenly. In a window that uses most of it early and never runs dry; in a
    # bucket it settles where the refill is met, with 1/(1 + EAGER) of it full, and nothing stops. Only where nothing
    # remains is the reset waited for, in a bucket as well: none of it is lost until it is full.
    # A reset is taken as of the sending of its request, for that is when limits are counted: one that is past when it
    # arrives says nothing any more. Longer ones than max_wait (limits a day) count as max_wait: a 429 will tell.

    def _read_limits(self, sent: Sent, now: float, headers: Mapping[str, str], wall: float) -> None:
        rows: dict[str, tuple[float, float, Sent, float | None]] = {}
        for unit, most, remaining, reset in limits_of(headers, wall):
            held = self._rows.get(unit)
            if held and held[2].order > sent.order:
                continue
            if unit not in rows or remaining < rows[unit][0]:
                rows[unit] = (remaining, sent.at + min(reset, self._max_wait), sent, most)
        for unit, row in rows.items():
            self._rows.pop(unit, None)
            if row[1] > now:
                self._rows[unit] = row

    def _refused(self, sent: Sent, now: float, status: int, headers: Mapping[str, str], wall: float) -> None:
        if status == RATE_REFUSED:
            self.throttled += 1
        asked = retry_after(headers, wall)
        if asked is not None and asked > self._max_wait:
            self.closed_until = now + asked
            self.closed_reason = f"the provider asks to wait {format_wait(asked)}: more than --max-retry-wait allows"
        if asked is not None and now + asked > self._not_before:
            self._halted += now + asked - max(now, self._not_before)
            self._not_before = now + asked
        if sent.at < self._reacted:
            return
        self._reacted = now
        self._in_a_row += 1
        if self._in_a_row == 1:
            self._refused_since = now
        elif now - self._refused_since > self._max_wait:
            self.closed_until = now + self._max_wait
            self.closed_reason = f"the provider has refused everything for {format_wait(now - self._refused_since)}"
        if self._in_a_row > 1:
            pause = min(PAUSE * 2.0 ** min(self._in_a_row - 2, 20), self._max_wait / 2)
            self._due = max(self._due, now + pause)
        self._loaded = status != RATE_REFUSED
        if not self._loaded:
            self._learn(sent, now)
        self._limit = max(1.0, min(self._limit, max(self._limit / 2, self._threshold(now))))

    def _threshold(self, now: float) -> float:
        """Up to where concurrency grows fast and is not halved: what the learnt rate needs, and some."""
        if self._reacted == float("-inf"):
            return self._jobs
        return 0.0 if self._loaded else 1 + 1.5 * (self.rate(now) or 0.0) * self._run_time

    def _learn(self, sent: Sent, now: float) -> None:
        known, (mark, newer), lag = self.rate(sent.at), self._marks, now - sent.at
        throttled = self.throttled
        if known is None or mark is None or self._top is None or self._learnt is None:
            check = self._checks[0] or sent
            self._top = max(sent.order - check.order, 1) / max(sent.at - check.at, 0.1)
            self._drop, self._span, self._learnt = HALF, 2 + 4 * lag, sent
        else:
            base, throttled_then = mark
            seconds = max(sent.at - base.at - (sent.halted - base.halted), 0.25)
            let_through = sent.order - base.order - (throttled - throttled_then)
            if sent.at - self._learnt.at >= 1 + lag and let_through >= 10:
                # The truth lies between what was let through (less, where the rate was low for a time and the bucket
                # full) and the rate that was refused (more, where a full bucket was emptied by it). The nearer the two,
                # the surer, and the longer it is kept to.
                found = min(known, let_through / seconds)
                unsure = min(known / found, 3.0)
                self._top = found * unsure**0.5
                self._drop = 1 - (1 - FINE) * unsure**-0.3
                self._span = 1 + 9 / unsure**2 + 20 / known + 4 * lag
                self._learnt = sent
            else:  # too little to tell: only this once
                self._drop, self._span = 1 - HALF * min(known, self._top) / self._top, 1 + 4 * lag
        if newer is None or sent.at - newer[0].at >= 5:
            self._marks = (newer or (sent, throttled), (sent, throttled))
        self._since = self._due = max(now, self._not_before, self._due)


def _smoothed(before: float, value: float) -> float:
    return before + (value - before) / 8 if before else value
