"""Each rule of the pace alone."""

from __future__ import annotations

from math import inf

import pytest

from llmstream.batch.learned_rate import InFlight, LearnedRate
from llmstream.batch.pace_rules import (
    FIRST_PAUSE_S,
    INITIAL_STREAMS,
    LATE_S,
    MAX_STARTS_PER_S,
    Concurrency,
    History,
    Pause,
    Quota,
    RequestCap,
    Spacing,
    TokenCap,
)
from llmstream.batch.rate_limits import Limit
from llmstream.errors import spell


def request(at: float = 0.0, tokens: int = 0, number: int = 1, total: int = 0) -> InFlight:
    return InFlight(at, tokens, number, total)


def spacing(max_wait: float = 60.0) -> tuple[Spacing, LearnedRate, History]:
    rate, history = LearnedRate(), History()
    return Spacing(rate, history, max_wait), rate, history


def test_concurrency_grows_by_two_an_answer_up_to_jobs():
    rule = Concurrency(11, LearnedRate(), History())
    limits = []
    for _ in range(3):
        rule.grow(1)
        limits.append(rule.limit)
    assert limits == [10, 11, 11]


def test_concurrency_after_overload_is_halved_and_grows_by_one_for_limit_answers():
    rule = Concurrency(64, LearnedRate(), History())
    rule.shrink(1, overload=True)
    assert rule.limit == INITIAL_STREAMS / 2
    for _ in range(4):
        rule.grow(2)
    assert 4.8 < rule.limit < 5


def test_concurrency_never_falls_below_one():
    rule = Concurrency(64, LearnedRate(), History())
    for _ in range(10):
        rule.shrink(1, overload=True)
    assert rule.limit == 1


def test_concurrency_after_429_falls_no_further_than_the_learned_rate_needs():
    rate, history = LearnedRate(), History()
    rule = Concurrency(64, rate, history)
    for number in range(1, 12):  # 10 requests a second, each of half a second
        rate.requests.add(request(number / 10, number=number))
    history.answer_s = 0.5
    rate.refused(request(1.2, number=12), 1.2, 1.2)
    rule.shrink(1.2, overload=False)
    assert rule.limit == pytest.approx(1 + 1.5 * rate.at(1.2) * 0.5)


def test_pause_waits_for_retry_after():
    rule = Pause(60)
    rule.wait(1.0, 5.0)
    assert rule.earliest(1.0, 0) == (6.0, "the provider asked to wait")
    assert (rule.halted_s, rule.closed(1.0)) == (5.0, "")


def test_overlapping_waits_are_counted_once():
    rule = Pause(60)
    rule.wait(1.0, 5.0)
    rule.wait(2.0, 5.0)
    rule.wait(3.0, 1.0)
    assert (rule.earliest(0, 0)[0], rule.halted_s) == (7.0, 6.0)


def test_pause_doubles_from_the_second_refusal_in_a_row():
    rule, pauses = Pause(60), []
    for now in range(1, 6):
        rule.refused(now)
        pauses.append(rule.earliest(0, 0)[0] - now)
    assert pauses == [-inf, *(pytest.approx(FIRST_PAUSE_S * 2**n) for n in range(4))]
    assert rule.earliest(5, 0)[1] == "the provider refuses requests"


def test_pause_closes_after_refusals_for_longer_than_max_wait():
    rule = Pause(60)
    rule.refused(1.0)
    rule.refused(61.0)
    assert rule.closed(61.0) == ""
    rule.refused(62.0)
    assert rule.closed(62.0) == "the provider has refused everything for 61 s"
    assert rule.closed(122.0) == ""


def test_pause_closes_where_retry_after_is_longer_than_max_wait():
    rule = Pause(60)
    rule.wait(1.0, 61.0)
    assert spell(rule.closed(1.0)) == "the provider asks to wait 61 s: more than max_retry_wait allows"


def send(rule: Spacing, history: History, sent: InFlight, concurrency: float = 8.0, room: float = 0.0) -> None:
    rule.sent(sent, concurrency, room)
    history.last = sent


def test_spacing_starts_the_first_streams_without_a_gap():
    rule, _, history = spacing()
    for number in range(1, INITIAL_STREAMS):
        send(rule, history, request(5.0, number=number))
        assert rule.earliest(5.0, 0)[0] <= 5.0
    send(rule, history, request(5.0, number=INITIAL_STREAMS))
    at, reason = rule.earliest(5.0, 0)
    assert 5.0 - LATE_S < at <= 5.0
    send(rule, history, request(5.0, number=INITIAL_STREAMS + 1))
    assert rule.earliest(5.0, 0)[0] > 5.0
    assert reason == "starting slowly"


def test_spacing_follows_the_learned_rate():
    rule, rate, history = spacing()
    send(rule, history, request(0.0))
    rate.refused(request(0.0), 0.5, rule.refused(0.5, -inf))
    assert rule.earliest(0.5, 0) == (0.5, "learning the rate limit")
    send(rule, history, request(0.5, number=2))
    assert rule.earliest(0.5, 0)[0] == pytest.approx(0.5 + 1 / rate.at(0.5))


def test_spacing_starts_from_the_end_of_a_pause_without_making_up_for_it():
    rule, _, history = spacing()
    send(rule, history, request(0.0))
    assert rule.refused(0.5, pause_until=5.5) == 5.5
    assert rule.earliest(0.5, 0)[0] == 5.5


def test_a_gap_is_at_most_max_wait():
    rule, rate, history = spacing(max_wait=1.0)
    send(rule, history, request(0.0))
    rate.refused(request(100.0, number=2), 100.0, rule.refused(100.0, -inf))  # one request in 100 s
    send(rule, history, request(100.0, number=3))
    assert rule.earliest(100.0, 0)[0] == pytest.approx(101.0)


def quota(*sent: InFlight) -> tuple[Quota, History]:
    history = History()
    history.last = sent[-1] if sent else history.last
    return Quota(history, 60), history


def test_quota_spreads_its_remainder_over_the_time_to_the_reset():
    assert quota()[0].earliest(0, 0) == (-inf, "")
    rule, _ = quota(request(0.0))
    rule.update(request(0.0), 0.0, [Limit("requests", 100, 10, 20.0)])
    assert rule.earliest(0.0, 0) == (20 / 10 / 4, "few requests left")


def test_of_several_limits_for_one_unit_the_smallest_remainder_counts():
    rule, _ = quota(request(0.0))
    limits = [Limit("tokens", 100, 10, 20.0), Limit("tokens", 50, 0, 30.0), Limit("tokens", 9, 9, 40.0)]
    rule.update(request(0.0), 0.0, limits)
    assert rule.earliest(0.0, 5) == (30.0, "no tokens left")


def test_an_empty_quota_waits_for_the_reset_and_then_for_an_answer():
    rule, history = quota(request(0.0))
    history.head_s = 1.0
    rule.update(request(0.0), 1.0, [Limit("requests", 100, 0, 20.0)])
    assert rule.earliest(1.0, 0) == (20.0, "no requests left")
    assert rule.earliest(20.0, 0) == (-inf, "")
    assert rule.earliest(20.0, 0) == (2 / 100 / 4, "few requests left")  # 100 in the time of two answers


@pytest.mark.parametrize(("tokens", "reason"), [(50, "few tokens left"), (51, "no tokens left")])
def test_quota_of_tokens_counts_the_expected_cost(tokens, reason):
    rule, _ = quota(request(0.0, total=50), request(0.0, number=2, total=100))
    rule.update(request(0.0, total=50), 0.1, [Limit("tokens", 100, 100, 10.0)])
    assert rule.earliest(0.1, tokens)[1] == reason


def test_the_room_is_what_the_headers_leave_less_what_was_sent_since():
    rule, history = quota(request(0.0))
    assert rule.room(10) == 0
    rule.update(request(0.0), 0.1, [Limit("requests", 100, 40, 20.0)])
    assert rule.room(10) == 40
    history.last = request(0.1, number=6, total=500)
    assert rule.room(10) == 35
    rule.update(request(0.0, number=2), 0.3, [Limit("requests", 100, 40, 0.2)])
    assert rule.room(10) == 96  # the quota is full again
    rule.update(request(0.0, number=3, total=300), 0.3, [Limit("tokens", 1000, 600, 20.0)])
    assert rule.room(10) == 40  # 400 tokens
    history.last = request(0.5, number=9999, total=500)
    assert rule.room(10) == 0


def test_spacing_is_narrow_where_the_provider_has_room():
    for room, is_slow, gap in (
        (1.0, True, 1 / MAX_STARTS_PER_S),
        (0.5, True, 1 / 64),
        (0.0, False, 1 / MAX_STARTS_PER_S),
    ):
        rule, _, history = spacing()
        rule.is_slow = is_slow
        for number in range(1, 50):
            send(rule, history, request(5.0, number=number), room=room)
        at, _ = rule.earliest(5.0, 0)
        send(rule, history, request(5.0, number=50), room=room)
        assert rule.earliest(5.0, 0)[0] - at == pytest.approx(gap)


def test_request_cap():
    history = History()
    rule = RequestCap(120, history)
    assert rule.earliest(0, 0)[0] == -inf
    history.last = request(7.0)
    assert rule.earliest(7.0, 0) == (7.5, "at most 120 requests a minute")


def test_token_cap_spreads_its_tokens_and_fills_no_minute_twice():
    history = History()
    rule = TokenCap(600, history)
    assert rule.earliest(0, 100)[0] == -inf
    history.last = first = request(0.0, tokens=100)
    rule.sent(first)
    assert rule.earliest(0.0, 100) == (10.0, "at most 600 tokens a minute")
    rule.ended(first, 550)
    assert rule.earliest(1.0, 100)[0] == 60.0
    assert rule.earliest(60.0, 100)[0] == 10.0
    assert first.expired


def test_a_real_cost_that_comes_after_its_minute_is_not_counted():
    history = History()
    rule = TokenCap(600, history)
    first = request(0.0, tokens=100)
    rule.sent(first)
    rule.earliest(60.0, 0)
    rule.ended(first, 10_000)
    history.last = request(61.0, tokens=100)
    rule.sent(history.last)
    assert rule.earliest(61.0, 500)[0] == 61.0 + 50
