"""The conditions against their plain definitions."""

from __future__ import annotations

import json
from json import JSONDecoder

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.commands import stop_options as stopping
from llmstream.core.stop.conditions import CONDITIONS, ROWS, UntilOptions, from_mapping
from llmstream.core.stop.counts import Characters, Fixed, Lines, Words
from llmstream.core.stop.json_value import JsonValue
from llmstream.errors import UsageError

from ...support.chunks import chunkings, cut

TEXTS = st.text("ab \n\u2028\u00a0é", max_size=40)
PLACES = st.lists(st.integers(0, 100), max_size=8)
NUMBERS = st.integers(1, 6)


def met(condition, pieces):
    """The span, and the offset at which the match was decided (None: at the end)."""
    end = 0
    for piece in pieces:
        span = condition.feed(piece)
        end += len(piece)
        if span:
            assert condition.decided_at() <= end
            return span, condition.decided_at()
        assert condition.start <= end
        assert condition.certain == end or (isinstance(condition, JsonValue) and condition.certain < end)
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


def fixed(needle):
    def find(text, n):
        at = -len(needle)
        for _ in range(n):
            at = text.find(needle, at + len(needle) if at >= 0 else 0)
            if at < 0:
                return None
        return at, at + len(needle)

    return find


def characters(text, n):
    return (n - 1, n) if len(text) >= n else None


def values(text, n):
    """What json itself finds of what counts; for texts whose only brackets are those of whole values."""
    end = 0
    while n:
        starts = [place for place in (text.find("{", end), text.find("[", end)) if place >= 0]
        if not starts:
            return None
        start = min(starts)
        value, end = JSONDecoder().raw_decode(text, start)
        line = text[text.rfind("\n", 0, start) + 1 : start] + text[end:].split("\n")[0]
        n -= isinstance(value, dict) or any(isinstance(item, dict | list) for item in value) or not line.strip()
    return start, end


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3))
DOCUMENTS = st.lists(VALUES, max_size=3) | st.dictionaries(st.text(), VALUES, max_size=3)


@given(st.lists(DOCUMENTS, max_size=4), st.text("a \n,\"'", max_size=6), PLACES, st.integers(1, 4))
def test_a_json_value_is_met_where_the_json_module_finds_it(documents, prose, places, n):
    text = prose + "".join(json.dumps(document) + prose for document in documents)
    assert met(JsonValue(n), cut(text, places))[0] == values(text, n)


@pytest.mark.parametrize("value", ['{"a": [1, 2, 3]}', "[1, 2, 3, 4, 5]", '["a long text"]'])
def test_a_json_value_that_is_too_long_is_noted(value):
    for pieces in chunkings(f"{value} \n"):
        enough, short = JsonValue(1, len(value)), JsonValue(1, len(value) - 1)
        assert (met(enough, pieces)[0], enough.note) == ((0, len(value)), "")
        note = f"ignored a JSON value longer than {len(value) - 1} characters"
        assert (met(short, pieces)[0], short.note) == (None, note)


def test_a_json_value_that_is_broken_is_not_too_long():
    condition = JsonValue(1)
    assert (met(condition, ['{"a": 1 1} [1, x] {"b"'])[0], condition.note) == (None, "")


def test_what_is_no_json_value_is_certain_at_once():
    condition = JsonValue(1)
    for text, held in [('a {"name', 0), (" of } it", 3), ('" x', 0), (" [1 x", 0), ("\n[1]", 0), (" ", 1), ("x", 0)]:
        assert condition.feed(text) is None
        assert condition._end - condition.certain == held, text


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("see [1], {} ", "{}"),
        ("- [ ] one\n- [x] two\n[3]\n", "[3]"),
        ("[1] and\n [2] \r\n", "[2]"),
        ("[1][2]\n[ ]", "[ ]"),
        ("so [[1]]", "[[1]]"),
        ('so [{"a":1}]', '[{"a":1}]'),
        ('["a", "[{"]x\n["b", "[{"]', '["b", "[{"]'),
        ("```json\n[\n  1,\n  2\n]\n```\n", "[\n  1,\n  2\n]"),
        ("x = [\n 1\n]\n", None),
        ("[1];\n[link](x)", None),
        ('{"x {} y" z}', "{}"),
        ('{"x {} y" z} {"a": 1}', "{}"),
        ('x {"x {}', "{}"),
        ('{"x {}', None),
        ('{"name" {"a": 1}', '{"a": 1}'),
    ],
)
def test_which_json_values_count(text, span):
    for pieces in chunkings(text):
        condition, ended = JsonValue(1), None
        for piece in pieces:
            before = condition.start, condition.certain
            if ended := condition.feed(piece):
                assert before[0] <= ended[0] and before[1] <= ended[1] <= condition.decided_at(), pieces
                break
        ended = ended or condition.close()
        assert (ended and text[slice(*ended)]) == span, pieces


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
def test_each_condition_is_met_where_its_definition_says(name, text, places, n):
    make, definition = DEFINITIONS[name]
    span, decided_at = met(make(n), cut(text, places))
    assert span == definition(text, n)
    if decided_at is not None:
        assert met(make(n), list(text)) == (span, decided_at)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_cut(name):
    make, definition = DEFINITIONS[name]
    text = "aab a\n\n aaba aab\nb"
    for n in range(1, 7):
        for pieces in chunkings(text):
            assert met(make(n), pieces)[0] == definition(text, n), (n, pieces)


@given(TEXTS, PLACES, st.sampled_from(("a", "aab", "ab\n", "aaaa")))
def test_the_start_of_a_fixed_text_is_where_it_may_have_begun(text, places, needle):
    condition, so_far = Fixed(needle, 1), ""
    for piece in cut(text, places):
        so_far += piece
        if condition.feed(piece):
            return
        sizes = [n for n in range(len(needle)) if so_far.endswith(needle[:n])]
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


# By name.


def test_each_option_has_its_name_and_its_type():
    assert list(UntilOptions.__annotations__) == list(ROWS)
    function = stopping.options()(lambda **values: None)
    assert list(ROWS) == [parameter.name for parameter in vars(function)["parameters"]]


@pytest.mark.parametrize(
    ("until", "kinds", "mode"),
    [
        ({}, [], "inclusive"),
        ({"lines": 3}, ["Lines"], "inclusive"),
        ({"regex": "a", "fixed": ["b", "c"], "exclusive": True}, ["Search", "Fixed", "Fixed"], "exclusive"),
        ({"fixed": "b", "ignore_case": True, "only": True, "exclusive": False}, ["Search"], "only"),
        ({"code_block": True, "json": False, "words": None, "idle": 1, "seconds": 0.5}, ["CodeBlock", "Timed", "Idle"],
         "inclusive"),
        ({"count": 2, "chars": 5, "bytes": 1, "window": 9}, ["Characters", "Bytes"], "inclusive"),
    ],
)  # fmt: skip
def test_conditions_by_name(until, kinds, mode):
    conditions, chosen = from_mapping(until)
    assert ([type(condition).__name__ for condition in conditions], chosen) == (kinds, mode)


def test_settings_hold_for_all_conditions():
    (lines, text), _ = from_mapping({"lines": 2, "fixed": "X", "count": 2, "ignore_case": True})
    assert lines.feed("x\nx")[1] == 3
    assert met(text, ["a\nb\nc\nd\n"])[0] == (6, 8)


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ({"line": 3}, "no such stop condition: line: did you mean lines?"),
        ({"code-block": True}, "no such stop condition: code-block: did you mean code_block?"),
        ({"zzz": True}, f"no such stop condition: zzz: the conditions are {', '.join(ROWS)}"),
        ({"lines": "3"}, 'lines must be a whole number of at least 1, not "3"'),
        ({"lines": 0}, "lines must be a whole number of at least 1, not 0"),
        ({"count": True}, "count must be a whole number of at least 1, not true"),
        ({"words": 1.5}, "words must be a whole number of at least 1, not 1.5"),
        ({"idle": float("nan")}, "idle must be a time such as 0.5, 10s or 1h30m, above 0, not NaN"),
        ({"seconds": 0}, "seconds must be a time such as 0.5, 10s or 1h30m, above 0, not 0"),
        ({"seconds": "1"}, 'seconds must be a time such as 0.5, 10s or 1h30m, above 0, not "1"'),
        ({"json": 1}, "json must be true or false, not 1"),
        ({"regex": [1]}, "regex must be a string or an array of strings, not [1]"),
        ({"fixed": {"a": 1}}, 'fixed must be a string or an array of strings, not {"a":1}'),
        ({"fixed": 5}, "fixed must be a string or an array of strings, not 5"),
        ({"fixed": ""}, "the empty text matches everywhere: give a text to wait for"),
        ({"lines": 1, "only": True, "exclusive": True}, "exclusive and only exclude each other: choose one"),
    ],
)
def test_an_invalid_name_or_value_is_refused(until, message):
    with pytest.raises(UsageError) as refused:
        from_mapping(until)
    assert str(refused.value) == message
