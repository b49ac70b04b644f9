"""Each rule of the pace alone."""

from __future__ import annotations

from math import inf

import pytest

from llmstream.batch.learned_rate import InFlight, LearnedRate
from llmstream.batch.pace_rules import (
    FIRST_PAUSE_S,
    INITIAL_STREAMS,
    LATE_S,
    Average,
    Concurrency,
    Pause,
    Quota,
    RequestCap,
    Spacing,
    TokenCap,
)
from llmstream.errors import spell

WALL = 1_700_000_000.0
OPENAI = "x-ratelimit-{}-requests"


def request(at: float = 0.0, tokens: int = 0, number: int = 1, total: int = 0) -> InFlight:
    return InFlight(at, tokens, number, total)


def quota_headers(left: int, reset: str, limit: int = 100) -> dict[str, str]:
    return {OPENAI.format("limit"): str(limit), OPENAI.format("remaining"): str(left), OPENAI.format("reset"): reset}


def spacing(max_wait: float = 60.0) -> tuple[Spacing, LearnedRate, Pause]:
    rate, pause = LearnedRate(), Pause(max_wait)
    return Spacing(rate, pause, Concurrency(8, rate, Average()), Average(), max_wait), rate, pause


def test_concurrency_delays_nothing_below_its_limit():
    rule = Concurrency(2, LearnedRate(), Average())
    rule.sent(request())
    assert rule.earliest(0, 0) == (-inf, "")
    rule.sent(request())
    assert rule.earliest(0, 0) == (inf, "2 run at once")
    rule.ended(request(), 1, None)
    assert rule.earliest(1, 0) == (-inf, "")


def test_concurrency_grows_by_two_an_answer_up_to_jobs():
    rule = Concurrency(11, LearnedRate(), Average())
    limits = []
    for _ in range(3):
        rule.answered(request(), 1, 200, {}, WALL)
        limits.append(rule.limit)
    assert limits == [10, 11, 11]


def test_concurrency_after_overload_is_halved_and_grows_by_one_for_limit_answers():
    rule = Concurrency(64, LearnedRate(), Average())
    rule.refused(request(), 1, overload=True)
    assert rule.limit == INITIAL_STREAMS / 2
    for _ in range(4):
        rule.answered(request(), 2, 200, {}, WALL)
    assert 4.8 < rule.limit < 5


def test_concurrency_never_falls_below_one():
    rule = Concurrency(64, LearnedRate(), Average())
    for _ in range(10):
        rule.refused(request(), 1, overload=True)
    assert rule.limit == 1


def test_concurrency_after_429_falls_no_further_than_the_learned_rate_needs():
    rate, answer_s = LearnedRate(), Average()
    rule = Concurrency(64, rate, answer_s)
    for number in range(1, 12):  # 10 requests a second, each of half a second
        rate.sent(request(number / 10, number=number))
    answer_s.add(0.5)
    rate.refused(request(1.2, number=12), 1.2, 1.2)
    rule.refused(request(1.2), 1.2, overload=False)
    assert rule.limit == pytest.approx(1 + 1.5 * rate.at(1.2) * 0.5)


@pytest.mark.parametrize(("name", "value"), [("retry-after", "5"), ("retry-after-ms", "5000")])
@pytest.mark.parametrize("status", [429, 503, 529])
def test_pause_waits_for_retry_after(status, name, value):
    rule = Pause(60)
    rule.answered(request(), 1.0, status, {name: value}, WALL)
    assert rule.earliest(1.0, 0) == (6.0, "the provider asked to wait")
    assert (rule.halted_s, rule.closed(1.0)) == (5.0, "")


@pytest.mark.parametrize("status", [200, 400, 500])
def test_pause_reads_retry_after_of_refusals_only(status):
    rule = Pause(60)
    rule.answered(request(), 1.0, status, {"retry-after": "5"}, WALL)
    assert rule.earliest(1.0, 0)[0] == -inf


def test_overlapping_waits_are_counted_once():
    rule = Pause(60)
    rule.answered(request(), 1.0, 429, {"retry-after": "5"}, WALL)
    rule.answered(request(), 2.0, 429, {"retry-after": "5"}, WALL)
    rule.answered(request(), 3.0, 429, {"retry-after": "1"}, WALL)
    assert (rule.earliest(0, 0)[0], rule.halted_s) == (7.0, 6.0)


def test_pause_doubles_from_the_second_refusal_in_a_row():
    rule, pauses = Pause(60), []
    for now in range(1, 6):
        rule.refused(request(), now, overload=False)
        pauses.append(rule.earliest(0, 0)[0] - now)
    assert pauses == [-inf, *(pytest.approx(FIRST_PAUSE_S * 2**n) for n in range(4))]
    assert rule.earliest(5, 0)[1] == "the provider refuses requests"


def test_an_answer_to_a_later_request_ends_the_row_of_refusals():
    rule = Pause(60)
    rule.refused(request(), 1.0, overload=False)
    rule.answered(request(0.5), 1.5, 200, {}, WALL)  # sent before the refusal: it tells nothing of what follows
    rule.refused(request(1.1), 2.0, overload=False)
    assert rule.earliest(0, 0)[0] == 2.0 + FIRST_PAUSE_S
    rule.answered(request(2.1), 3.0, 200, {}, WALL)
    rule.refused(request(3.1), 4.0, overload=False)
    assert rule.earliest(0, 0)[0] == 2.0 + FIRST_PAUSE_S


def test_pause_closes_after_refusals_for_longer_than_max_wait():
    rule = Pause(60)
    rule.refused(request(), 1.0, overload=True)
    rule.refused(request(), 61.0, overload=True)
    assert rule.closed(61.0) == ""
    rule.refused(request(), 62.0, overload=True)
    assert rule.closed(62.0) == "the provider has refused everything for 61 s"
    assert rule.closed(122.0) == ""


def test_pause_closes_where_retry_after_is_longer_than_max_wait():
    rule = Pause(60)
    rule.answered(request(), 1.0, 429, {"retry-after": "61"}, WALL)
    assert spell(rule.closed(1.0)) == "the provider asks to wait 61 s: more than max_retry_wait allows"


def test_spacing_starts_the_first_streams_without_a_gap():
    rule, _, _ = spacing()
    for number in range(1, INITIAL_STREAMS):
        rule.sent(request(5.0, number=number))
        assert rule.earliest(5.0, 0)[0] <= 5.0
    rule.sent(request(5.0, number=INITIAL_STREAMS))
    at, reason = rule.earliest(5.0, 0)
    assert 5.0 - LATE_S < at <= 5.0
    rule.sent(request(5.0, number=INITIAL_STREAMS + 1))
    assert rule.earliest(5.0, 0)[0] > 5.0
    assert reason == "starting slowly"


def test_spacing_follows_the_learned_rate():
    rule, rate, _ = spacing()
    rule.sent(request(0.0))
    rule.refused(request(0.0), 0.5, overload=False)
    assert rule.earliest(0.5, 0) == (0.5, "learning the rate limit")
    rule.sent(request(0.5, number=2))
    assert rule.earliest(0.5, 0)[0] == pytest.approx(0.5 + 1 / rate.at(0.5))


def test_spacing_starts_from_the_end_of_a_pause_without_making_up_for_it():
    rule, _, pause = spacing()
    rule.sent(request(0.0))
    pause.answered(request(0.0), 0.5, 429, {"retry-after": "5"}, WALL)
    rule.refused(request(0.0), 0.5, overload=False)
    assert rule.earliest(0.5, 0)[0] == 5.5


def test_a_gap_is_at_most_max_wait():
    rule, rate, _ = spacing(max_wait=1.0)
    rule.sent(request(0.0))
    rate.sent(request(0.0))
    rule.refused(request(100.0, number=2), 100.0, overload=False)  # one request in 100 s
    rule.sent(request(100.0, number=3))
    assert rule.earliest(100.0, 0)[0] == pytest.approx(101.0)


def test_quota_spreads_its_remainder_over_the_time_to_the_reset():
    rule = Quota(Average(), 60)
    assert rule.earliest(0, 0) == (-inf, "")
    rule.sent(request(0.0))
    rule.answered(request(0.0), 0.0, 200, quota_headers(10, "20s"), WALL)
    assert rule.earliest(0.0, 0) == (20 / 10 / 4, "few requests left")


def test_an_empty_quota_waits_for_the_reset_and_then_for_an_answer():
    head_s = Average()
    head_s.add(1.0)
    rule = Quota(head_s, 60)
    rule.sent(request(0.0))
    rule.answered(request(0.0), 1.0, 200, quota_headers(0, "20s"), WALL)
    assert rule.earliest(1.0, 0) == (20.0, "no requests left")
    assert rule.earliest(20.0, 0) == (-inf, "")
    assert rule.earliest(20.0, 0) == (2 / 100 / 4, "few requests left")  # 100 in the time of two answers


@pytest.mark.parametrize(("tokens", "reason"), [(50, "few tokens left"), (51, "no tokens left")])
def test_quota_of_tokens_counts_the_expected_cost(tokens, reason):
    rule = Quota(Average(), 60)
    headers = {name.replace("requests", "tokens"): value for name, value in quota_headers(100, "10s").items()}
    rule.sent(request(0.0, total=50))
    rule.sent(request(0.0, number=2, total=100))
    rule.answered(request(0.0, total=50), 0.1, 200, headers, WALL)
    assert rule.earliest(0.1, tokens)[1] == reason


def test_request_cap():
    rule = RequestCap(120)
    assert rule.earliest(0, 0)[0] == -inf
    rule.sent(request(7.0))
    assert rule.earliest(7.0, 0) == (7.5, "at most 120 requests a minute")


def test_token_cap_spreads_its_tokens_and_fills_no_minute_twice():
    rule = TokenCap(600)
    assert rule.earliest(0, 100)[0] == -inf
    first = request(0.0, tokens=100)
    rule.sent(first)
    assert rule.earliest(0.0, 100) == (10.0, "at most 600 tokens a minute")
    rule.ended(first, 1.0, 550)
    assert rule.earliest(1.0, 100)[0] == 60.0
    assert rule.earliest(60.0, 100)[0] == 10.0
    assert first.expired


def test_a_real_cost_that_comes_after_its_minute_is_not_counted():
    rule = TokenCap(600)
    first = request(0.0, tokens=100)
    rule.sent(first)
    rule.earliest(60.0, 0)
    rule.ended(first, 61.0, 10_000)
    rule.sent(request(61.0, tokens=100))
    assert rule.earliest(61.0, 500)[0] == 61.0 + 50
