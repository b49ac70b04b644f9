"""The search without CPython's private parser: the same matches, later, and when it takes the other one's place."""

from __future__ import annotations

import importlib
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.stop import edge
from llmstream.core.stop.conditions import from_mapping
from llmstream.core.stop.late_search import CONTEXT, LateSearch
from llmstream.core.stop.search import Search
from llmstream.core.stop.until import Until
from llmstream.errors import UsageError

from ...fuzz import until_regex
from ...support.chunks import chunkings, cut
from .test_search import PROMPT


def spans(pattern, pieces, count=1, window=1000):
    """The match, and the offset at which it was decided; None: at the end."""
    search = LateSearch(pattern, 0, count, window)
    for piece in pieces:
        if span := search.feed(piece):
            return span, search.decided_at()
        assert search.start <= search.certain
    return search.close(), None


@pytest.mark.parametrize(("pattern", "text", "needed"), PROMPT)
def test_every_cut_finds_what_re_does(pattern, text, needed):
    for more in ("", "\n", " trailing"):
        match = re.search(pattern, text + more)
        for pieces in chunkings(text + more):
            assert spans(pattern, pieces) == (match and match.span(), None), pieces


@pytest.mark.parametrize(("pattern", "text", "needed"), PROMPT)
def test_a_match_is_decided_before_the_end_when_windows_of_text_follow(pattern, text, needed):
    text += "\n" + "." * 90
    match = re.search(pattern, text)
    want = (match.span(), 60 if match.start() == 0 else 90) if match else (None, None)
    for pieces in chunkings(text):
        assert spans(pattern, pieces, window=30) == want, pieces


def test_random_patterns_match_as_re_does():
    for pattern, flags, text, pieces in until_regex.cases(2000, seed=7):
        if r"(?a:\W)" not in pattern:  # which re.search overlooks
            until_regex.check(pattern, flags, text, pieces, LateSearch)


def test_random_patterns_past_the_window_depend_on_no_cut():
    for pattern, flags, text, _ in until_regex.cases(300, seed=8):
        until_regex.check_window(pattern, flags, text * 3, 3, LateSearch)


@given(st.text("ab1 \n", max_size=60), st.lists(st.integers(0, 100), max_size=8), st.integers(1, 4))
def test_the_nth_match_is_that_of_finditer(text, places, count):
    for pattern in ("[ab]+", "a|1 ", r"\b\w", "(?m)^.+$", "(?<=a)b+"):
        matches = [match.span() for match in re.finditer(pattern, text)]
        want = matches[count - 1] if len(matches) >= count else None
        assert spans(pattern, cut(text, places), count)[0] == want


@pytest.mark.parametrize(("size", "met"), [(99, True), (100, True), (101, False)])
def test_a_match_is_as_long_as_the_window_at_most(size, met):
    text = "a" + "b" * (size - 2) + "z" + "." * 300
    for pieces in ([text], list(text)):
        assert spans("a[^z]*z", pieces, window=100)[0] == ((0, size) if met else None)


def test_a_match_that_is_too_long_is_noted():
    search = LateSearch("a[^z]*z", window=10)
    search.feed("a" + "b" * 13 + "z" + "." * 30)
    assert "ignored a match longer than 10 characters" in search.note


def test_the_buffer_is_bounded_by_the_window():
    search = LateSearch("fox.*cat", window=1000)
    for _ in range(300):
        search.feed("fox and 1234 " * 10)
        assert len(search._text) + sum(map(len, search._pieces)) <= 3 * 1000 + CONTEXT


@pytest.mark.parametrize("pattern", ["", "x*", "a?b?"])
def test_a_pattern_that_matches_the_empty_text_is_refused(pattern):
    with pytest.raises(UsageError, match="empty text"):
        LateSearch(pattern)


@pytest.mark.parametrize("pattern", [r"\b", "(?=a)"])
def test_a_pattern_that_matches_the_empty_text_in_places_is_refused_when_it_does(pattern):
    search = LateSearch(pattern)
    search.feed("a")
    with pytest.raises(UsageError, match="empty text"):
        search.close()


def test_an_invalid_pattern_is_refused():
    with pytest.raises(UsageError, match=r"'a\(b' is not a valid regular expression: missing \)"):
        LateSearch("a(b")


# Which of the two searches.


def searches() -> list[type]:
    conditions, _ = from_mapping({"regex": ["a", "b+"]})
    return [type(condition) for condition in conditions]


def forget_search(monkeypatch):
    for name in ("edge", "search"):
        monkeypatch.delitem(sys.modules, f"llmstream.core.stop.{name}", raising=False)


def test_the_search_is_early_in_a_python_that_is_tested():
    assert searches() == [Search, Search]


@pytest.mark.parametrize("module", ["re._constants", "re._parser"])
def test_without_a_private_module_the_search_is_late(monkeypatch, module):
    forget_search(monkeypatch)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr(re, module.partition(".")[2])
    assert searches() == [LateSearch, LateSearch]


def test_in_a_python_that_is_not_tested_the_search_is_late(monkeypatch):
    forget_search(monkeypatch)
    monkeypatch.setattr(importlib.import_module("re._constants"), "MAGIC", 20991231)
    assert searches() == [LateSearch, LateSearch]


@pytest.mark.parametrize("nodes", [[("NEW", 1)], [(edge.AT, "NEW")], [(edge.SUBPATTERN, (1, 2))], [edge.LITERAL]])
def test_a_tree_that_is_unknown_is_searched_late(monkeypatch, nodes):
    edge.edge.cache_clear()

    class Parser:
        SubPattern = edge._parser.SubPattern

        @staticmethod
        def parse(pattern, flags):
            tree = edge.re._parser.parse(pattern, flags)
            return edge._parser.SubPattern(tree.state, [*tree, *nodes])

    monkeypatch.setattr(edge, "_parser", Parser)
    assert searches() == [LateSearch, LateSearch]


def test_several_late_searches_give_one_note(monkeypatch):
    forget_search(monkeypatch)
    monkeypatch.setattr(importlib.import_module("re._constants"), "MAGIC", 20991231)
    conditions, mode = from_mapping({"regex": ["a", "b+"]})
    [note] = Until(conditions, mode).notes
    assert "counts only when the input ends or 196608 characters later" in note
