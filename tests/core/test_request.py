"""Fields of the user merged into a body."""

from __future__ import annotations

import pytest

from llmstream.core.request import merge


@pytest.mark.parametrize(
    ("fields", "patch", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 3}}}, {"a": {"b": {"c": 3, "d": 2}}}),
        ({"a": {"b": 1}}, {"a": [2]}, {"a": [2]}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": {"b": None, "c": [None]}}, {"a": {"b": None, "c": [None]}}),
        # Objects of another type, whose fields would not fit together.
        ({"a": {"type": "x", "b": 1}}, {"a": {"type": "y", "c": 2}}, {"a": {"type": "y", "c": 2}}),
        ({"a": {"type": "x", "b": 1}}, {"a": {"type": "x", "c": 2}}, {"a": {"type": "x", "b": 1, "c": 2}}),
        ({"a": {"type": "x", "b": 1}}, {"a": {"c": 2}}, {"a": {"type": "x", "b": 1, "c": 2}}),
        ({"a": {"b": 1}}, {"a": {"type": "y"}}, {"a": {"type": "y"}}),
    ],
)
def test_objects_merge_and_null_removes(fields, patch, merged):
    before = repr(fields)
    assert merge(fields, patch) == merged
    assert repr(fields) == before
