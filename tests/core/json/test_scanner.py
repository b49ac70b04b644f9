"""The grammar: what Python's json accepts, less its extensions, cut anywhere."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.json.grammar import minify
from llmstream.core.json.scanner import MAX_DEPTH, RUN, Scanner

from ...support.chunks import FEW, same


def scan(chunks: list[str]) -> tuple[str, int]:
    """(verdict, characters accepted)."""
    scanner, accepted = Scanner(), 0
    for chunk in chunks:
        i = scanner.feed(chunk, 0, len(chunk))
        accepted += i
        if scanner.error:
            return scanner.error, accepted
        if scanner.done:
            return "done", accepted
    return "more", accepted


def refuse(constant: str) -> None:
    raise ValueError(constant)


def is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


VALID = [
    "{}",
    "[]",
    "[ ]",
    "{ }",
    "[[],{},[{}]]",
    '{"a":1,"b":[true,false,null],"c":{"d":"e"}}',
    '{ "a" : -0 , "b" : 1.10 , "a" : 1E400, "n": -12.5e-3 }',
    '["\\u0041\\ud83d\\ude00\\ud800", "\\"\\\\\\/\\b\\f\\n\\r\\t"]',
    '["é☺\U0001f600\u2028\x7f\x85"]',
    '["}]{[", "```", "{\\"a\\": 1}"]',
    '{"": [12345678901234567890, 0.1, 1e5]}',
    '{\n  "a": [\n    1\n  ],\r\n\t"b": {}\n}',
]


@pytest.mark.parametrize("text", VALID)
def test_a_value_ends_at_its_bracket_however_it_is_cut(text):
    assert same(scan, text) == ("done", len(text))
    assert same(scan, text + ' }]",{') == ("done", len(text))
    for cut in range(1, len(text)):
        assert scan([text[:cut]]) == ("more", cut)


BROKEN = {
    "{'a':1}": 1,
    "{a:1}": 1,
    '{"a" 1}': 5,
    '{"a":1 "b":2}': 7,
    '{"a":1,}': 7,
    "[1,]": 3,
    "[1 2]": 3,
    '{"a":[1,2}': 9,
    '[{"a":1]': 7,
    '{"a":01}': 7,
    '{"a":1.}': 7,
    '{"a":.5}': 5,
    '{"a":+1}': 5,
    '{"a":-}': 6,
    '{"a":1e}': 7,
    '{"a":1.2.3}': 10,
    '{"a":NaN}': 5,
    '{"a":Infinity}': 5,
    '{"a":True}': 5,
    '{"a":trux}': 8,
    '{"a":truex}': 9,
    '{"a":nul}': 8,
    '{"a":"\\x"}': 7,
    '{"a":"\\u12g4"}': 10,
    '{"a":"\n"}': 6,
    '{"a":"\t"}': 6,
    '{"a":"\x00"}': 6,
    '{"a":"\udcff"}': 6,
    '{"\udcff":1}': 2,
    '{"a":1}'.replace("1", "\x0b1"): 5,
    '{"a":1 // c\n}': 7,
    "{,}": 1,
    "[,]": 1,
    '{"a"}': 4,
    '{"a":}': 5,
    "{1:2}": 1,
    '{"a":\xa01}': 5,
    "{\x00": 1,
}


@pytest.mark.parametrize("text", BROKEN)
def test_invalid_json_breaks_at_the_same_character_however_it_is_cut(text):
    verdict, accepted = same(scan, text)
    assert (accepted, verdict in ("done", "more")) == (BROKEN[text], False)


@pytest.mark.parametrize("text", BROKEN)
def test_it_breaks_behind_a_run_as_well(text):
    """The patterns that take many members at once must stop where the states do."""
    lead = "[" + '{"k":"v","n":[1,{"x":2}]},' * 20
    verdict, accepted = same(scan, lead + text + "," + "1," * RUN + "1]")
    assert (accepted - len(lead), verdict in ("done", "more")) == (BROKEN[text], False)


@pytest.mark.slow
def test_depth_is_data():
    depth = 100_000
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        text = opening * depth + "1" + closing * depth
        assert scan([text]) == ("done", len(text))
        assert scan([text[i : i + 7] for i in range(0, len(text), 7)]) == ("done", len(text))


@pytest.mark.slow
def test_depth_is_bounded():
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        text = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH
        assert scan([text]) == ("done", len(text))
        broken = f"it is nested deeper than {MAX_DEPTH}", len(opening) * MAX_DEPTH
        assert scan([opening * MAX_DEPTH * 3]) == scan([opening * MAX_DEPTH, opening]) == broken


def test_long_numbers_are_kept_whole():
    number = "1" * 5000
    assert same(scan, f'{{"a":{number}}}') == ("done", 5006)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=6) | st.dictionaries(st.text(), children, max_size=6),
    max_leaves=40,
)
documents = st.lists(values) | st.dictionaries(st.text(), values)
styles = st.sampled_from([{"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}, {}])


def dump(value: object, style: dict) -> str:
    """The value as JSON text that UTF-8 can carry."""
    text = json.dumps(value, **style)
    lone = any("\ud800" <= c <= "\udfff" for c in text)
    return json.dumps(value) if lone else text


@given(documents, styles, st.randoms(use_true_random=False))
def test_generated_documents(value, style, random):
    text = dump(value, style)
    assert same(scan, text, FEW) == ("done", len(text))
    damaged = list(text)
    damaged[random.randrange(len(text))] = random.choice('{}[],:"\\01.e-tn x')
    damaged = "".join(damaged)
    verdict, accepted = same(scan, damaged, FEW)
    assert (verdict == "done") == is_json(damaged[:accepted])
    if is_json(damaged) and damaged.strip()[0] in "[{":
        assert verdict == "done"


@given(documents, styles)
def test_minify_takes_white_space_only(value, style):
    text = json.dumps(value, **style)
    assert minify(text) == json.dumps(value, separators=(",", ":"), ensure_ascii=style.get("ensure_ascii", True))
