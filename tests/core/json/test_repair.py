"""Broken objects as valid JSON."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmstream.core.json.objects_filter import ObjectsFilter
from llmstream.core.json.repair import close_object, repair_object

from ...fuzz.repair import BREAKS, broken, pairs
from ...support.chunks import FEW, same
from .test_scanner import dump, styles, values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"', "{}"),
        ('{"a', "{}"),
        ('{"a"', "{}"),
        ('{"a":', "{}"),
        ('{"a": 1', "{}"),
        ('{"a": 1 ', '{"a":1}'),
        ('{"a": 1,', '{"a":1}'),
        ('{"a": 1, "b"', '{"a":1}'),
        ('{"a": tru', "{}"),
        ('{"a": true', '{"a":true}'),
        ('{"a": "te', '{"a":"te"}'),
        ('{"a": "', '{"a":""}'),
        ('{"a": "te\\', '{"a":"te"}'),
        ('{"a": "te\\\\', '{"a":"te\\\\"}'),
        ('{"a": "te\\u00e', '{"a":"te"}'),
        ('{"a": "te\\ud83d', '{"a":"te"}'),
        ('{"a": "te\\ud83d\\ude0', '{"a":"te"}'),
        ('{"a": "te\\ud83d\\ude00', '{"a":"te\\ud83d\\ude00"}'),
        ('{"a": "te\\\\ud83d', '{"a":"te\\\\ud83d"}'),
        ('{"a": [1, {"b": "}', '{"a":[1,{"b":"}"}]}'),
        ('{"a": [', '{"a":[]}'),
        ('{"a": [[1], 2', '{"a":[[1]]}'),
        ('{"a": {"b": 1}, ', '{"a":{"b":1}}'),
    ],
)
def test_closed(text, expected):
    assert close_object(text) == expected


def is_within(part: object, whole: object) -> bool:
    """Whether part is whole, less what came last."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(map(is_within, part, whole))
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    return part == whole


@given(st.dictionaries(st.text(), values, min_size=1), styles)
def test_each_start_of_an_object_can_be_closed(value, style):
    text = dump(value, style)
    value = json.loads(text)
    for end in range(2, len(text), len(text) // 50 + 1):
        if text[:end].strip(" \n") != "{":
            assert is_within(json.loads(close_object(text[:end])), value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "b": [1, 2,],}', '{"a":1,"b":[1,2]}'),
        ("{'a': 'it', b: None}", '{"a":"it","b":null}'),
        ('{"a": "é" // comment\n}', '{"a":"é"}'),
        ('{"a": {"b": [1', '{"a":{"b":[1]}}'),
        ("{a: NaN, b: -Infinity, c: [+Infinity,undefined]}", '{"a":null,"b":null,"c":[null,null]}'),
        ('{"a": 1, "b": tru', '{"a":1,"b":null}'),
        ('{"a": 1, "b": 1.', '{"a":1,"b":null}'),
        ('{"a": [N', '{"a":[null]}'),
        ("{a: true", '{"a":true}'),
        ("{a: yes", '{"a":"yes"}'),
        ("{a: 'x: NaN, y', b: \"[NaN]\", c: no NaN,}", '{"a":"x: NaN, y","b":"[NaN]","c":"no NaN"}'),
        ('{"a": "x: nu', '{"a":"x: nu"}'),
        ("{a: 'x: nu", '{"a":"x: nu"}'),
        ("", ""),
        ("{}", ""),
        ('{"a":' * 5000, '{"a":' * 4999 + "{}" + "}" * 4999),
        # Valid tokens come out as they came in.
        (
            r'{"u":"a:\/\/b","e":"\ud83d\ude00 \n","p":"C:\\d\\\"q",}',
            r'{"u":"a:\/\/b","e":"\ud83d\ude00 \n","p":"C:\\d\\\"q"}',
        ),
        (
            '{"a": 1.10, "b": 1e400, "c": -0, "a": 12345678901234567890,}',
            '{"a":1.10,"b":1e400,"c":-0,"a":12345678901234567890}',
        ),
        # Commas.
        (
            '{, "a": [,1,,2 3 "b""c" {}],, "d": 1 "e": True "f": {} g: 2}',
            '{"a":[1,2,3,"b","c",{}],"d":1,"e":true,"f":{},"g":2}',
        ),
        # Comments.
        ('{/* { " */ "a": 1, # }\n "b" /* : */ : /**/ [1 // ]\n, 2]}', '{"a":1,"b":[1,2]}'),
        ("{a: http://x.y/#z, b: C#, c: a/b}", '{"a":"http://x.y/#z","b":"C#","c":"a/b"}'),
        # Quotes and keys.
        ("{'it\\'s': 'it's \"so\"', \"b\": '\\x41\\n'}", r"""{"it's":"it's \"so\"","b":"\u0041\n"}"""),
        (
            '{\u201ca\u201d: \u201cx "y"\u201d, \u201eb\u201c: \u2018it\u2019s\u2019}',
            '{"a":"x \\"y\\"","b":"it\u2019s"}',
        ),
        (r'{\"a\": \"x \\\"y\\\" \\n\", \"b\": "\n"}', r'{"a":"x \"y\" \n","b":"\n"}'),
        (r"{\n  \"a\": 1\n}", '{"a":1}'),
        ('{1: "x", -2.5: 3, $a-b: 4, first name: 5, é: 6}', '{"1":"x","-2.5":3,"$a-b":4,"first name":5,"é":6}'),
        ('{"a": "he said "hi" there", "b": 1}', '{"a":"he said \\"hi\\" there","b":1}'),
        ('{"a": "C:\\dir\n\t\udcff"}', '{"a":"C:\\\\dir\\n\\t\ufffd"}'),
        # Words and numbers of other languages.
        ("{a: None, b: FALSE, c: -inf, d: nan}", '{"a":null,"b":false,"c":null,"d":null}'),
        (
            "{a: +1, b: .5, c: 5., d: 007, e: 3 apples, f: 12:30}",
            '{"a":1,"b":0.5,"c":5,"d":"007","e":"3 apples","f":"12:30"}',
        ),
        # Brackets.
        ('{"a": [1, {"b": 2}', '{"a":[1,{"b":2}]}'),
        ('{"a": [1}', '{"a":[1]}'),
        ('{"a": 1]}', '{"a":1}'),
        ('{"a": , "b":}', '{"a":null,"b":null}'),
        # The last resort guesses, but not about what is certain.
        ('{"a": "x, "b": "\\ud83d\\ude00 \\n"}', '{"a":"x","b":"\\ud83d\\ude00 \\n"}'),
    ],
)
def test_repaired(text, expected):
    assert repair_object(text) == expected


def mended(chunks: list[str]) -> list[str]:
    reports: list[object] = []
    core = ObjectsFilter(1 << 20, lambda fault, outcome: reports.append(outcome), repair=True)
    return [text for chunk in chunks for text in core.feed(chunk)] + list(core.close())


@settings(deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(sorted(BREAKS)))
def test_what_is_broken_in_one_way_is_mended(seed, name):
    text, meant = broken(random.Random(seed), name)
    (actual,) = same(mended, text, FEW)
    assert pairs(actual) == pairs(meant), text
