"""The estimate of a provider's rate, and the curve that it follows between refusals."""

from __future__ import annotations

from itertools import pairwise

import pytest

from llmstream.batch.learned_rate import Baseline, InFlight, LearnedRate


def send(rate: LearnedRate, start: float, seconds: float, per_s: float, number: int = 0) -> InFlight:
    """Sends evenly for some seconds, after `number` requests; returns the last one."""
    for n in range(1, round(seconds * per_s) + 1):
        request = InFlight(start + n / per_s, 0, number + n)
        rate.requests.add(request)
    return request


def learned(per_s: float = 10.0) -> tuple[LearnedRate, InFlight]:
    """Returns a rate that a refusal has taught, and the request that was refused."""
    rate = LearnedRate()
    request = send(rate, 0.0, 3.0, per_s)
    rate.throttled = 1
    rate.refused(request, request.sent_at, request.sent_at)
    return rate, request


def test_no_rate_before_a_refusal():
    rate = LearnedRate()
    send(rate, 0.0, 3.0, 10.0)
    assert rate.at(3.0) == 0


def test_the_first_estimate_is_the_rate_of_the_last_seconds():
    rate, request = learned(10.0)
    assert rate.at(request.sent_at) == pytest.approx(10 / 2)  # half of it at first
    assert rate.at(request.sent_at + 2) == pytest.approx(10)  # and back after two seconds


def test_the_curve_is_flat_about_the_estimate_and_steep_beyond():
    rate, request = learned(10.0)
    values = [rate.at(request.sent_at + t) for t in (0, 1, 2, 3, 4)]
    steps = [b - a for a, b in pairwise(values)]
    assert values == sorted(values)
    assert steps[0] > steps[1] < steps[3]
    assert steps[1] == pytest.approx(steps[2])


def test_before_the_last_refusal_the_curve_is_at_its_lowest():
    rate, request = learned()
    assert rate.at(request.sent_at - 1) == rate.at(request.sent_at)


def test_the_curve_begins_where_requests_resume():
    rate = LearnedRate()
    request = send(rate, 0.0, 3.0, 10.0)
    rate.refused(request, 3.0, 8.0)
    assert rate.at(8.0) == pytest.approx(5)
    assert rate.at(10.0) == pytest.approx(10)


def test_a_second_estimate_lies_between_the_accepted_and_the_refused_rate():
    rate, first = learned(10.0)
    second = send(rate, first.sent_at, 4.0, 8.0, first.number)
    rate.throttled = 2
    refused_rate = rate.at(second.sent_at)
    rate.refused(second, second.sent_at, second.sent_at)
    assert refused_rate > 8
    assert 8 < rate._accepted < refused_rate


def test_a_refusal_soon_after_another_lowers_the_rate_and_keeps_the_estimate():
    rate, first = learned(10.0)
    second = send(rate, first.sent_at, 0.5, 10.0, first.number)
    rate.throttled = 2
    before = rate.at(second.sent_at)
    rate.refused(second, second.sent_at, second.sent_at)
    assert rate.at(second.sent_at) == pytest.approx(before / 2)
    assert rate.at(second.sent_at + 1) == pytest.approx(10)


def test_unused_time_holds_the_curve_back_once_it_has_recovered():
    rate, request = learned(10.0)
    rate.unused(request.sent_at + 1, 1.0)
    assert rate.at(request.sent_at + 2) == pytest.approx(10)
    rate.unused(request.sent_at + 5, 3.0)
    assert rate.at(request.sent_at + 5) == pytest.approx(10)


def test_a_baseline_is_one_to_two_intervals_old():
    baseline = Baseline(1.0)
    ages = []
    for n in range(100):
        request = InFlight(n / 10, 0, n)
        baseline.add(request)
        assert baseline.older is not None
        ages.append(request.sent_at - baseline.older.sent_at)
    assert max(ages) < 2.0 + 1e-9
    assert min(ages[15:]) >= 0.9
