"""When to ask again: a table of answers, on clocks and dice that the test sets."""

from __future__ import annotations

import pytest

from llmstream.core.retry import Backoff, RetryPolicy, retry_after
from llmstream.errors import Refused, Unavailable

NOON = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "1e400"}, float("inf")),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT", "date": "Tue, 14 Nov 2023 22:13:10 GMT"}, 20.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT", "date": "now"}, 10.0),
        ({"retry-after": "5", "date": "Tue, 14 Nov 2023 22:13:10 GMT"}, 5.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after(headers, NOON) == seconds


def test_the_waits_grow_and_end():
    retries = Backoff(RetryPolicy(limit=8, max_wait=60))
    waits = [retries.wait(Unavailable("busy"), {}, NOON, 1.0) for _ in range(9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, None]


def test_the_waits_are_jittered_from_zero():
    assert Backoff(RetryPolicy()).wait(Unavailable("busy"), {}, NOON, 0.0) == 0


def test_no_wait_is_longer_than_allowed():
    retries = Backoff(RetryPolicy(limit=8, max_wait=3))
    assert [retries.wait(Unavailable("busy"), {}, NOON, 1.0) for _ in range(4)] == [0.5, 1, 2, 3]


def test_the_server_s_wait_is_obeyed_up_to_the_limit():
    assert Backoff(RetryPolicy()).wait(Unavailable("busy"), {"retry-after": "60"}, NOON, 0.5) == 60
    failure = Unavailable("busy")
    assert Backoff(RetryPolicy()).wait(failure, {"retry-after": str(16 * 86400)}, NOON, 0.5) is None
    assert str(failure) == "busy: the server asks to wait 16 days, more than max_retry_wait allows"


@pytest.mark.parametrize(
    ("failure", "headers", "again"),
    [
        (Unavailable("busy"), {}, True),
        (Unavailable("no such host", max_retries=0), {}, False),
        (Unavailable("refused", max_retries=1), {}, True),
        (Refused("no"), {}, False),
        (Refused("no"), {"x-should-retry": "true"}, True),
        (Unavailable("busy"), {"x-should-retry": "false"}, False),
    ],
)
def test_what_may_pass_is_asked_again(failure, headers, again):
    assert (Backoff(RetryPolicy()).wait(failure, headers, NOON, 0.5) is not None) == again


@pytest.mark.parametrize("asked", ["0", "-5", "Tue, 14 Nov 2023 22:13:00 GMT", "0.1"])
def test_a_short_wait_of_the_server_s_does_not_shorten_ours(asked):
    retries = Backoff(RetryPolicy(limit=4, max_wait=60))
    waits = [retries.wait(Unavailable("busy"), {"retry-after": asked}, NOON, 0.5) for _ in range(5)]
    assert waits == [0.25, 0.5, 1, 2, None]


@pytest.mark.parametrize("max_retries", [0, 1])
def test_a_limit_that_the_user_chose_holds_for_every_unreachable_server(max_retries):
    retries = Backoff(RetryPolicy(limit=3, chosen=True))
    failure = Unavailable("refused", max_retries=max_retries)
    assert [retries.wait(failure, {}, NOON, 1.0) for _ in range(4)] == [0.5, 1, 2, None]
    assert Backoff(RetryPolicy(limit=3, chosen=True)).wait(Refused("no"), {}, NOON, 1.0) is None


def test_what_is_worth_one_more_try_gets_one():
    retries = Backoff(RetryPolicy(limit=4, max_wait=60))
    assert [retries.wait(Unavailable("refused", max_retries=1), {}, NOON, 1.0) for _ in range(2)] == [0.5, None]
