"""The streaming search: what `re.search` finds on the whole text, as early as can be, and bounded."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.stop.search import Search
from llmstream.errors import UsageError

from ...fuzz import until_regex
from ...support.chunks import chunkings, cut


def spans(pattern: str, pieces: list[str], flags: int = 0, count: int = 1, window: int = 1000):
    search = Search(pattern, flags, count, window)
    for piece in pieces:
        if span := search.feed(piece):
            return span
    return search.close()


# (pattern, text, how much of the text it takes to be sure; None: all of it, and its end)
PROMPT = [
    ("END", "aENDb", 4),
    ("END|ENDING", "ENDING", 3),
    ("ENDING|END", "ENDING!", 6),
    ("ENDING|END", "END!", 4),
    ("[0-9]+", "a1234 ", 6),
    ("[0-9]+", "1234", None),
    ("[0-9]+?", "1234", 1),
    ("[0-9]{2}", "1234", 2),
    ("[0-9]{2,3}", "1234", 3),
    ("a++b?", "aac", 3),
    ("(?>a|ab)c", "abcac", 5),
    ("foo(?!bar)", "foobaz", 6),
    ("foo(?!bar)", "foobarfoo.", 10),
    ("foo(?=bar)", "foobar", 6),
    ("foo$", "foo", None),
    ("foo$", "foo\nfoo", None),
    ("(?m)foo$", "foo\n", 4),
    (r"foo\Z", "foofoo", None),
    (r"foo\b", "foo.", 4),
    (r"foo\b", "foodfoo ", 8),
    (r"foo\B.", "food", 4),
    (r"foo\Bx|o", "foox", 4),
    ("(?m)^foo", "a\nfoo", 5),
    ("^foo", "foo", 3),
    (r"(?<=a)b", "ab", 2),
    (r"(?<!a)b", "abb", 3),
    ("fox.*cat", "fox cat cow\n", 12),
    ("fox.*?cat", "fox cat cow", 7),
    ("(?s)<a>.*?</a>", "<a>x\ny</a>", 10),
    ("(['\"]).*?\\1", "say 'no\"' ", 9),
    (r"(\w+) \1", "the tall the the.", 16),
    (r"(\w+) \1", "abc ab ab", 9),
    ("a(?=.{3}z)|b", "ab12z", 5),
    ("((a)|b)(?(2)c|d)", "bcbd", 4),
]


@pytest.mark.parametrize(("pattern", "text", "needed"), PROMPT)
def test_a_match_is_returned_as_soon_as_no_text_can_change_it(pattern, text, needed):
    want = re.search(pattern, text).span()
    for n in range(1, len(text) + 1):
        got = Search(pattern).feed(text[:n])
        assert got == (want if needed is not None and n >= needed else None), n


@pytest.mark.parametrize(("pattern", "text", "needed"), PROMPT)
def test_decided_at_is_where_single_characters_find_the_match(pattern, text, needed):
    search = Search(pattern)
    if needed is not None and search.feed(text + "..."[: 3 if needed < len(text) else 0]):
        assert search.decided_at() == needed


@pytest.mark.parametrize(("pattern", "text", "needed"), PROMPT)
def test_every_cut_finds_the_same(pattern, text, needed):
    for more in ("", "\n", " trailing"):
        match = re.search(pattern, text + more)
        for pieces in chunkings(text + more):
            assert spans(pattern, pieces) == (match and match.span()), pieces


def test_random_patterns_match_as_re_does():
    for case in until_regex.cases(2000, seed=7):
        until_regex.check(*case)


def test_random_patterns_past_the_window_depend_on_no_cut():
    for pattern, flags, text, _ in until_regex.cases(300, seed=8):
        until_regex.check_window(pattern, flags, text * 2, 3)


class Counted:
    """A `search` that counts the starts it tries."""

    def __init__(self, search):
        self.search, self.starts = search, 0

    def __call__(self, text, start=0, end=None):
        match = self.search(text, start, len(text) if end is None else end)
        self.starts += (match.start() if match else len(text)) - start + 1
        return match


@pytest.mark.parametrize("pattern", [r"(?s)\{.*\}END", r"(?s)\{.*?\}END", r"\{[^z]{0,150}\}END"])
@pytest.mark.parametrize("size", [1, 9, 10_000])
def test_past_the_window_too_each_start_is_tried_about_once(pattern, size):
    search = Search(pattern, window=200)
    search._search, search._edge = counts = Counted(search._search), Counted(search._edge)
    text = '{"a": 1}\n' * 300
    looks = len(range(0, len(text), size)) + len(text) // 9 + len(text) // 200  # one a piece, and one a start given up
    for at in range(0, len(text), size):
        assert search.feed(text[at : at + size]) is None
    assert sum(count.starts for count in counts) <= 2 * (len(text) + looks)


def test_a_match_after_a_start_given_up_is_decided_only_then():
    search = Search("a[^z]*z|b", window=10)
    assert search.feed("ab" + "-" * 20) == (1, 2)
    assert search.decided_at() == 10


@given(st.text("ab1 \n", max_size=60), st.lists(st.integers(0, 100), max_size=8), st.integers(1, 4))
def test_the_nth_match_is_that_of_finditer(text, places, count):
    for pattern in ("[ab]+", "a|1 ", r"\b\w", "(?m)^.+$", "(?<=a)b+"):
        found = [match.span() for match in re.finditer(pattern, text)]
        assert spans(pattern, cut(text, places), count=count) == (found[count - 1] if len(found) >= count else None)


@given(st.text("ax ", max_size=80), st.lists(st.integers(0, 100), max_size=8), st.integers(2, 12))
def test_a_used_up_window_depends_on_no_cut(text, places, window):
    for pattern in ("a.*x", "(?s)a.* x", "a+x|x "):
        assert spans(pattern, cut(text, places), window=window) == spans(pattern, list(text), window=window)


def test_a_match_as_long_as_the_window_allows_is_found_and_a_longer_one_given_up_with_a_note():
    for size, want in ((99, (0, 99)), (101, None)):
        search = Search("a[^z]*z", window=100)
        got = search.feed("a" + "b" * (size - 2) + "z")
        assert got == want
        assert bool(search.note) == (want is None)


def test_after_the_window_later_starts_still_count():
    assert spans("a[^z]*z", ["a" + "b" * 200 + "a1z"], window=100) == (201, 204)


@pytest.mark.parametrize("pattern", ["END", "[0-9]+x", "(?<=abc)END", "fox.*cat", "^END", r"(\w+) \1"])
def test_the_buffer_is_bounded_by_the_window(pattern):
    search = Search(pattern, window=1000)
    for _ in range(300):
        search.feed("fox and 1234 " * 10)
        assert len(search._text) <= 1000 + 2 * search._context


def test_text_that_cannot_be_part_of_a_match_is_not_buffered():
    search = Search("END")
    for text, start in (("some text", 9), (" E", 10), ("N", 10), ("x", 13)):
        search.feed(text)
        assert search.start == start


@pytest.mark.parametrize(
    ("pattern", "text", "certain"),
    [
        ("END", "some EN", 7),  # no match ends within it
        ("[0-9]+", "some 123", 6),  # 1 alone might be all, for all that is known
        ("(?s)<a>.*</a>", "<a>" + "long " * 100, 503),  # the end is yet to come
        ("foo(?!bar)", "foob", 3),
    ],
)
def test_text_before_any_possible_end_of_the_match_is_certain(pattern, text, certain):
    search = Search(pattern)
    assert search.feed(text) is None
    assert search.certain == certain


def test_the_error_for_an_invalid_pattern_has_its_position():
    with pytest.raises(UsageError, match=r"'a\(b' is not a valid regular expression: missing \), .* at character 2"):
        Search("a(b")


@pytest.mark.parametrize("pattern", ["", "x*", "^", r"\b", "a?b?", "(?=a)"])
def test_a_pattern_that_matches_the_empty_text_is_refused(pattern):
    with pytest.raises(UsageError, match="empty text"):
        Search(pattern)


def test_a_set_that_a_later_python_may_read_otherwise_gives_no_warning():
    assert spans("[[a]", ["xx["]) == (2, 3)


@pytest.mark.parametrize("text", ["xyz", "xyzz."])
def test_a_pattern_whose_captures_cpython_loses_is_refused_in_a_sentence(text):
    pattern = "((x)|y|z)++"
    try:
        want = re.search(pattern, text).span()
    except SystemError:  # up to CPython 3.12
        want = None
    for pieces in ([text], list(text)):
        if want:
            assert spans(pattern, pieces) == want
        else:
            with pytest.raises(UsageError, match="Python cannot follow the regular expression"):
                spans(pattern, pieces)
