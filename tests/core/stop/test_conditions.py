"""The conditions against their plain definitions."""

from __future__ import annotations

import json
from json import JSONDecoder

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.stop.conditions import CONDITIONS
from llmstream.core.stop.counts import Characters, Fixed, Lines, Words
from llmstream.core.stop.json_value import JsonValue
from llmstream.errors import UsageError

from ...cuts import cut, cuttings

TEXTS = st.text("ab \n\u2028\u00a0é", max_size=40)
PLACES = st.lists(st.integers(0, 100), max_size=8)
NUMBERS = st.integers(1, 6)


def met(condition, pieces):
    """The span, and the offset at which it was known (None: at the end)."""
    end = 0
    for piece in pieces:
        span = condition.feed(piece)
        end += len(piece)
        if span:
            assert condition.moment() <= end
            return span, condition.moment()
        assert condition.start <= end
        assert condition.certain == end
    return condition.close(), None


def lines(text, n):
    parts = text.split("\n")
    whole = [line + "\n" for line in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
    if len(whole) < n:
        return None
    end = sum(map(len, whole[:n]))
    return end - len(whole[n - 1]), end


def words(text, n):
    at = -1
    for word in text.split()[:n]:
        at = text.index(word, max(at, 0))
        span = at, at + len(word)
        at = span[1]
    return span if len(text.split()) >= n else None


def fixed(wanted):
    def find(text, n):
        at = -len(wanted)
        for _ in range(n):
            at = text.find(wanted, at + len(wanted) if at >= 0 else 0)
            if at < 0:
                return None
        return at, at + len(wanted)

    return find


def characters(text, n):
    return (n - 1, n) if len(text) >= n else None


def values(text, n):
    """What json itself finds; for texts whose only brackets are those of whole values."""
    at = 0
    for _ in range(n):
        starts = [place for place in (text.find("{", at), text.find("[", at)) if place >= 0]
        if not starts:
            return None
        start = min(starts)
        at = JSONDecoder().raw_decode(text, start)[1]
    return start, at


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3))
DOCUMENTS = st.lists(VALUES, max_size=3) | st.dictionaries(st.text(), VALUES, max_size=3)


@given(st.lists(DOCUMENTS, max_size=4), st.text("a \n,\"'", max_size=6), PLACES, st.integers(1, 4))
def test_json_is_met_where_json_says(documents, prose, places, n):
    text = prose + "".join(json.dumps(document) + prose for document in documents)
    assert met(JsonValue(n), cut(text, places))[0] == values(text, n)


DEFINITIONS = {
    "lines": (Lines, lines),
    "words": (Words, words),
    "chars": (Characters, characters),
    "fixed a": (lambda n: Fixed("a", n), fixed("a")),
    "fixed aa": (lambda n: Fixed("aa", n), fixed("aa")),
    "fixed aab": (lambda n: Fixed("aab", n), fixed("aab")),
}


@pytest.mark.parametrize("name", DEFINITIONS)
@given(text=TEXTS, places=PLACES, n=NUMBERS)
def test_is_met_where_its_definition_says(name, text, places, n):
    make, definition = DEFINITIONS[name]
    span, moment = met(make(n), cut(text, places))
    assert span == definition(text, n)
    if moment is not None:
        assert met(make(n), list(text)) == (span, moment)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_cut(name):
    make, definition = DEFINITIONS[name]
    text = "aab a\n\n aaba aab\nb"
    for n in range(1, 7):
        for pieces in cuttings(text):
            assert met(make(n), pieces)[0] == definition(text, n), (n, pieces)


@given(TEXTS, PLACES, st.sampled_from(("a", "aab", "ab\n", "aaaa")))
def test_the_start_of_a_fixed_text_is_where_it_may_have_begun(text, places, wanted):
    condition, so_far = Fixed(wanted, 1), ""
    for piece in cut(text, places):
        so_far += piece
        if condition.feed(piece):
            return
        sizes = [n for n in range(len(wanted)) if so_far.endswith(wanted[:n])]
        assert condition.start == len(so_far) - max(sizes)


def test_an_endless_line_and_an_endless_word_take_no_memory():
    for condition in (Lines(2), Words(2), Fixed("needle", 1)):
        for _ in range(100):
            condition.feed("x" * 1000)
        assert all(len(value) < 10 for value in vars(condition).values() if isinstance(value, str))


def test_an_empty_fixed_text_is_refused():
    with pytest.raises(UsageError):
        Fixed("", 1)


def test_the_table_names_each_option_once():
    names = [row.name for row in CONDITIONS]
    assert len(set(names)) == len(names)
