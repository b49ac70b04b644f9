"""The limit of CPU time, with a clock of the tests."""

from __future__ import annotations

import re
import sys

import pytest

from llmstream.core.cpu_limit import SharedLimit, charge
from llmstream.core.stop.late_search import LateSearch
from llmstream.core.stop.regex import STRIDE, can_backtrack
from llmstream.core.stop.search import Search
from llmstream.errors import Unavailable, UsageError


class Slow(Search):
    """A search that the clock interrupts, after `each` seconds of CPU time, whenever it is fed."""

    each = 0.4

    def feed(self, text: str):
        self._clock()
        return super().feed(text)

    def _clock(self) -> None:
        charge(sys._getframe(), self.each, 1.0)


def test_a_search_ends_when_its_time_is_used_up():
    search = Slow("a+b")
    assert [search.feed("a"), search.feed("a")] == [None, None]
    with pytest.raises(UsageError, match=re.escape("'a+b' took more than 1 s")):
        search.feed("a")


class Interrupted(Search):
    """A search that the clock interrupts while it is made."""

    def __init__(self, *args: str) -> None:
        charge(sys._getframe(), 100.0, 1.0)
        super().__init__(*args)
        charge(sys._getframe(), 0.4, 1.0)


def test_a_search_that_is_being_made_is_no_error():
    assert Interrupted("a+b").cpu_s == 0.4


@pytest.mark.parametrize("search", [Search, LateSearch])
def test_a_pattern_that_takes_long_to_compile_is_refused(monkeypatch, search):
    def compile_slowly(*args: object) -> None:
        charge(sys._getframe(), 2.0, 1.0)

    for name in ("compiling", "edge"):
        monkeypatch.setattr(f"{search.__module__}.{name}", compile_slowly, raising=False)
    with pytest.raises(UsageError, match="took more than 1 s"):
        search("a+b")


def test_progress_renews_the_time():
    search = Slow("a+b")
    for _ in range(10):
        assert search.feed("x" * STRIDE + "x") is None


@pytest.mark.parametrize("search", [Search, LateSearch])
def test_text_without_progress_does_not_renew_it(search):
    waiting = search("a[^b]*b")
    waiting.feed("a" * 100)
    for _ in range(3):
        waiting.renew()
        waiting.cpu_s += 1.0
    assert waiting.cpu_s == 3.0


def test_time_outside_a_search_is_not_charged():
    search = Search("a+b")
    charge(sys._getframe(), 100.0, 1.0)
    charge(None, 100.0, 1.0)
    assert search.cpu_s == 0.0


# The limit of all searches together.


class Sharing(Search):
    """A search that the clock interrupts at the times `now`, after `each` seconds of CPU time."""

    def __init__(self, limit: SharedLimit) -> None:
        super().__init__("a+b")
        self.limit = limit

    def run(self, *times: float, each: float = 0.02) -> None:
        for now in times:
            self.limit.charge(sys._getframe(), each, 0.2, now)


def empty() -> SharedLimit:
    """Returns a limit that two searches have used up at the time 0."""
    limit = SharedLimit(0.4, 0.1)
    for _ in range(2):
        Sharing(limit).run(0.0, each=0.2)
    assert limit.left_s(0.0) == 0
    return limit


def test_searches_share_a_limit_and_each_has_its_own():
    limit = SharedLimit(0.4, 0.1)
    search = Sharing(limit)
    search.run(*[0.0] * 9)
    with pytest.raises(UsageError, match=r"took more than 0\.2 s"):
        search.run(0.0, 0.0)
    assert limit.left_s(0.0) == pytest.approx(0.18)  # the time of the call that ends a search counts, too


def test_a_search_ends_at_its_second_interval_when_nothing_is_left():
    search = Sharing(empty())
    search.run(0.0)
    with pytest.raises(Unavailable, match="have used their CPU time: try again later"):
        search.run(0.0)


def test_intervals_of_other_work_between_its_own_do_not_end_a_search():
    limit = empty()
    search, other = Sharing(limit), Sharing(limit)
    for between in (other.run, lambda now: limit.charge(None, 0.02, 0.2, now)):
        search.run(0.0)
        between(0.0)
    search.run(0.0)


def test_a_debt_is_refilled_with_time():
    limit = empty()
    for _ in range(5):
        Sharing(limit).run(0.0)
    assert limit.left_s(0.0) == pytest.approx(-0.1)
    with pytest.raises(Unavailable):
        limit.check(0.9)
    limit.check(1.1)
    Sharing(limit).run(1.2, 1.2, each=0.005)
    assert limit.left_s(100.0) == 0.4


def test_time_of_other_work_is_not_charged_to_the_shared_limit():
    limit = SharedLimit(0.4, 0.1)
    limit.charge(sys._getframe(), 100.0, 0.2, 0.0)
    limit.charge(None, 100.0, 0.2, 0.0)
    assert limit.left_s(0.0) == 0.4


@pytest.mark.parametrize(
    "pattern", ["a*", "(a+)+!", "a?a?b", "a{2,}", "(a|aa)(a|aa)b", "[a]*", r"\\+", "(?:a|b)", "x(?=a+)"]
)
def test_patterns_that_can_backtrack(pattern):
    assert can_backtrack(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "END",
        "a|b",
        r"\+\*\?\{\|",
        "[*+?{(|]",
        "[]*]",
        "[^]+]x",
        r"[\]*]",
        "(?i)end",
        "(?P<n>a)(?P=n)",
        "(?=a)(?<!b)",
    ],
)
def test_patterns_that_cannot(pattern):
    assert not can_backtrack(pattern)
