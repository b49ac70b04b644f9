"""The pace against simulated providers on a virtual clock.

    python -m tests.bench.pace_sim

prints how near each of the simulated runs comes to its ideal.
"""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from llmstream.batch.pace import Pace
from llmstream.core.retry import RetryBudget
from llmstream.errors import option

from ..bench.pace_sim import CASES, Case, simulate

WALL = 1_700_000_000.0


def start(pace: Pace, now: float, tokens: int = 0) -> float:
    return pace.earliest(now, tokens)[0]


def drive(pace: Pace, until: float, answer, took: float = 0.2, tokens: int = 0, cost: int | None = None) -> list[float]:
    """Returns the times of all starts; `answer(start)` is the status and the headers of a request's response."""
    running, starts, now = [], [], 0.0
    while now < until:
        at = start(pace, now, tokens)
        while running and running[0].sent_at + took <= at:
            request = running.pop(0)
            now = max(now, request.sent_at + took)
            pace.answered(request, now, *answer(request.sent_at), WALL + now)
            pace.ended(request, now, cost)
            at = start(pace, now, tokens)
        assert at < inf
        now = at
        if start(pace, now, tokens) == now:
            running.append(pace.sent(now, tokens))
            starts.append(now)
    return [at for at in starts if at < until]


def success(_):
    return 200, {}


@pytest.mark.slow
def test_simulated_runs_come_near_the_ideal_and_are_seldom_refused():
    """160 of 162 runs take at most a quarter longer than the ideal, all at most a third; fewer than 5 % are refused."""
    outcomes = {case: simulate(case) for case in CASES}
    slow = {case for case, outcome in outcomes.items() if outcome.over > 0.25}
    assert all((case.response, case.retry_after, case.jobs) == (2.0, "seconds", 1000) for case in slow)
    assert max(outcome.over for outcome in outcomes.values()) < 0.34
    assert {case: outcome.share for case, outcome in outcomes.items() if outcome.share >= 0.05} == {}


@pytest.mark.parametrize("jobs", [1, 8, 64, 1000])
def test_without_a_limit_concurrency_reaches_jobs_and_stays(jobs):
    pace = Pace(jobs)
    drive(pace, 3.0, success)
    assert pace.concurrency.limit == jobs
    outcome = simulate(Case("none", 0.5, "none", False, jobs), prompts=20 * jobs)
    assert outcome.throttled == 0
    assert outcome.seconds < 20 * 0.5 * 1.25 + 4


def test_slow_start_begins_with_eight_streams_and_adds_two_an_answer():
    pace = Pace(100)
    sents = []
    while start(pace, 0.0) == 0:
        sents.append(pace.sent(0.0, 0))
    assert (len(sents), pace.concurrency.running, pace.concurrency.limit) == (8, 8, 8)
    assert pace.earliest(0.0, 0) == (inf, "8 run at once")
    for n, sent in enumerate(sents, 1):
        pace.answered(sent, 0.3, 200, {}, WALL)
        assert pace.concurrency.limit == 8 + 2 * n


def test_no_more_than_jobs_run_at_once():
    pace = Pace(2)
    sent = [pace.sent(0.0, 0), pace.sent(0.0, 0)]
    assert pace.earliest(0.0, 0) == (inf, "2 run at once")
    pace.ended(sent[0], 1.0, None)
    assert pace.earliest(1.0, 0) == (1.0, "")


def test_slow_start_does_not_wait_for_streams_to_end():
    """With heads after half a second a thousand streams run after eight round trips, though none has ended."""
    pace, now = Pace(1000), 0.0
    unanswered = []
    while pace.concurrency.running < 1000:
        at = start(pace, now)
        while unanswered and unanswered[0].sent_at + 0.5 <= at:
            sent = unanswered.pop(0)
            now = max(now, sent.sent_at + 0.5)
            pace.answered(sent, now, 200, {}, WALL)
            at = start(pace, now)
        assert at < inf
        now = at
        unanswered.append(pace.sent(now, 0))
    assert now < 8 * 0.5


def starts_until(pace: Pace, now: float, until: float) -> int:
    """Starts all that may start in that time, without any answer; returns their number."""
    count = 0
    while (now := start(pace, now)) <= until:
        pace.sent(now, 0)
        count += 1
    return count


@pytest.mark.parametrize("reset", ["48ms", "60s"])
def test_headers_that_say_what_the_provider_bears_end_the_slow_start(reset):
    """The reset of a bucket that is full again has passed when the head is there; that of a window has not."""
    pace = Pace(1000)
    first = pace.sent(0.0, 0)
    starts_until(pace, 0.0, 0.29)
    assert pace.concurrency.running == 8
    headers = {f"x-ratelimit-{name}-requests": value for name, value in (("limit", "9999"), ("remaining", "9991"))}
    pace.answered(first, 0.3, 200, headers | {"x-ratelimit-reset-requests": reset}, WALL)
    seconds = 0.6 if reset == "48ms" else 2.0  # a window's remainder is spread as before
    starts_until(pace, 0.3, 0.3 + seconds)
    assert pace.concurrency.running == 1000


def test_headers_end_the_slow_start_only_as_far_as_they_say():
    pace = Pace(1000)
    first = pace.sent(0.0, 0)
    starts_until(pace, 0.0, 0.29)
    headers = {"x-ratelimit-limit-requests": "50", "x-ratelimit-remaining-requests": "49"}
    pace.answered(first, 0.3, 200, headers | {"x-ratelimit-reset-requests": "10ms"}, WALL)
    starts_until(pace, 0.3, 0.6)
    assert pace.concurrency.running == 50 + 1  # 50 after the first one


def test_a_cap_of_requests_ends_the_slow_start():
    assert starts_until(Pace(1000, rpm=60_000), 0.0, 0.9) == pytest.approx(900, abs=2)


def test_after_a_refusal_headers_raise_no_limit():
    pace = grown_pace()
    sent = pace.sent(10.0, 0)
    pace.answered(sent, 10.1, 503, {}, WALL)
    limit = pace.concurrency.limit
    later = pace.sent(10.2, 0)
    headers = {"x-ratelimit-limit-requests": "9999", "x-ratelimit-remaining-requests": "9998"}
    pace.answered(later, 10.3, 200, headers | {"x-ratelimit-reset-requests": "1s"}, WALL)
    assert pace.concurrency.limit <= limit + 2


def grown_pace(jobs: int = 64) -> Pace:
    pace = Pace(jobs)
    drive(pace, 3.0, success)
    assert pace.concurrency.limit == jobs
    return pace


@pytest.mark.parametrize("status", [503, 529])
def test_overload_halves_concurrency_once_a_round_trip(status):
    pace = grown_pace()
    burst = [pace.sent(10.0, 0) for _ in range(20)]
    for sent in burst:
        pace.answered(sent, 10.1, status, {}, WALL)
        pace.ended(sent, 10.1, None)
    assert (pace.concurrency.limit, pace.rate.at(10.1), pace.rate.throttled) == (32, 0, 0)
    later = pace.sent(10.2, 0)
    pace.answered(later, 10.3, status, {}, WALL)
    pace.ended(later, 10.3, None)
    assert pace.concurrency.limit == 16
    for n in range(17):
        sent = pace.sent(11.0 + n, 0)
        pace.answered(sent, 11.1 + n, 200, {}, WALL)
        pace.ended(sent, 11.1 + n, None)
    assert int(pace.concurrency.limit) == 17


def test_bursts_of_overload_refuse_few_requests():
    def answer(at: float):
        return (529, {}) if 5 <= at % 20 < 6 else (200, {})

    pace = Pace(64)
    starts = drive(pace, 60.0, answer)
    refused = sum(answer(at)[0] == 529 for at in starts)
    assert refused < len(starts) * 0.05
    assert pace.concurrency.limit >= 16


def test_no_request_starts_before_retry_after():
    pace = Pace(8)
    first, second = pace.sent(0.0, 0), pace.sent(0.0, 0)
    pace.answered(first, 0.1, 429, {"retry-after": "5"}, WALL)
    pace.answered(second, 0.2, 429, {"retry-after-ms": "1000"}, WALL)
    assert pace.earliest(0.2, 0) == (pytest.approx(5.1), "the provider asked to wait")
    assert (pace.rate.throttled, pace.pause.closed(0.2)) == (2, "")


@pytest.mark.parametrize(("name", "value"), [("retry-after", "5"), ("retry-after-ms", "5000")])
@pytest.mark.parametrize("status", [429, 503, 529])
def test_every_refusal_may_have_a_retry_after(status, name, value):
    pace = Pace(8)
    pace.answered(pace.sent(0.0, 0), 1.0, status, {name: value}, WALL)
    assert pace.earliest(1.0, 0) == (6.0, "the provider asked to wait")


@pytest.mark.parametrize("status", [200, 400, 500])
def test_retry_after_of_other_responses_is_ignored(status):
    pace = Pace(8)
    pace.answered(pace.sent(0.0, 0), 1.0, status, {"retry-after": "5"}, WALL)
    assert pace.earliest(1.0, 0) == (1.0, "")


def test_an_answer_to_a_later_request_ends_the_row_of_refusals():
    pace = Pace(8)
    early, refused = pace.sent(0.5, 0), pace.sent(0.5, 0)
    pace.answered(refused, 1.0, 503, {}, WALL)
    pace.answered(early, 1.5, 200, {}, WALL)  # sent before the refusal: it tells nothing of what follows
    pace.answered(pace.sent(1.6, 0), 2.0, 503, {}, WALL)
    assert pace.pause.consecutive == 2
    pace.answered(pace.sent(2.1, 0), 3.0, 200, {}, WALL)
    pace.answered(pace.sent(3.1, 0), 4.0, 503, {}, WALL)
    assert pace.pause.consecutive == 1


def test_a_retry_after_of_days_closes_the_provider():
    pace = Pace(8, max_wait=60)
    pace.answered(pace.sent(0.0, 0), 1.0, 429, {"retry-after": str(16 * 86400)}, WALL)
    reason = f"the provider asks to wait 16 days: more than {option('max_retry_wait')} allows"
    assert pace.pause.closed(1.0) == pace.pause.closed(16 * 86400) == reason
    assert pace.pause.closed(1.0 + 16 * 86400) == ""
    assert start(pace, 1.0) == 1.0 + 16 * 86400


def test_rpm_spaces_starts_evenly():
    starts = drive(Pace(1000, rpm=60), 300.0, success, took=5.0)
    assert len(starts) == 300
    assert all(b - a == pytest.approx(1.0) for a, b in pairwise(starts))


@pytest.mark.parametrize(("estimate", "cost"), [(100, None), (100, 100), (100, 300), (300, 100)])
def test_no_minute_holds_more_than_tpm(estimate, cost):
    starts = drive(Pace(1000, tpm=6000), 400.0, success, took=0.5, tokens=estimate, cost=cost)
    real = cost or estimate
    most = max(sum(a <= b < a + 60 for b in starts) for a in starts) * real
    assert most <= 6000 + max(0, real - estimate)  # what the last one costs beyond its estimate becomes known too late
    assert len(starts) * max(real, estimate) > 6000 * 400 / 60 * 0.8


def test_a_request_larger_than_tpm_goes_alone():
    starts = drive(Pace(8, tpm=100), 200.0, success, tokens=500)
    assert all(b - a >= 60 for a, b in pairwise(starts))
    assert len(starts) == 4


def headers(remaining: int, reset: str) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": reset,
    }


def test_an_empty_quota_waits_for_its_reset():
    pace = Pace(8)
    sent = pace.sent(0.0, 0)
    pace.answered(sent, 0.5, 200, headers(0, "20s"), WALL)
    assert pace.earliest(0.5, 0) == (pytest.approx(20.0), "no requests left")
    pace.ended(sent, 1.0, None)
    assert start(pace, 20.0) == 20.0


def test_running_requests_count_against_the_remainder():
    pace = Pace(8)
    sents = [pace.sent(0.0, 0) for _ in range(4)]
    pace.answered(sents[0], 0.5, 200, headers(3, "20s"), WALL)
    assert start(pace, 0.5) == pytest.approx(20.0)
    pace.answered(sents[3], 0.6, 200, headers(3, "20s"), WALL)
    assert start(pace, 0.6) < 3
    pace.answered(sents[1], 0.7, 200, headers(0, "20s"), WALL)  # older than the remainder in use
    assert start(pace, 0.7) < 3


def test_a_reset_in_a_day_counts_as_max_wait():
    pace = Pace(8, max_wait=30)
    pace.answered(pace.sent(0.0, 0), 0.5, 200, headers(0, "20h0m0s"), WALL)
    assert start(pace, 0.5) == pytest.approx(30.0)
    assert pace.pause.closed(0.5) == ""


def test_a_failed_connection_frees_its_place_and_changes_no_rule():
    pace = Pace(1)
    sent = pace.sent(0.0, 0)
    assert start(pace, 0.0) == inf
    pace.ended(sent, 1.0, None)
    assert (pace.concurrency.running, pace.concurrency.limit, start(pace, 1.0)) == (0, 1, 1.0)


def test_refusals_in_a_row_are_followed_by_longer_and_longer_pauses():
    starts = drive(Pace(64), 300.0, lambda _: (429, {}), took=0.05)
    assert len(starts) < 40
    assert starts[-1] - starts[-2] <= 60


def test_the_retry_budget_of_a_run():
    budget = RetryBudget(retries=4, jobs=100)
    assert sum(budget.use() for _ in range(1000)) == 400
    budget.give_back()
    assert [budget.use(), budget.use()] == [True, False]
    for _ in range(1000):
        budget.give_back()
    assert budget.left == 400
    assert (RetryBudget(4, 1).left, RetryBudget(0, 8).left) == (30, 0)
