"""The limit of CPU time, with a clock of the tests."""

from __future__ import annotations

import re
import sys

import pytest

from llmstream.core.cpu_limit import charge
from llmstream.core.stop.late_search import LateSearch
from llmstream.core.stop.regex import STRIDE
from llmstream.core.stop.search import Search
from llmstream.errors import UsageError


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
