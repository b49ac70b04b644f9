"""The fast path takes valid JSON only, and leaves all else to the scanner."""

from __future__ import annotations

import msgspec
import pytest

from llmstream.core.json.bulk import BulkObjects, BulkValues
from llmstream.core.json.extract import normalized_path
from llmstream.core.json.fields import Fields
from llmstream.core.json.path import compile_path

from .test_scanner import BROKEN, VALID


def is_decoded(bulk: BulkObjects, text: str) -> bool:
    return bulk.decode(text + "\n", 0, len(text) + 1)[0] > 0


@pytest.mark.parametrize("text", [text for text in BROKEN if text[0] == "{"])
def test_invalid_json_is_refused(text):
    wrapped = '{"z":' + text + "}"
    for candidate in (text, wrapped):
        assert not is_decoded(BulkObjects(), candidate)
        assert not is_decoded(BulkValues.of([("q",)], [0]), candidate)
        assert not is_decoded(BulkValues.of([("z",)], [0]), candidate)
        assert not is_decoded(BulkValues.of([("z", "q")], [0]), candidate)


@pytest.mark.parametrize("text", [text for text in VALID if text[0] == "{"])
def test_an_object_is_decoded_whole_or_not_at_all(text):
    bulk = BulkObjects()
    end, minified = bulk.decode(text + "\n", 0, len(text) + 1)
    assert (end, minified) in ((len(text), msgspec.json.format(text, indent=-1)), (0, None))


def test_a_failed_guess_is_not_made_twice():
    text = '{"a" 1} {"b":2}\n'
    attempts = []

    class Counting(BulkObjects):
        def _decode_object(self, text: str) -> object:
            attempts.append(text)
            return super()._decode_object(text)

    bulk = Counting()
    assert bulk.decode(text, 0, len(text)) == (0, None)
    assert bulk.decode(text, 8, len(text)) == (8, None)
    assert attempts == [text[:-1]]


@pytest.mark.parametrize("paths", [[()], [("a",), ("a", "b")], [("a", "b"), ("a",)], [("a",), ("a",)]])
def test_paths_through_another_path_have_no_fast_path(paths):
    assert BulkValues.of(paths, [0, 1]) is None


@pytest.mark.parametrize(
    ("text", "selections"),
    [
        ('{"b":{"c":[1, 2]},"a":"x"}', [(1, ("b", "c"), "[1,2]"), (0, ("a",), '"x"')]),
        ('{"a":null}', [(0, ("a",), "null")]),
        ('{"x":1}', []),
        ('{"b":1,"a":2}', None),  # not an object where the path goes on
        ('{"a":1,"a":2}', None),
        ('{"x":{"a":1},"a":2}', None),
        ('{"\\u0061":1,"a":2}', None),
        ('{"a":"\\u00e9"}', [(0, ("a",), '"\\u00e9"')]),
    ],
)
def test_values_at_names(text, selections):
    assert BulkValues.of([("a",), ("b", "c")], [0, 1]).decode(text + "\n", 0, len(text) + 1)[1] == selections


LINES = '{"a":{"b":1},"c":[1, 2]}\n{"x":0}\n{"c":"\\u00e9"}\n'
UNUSUAL = ['{"a":2,"a":3}', '{"x":{"c":1}}', '{"\\u0061":1}', '{"c":"c"}', "prose", "[1]", "", '{"a":1,}']
UNUSUAL += ['{"c":1}{"c":2}', '{"c":1}, {"c":2}', '12 {"a":1}', '{"a":[{"b":1}]}']


def test_lines_are_decoded_at_once():
    bulk = BulkValues.of([("c",)], [7])
    end, selections = bulk.decode_lines(LINES + '{"c":', 0, len(LINES) + 5)
    assert (end, selections) == (len(LINES) - 1, [(7, ("c",), "[1,2]"), (7, ("c",), '"\\u00e9"')])


@pytest.mark.parametrize("line", UNUSUAL)
@pytest.mark.parametrize("path", ["a", "c", "a.b", "x.c"])
def test_lines_agree_with_single_steps(line, path):
    text = LINES * 30 + line + "\n" + LINES * 30

    def selections(chunks: list[str]) -> list[object]:
        core = Fields([compile_path(path)])
        items = [item for chunk in chunks for item in core.feed(chunk)] + core.close()
        return [
            (item[0], normalized_path(item[1]), item[2]) if isinstance(item, tuple) else item.line for item in items
        ]

    assert selections([text]) == selections(list(text))
