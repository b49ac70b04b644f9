"""Broken objects as valid JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.json.repair import close_object, repair_object

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
        ('{"a": [N', '{"a":[null]}'),
        ("{a: true", '{"a":true}'),
        ("{a: yes", '{"a":"yes"}'),
        ("{a: 'x: NaN, y', b: \"[NaN]\", c: no NaN,}", '{"a":"x: NaN, y","b":"[NaN]","c":"no NaN"}'),
        ('{"a": "x: nu', '{"a":"x: nu"}'),
        ("{a: 'x: nu", '{"a":"x: nu"}'),
        ("", ""),
        ("{}", ""),
        ('{"a":' * 5000, ""),
    ],
)
def test_repaired(text, expected):
    assert repair_object(text) == expected
