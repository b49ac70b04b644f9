"""Objects out of text: the pitfalls at every cut, and generated documents in generated prose."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmstream.core.json.documents import BULK
from llmstream.core.json.fenced import FencedObjects
from llmstream.core.json.objects import Objects

from ...support.chunks import FEW, same
from .test_scanner import documents, dump, styles, values


def objects(chunks: list[str], fenced: bool = False, **options: object) -> list[object]:
    """The objects as text, the faults as (line, reason, text)."""
    core = (FencedObjects if fenced else Objects)(**options)
    results = [item for chunk in chunks for item in core.feed(chunk)] + core.close()
    return [item if isinstance(item, str) else (item.line, item.reason, item.text, item.kind) for item in results]


def whole_objects(text: str, **options: object) -> list[str]:
    return [item for item in same(lambda chunks: objects(chunks, **options), text) if isinstance(item, str)]


def faults(text: str, **options: object) -> list[int]:
    """The lines where something broke."""
    return [item[0] for item in same(lambda chunks: objects(chunks, **options), text) if isinstance(item, tuple)]


CASES = {
    # text: (objects, lines of faults)
    "": ([], []),
    "no json at all": ([], []),
    "\ufeff{}": (["{}"], []),
    'a {"a": 1} b': (['{"a":1}'], []),
    '{"a":1}{"b":2}': (['{"a":1}', '{"b":2}'], []),
    '{"a":1} {"b":2}, {"c":3}\n': (['{"a":1}', '{"b":2}', '{"c":3}'], []),
    '[{"a":1},\n {"b":[{"c":2}]}]': (['{"a":1}', '{"b":[{"c":2}]}'], []),
    '[[1] see {"a":1}]': (['{"a":1}'], []),
    '```json\n{"a":1}\n```': (['{"a":1}'], []),
    "use {x} or {y: 1}, {'z'} or {{n}}, { }": (["{}"], []),
    'a { that never closes and {"a": 1}': (['{"a":1}'], []),
    'it\'s 5" wide: {"a":"}"}, isn\'t it': (['{"a":"}"}'], []),
    '"{\\"a\\":1}" is quoted, {"a":"{\\"b\\":1}"} is not': (['{"a":"{\\"b\\":1}"}'], []),
    '{"a":"``` { [ \\" \\\\"}': (['{"a":"``` { [ \\" \\\\"}'], []),
    '{"a":1,"a":2,"b":-0,"c":1.10,"d":1E400}': (['{"a":1,"a":2,"b":-0,"c":1.10,"d":1E400}'], []),
    '{"id": 12345678901234567890}': (['{"id":12345678901234567890}'], []),
    '{"a":"\\ud800"} {"b":"\\ud83d\\ude00"}': (['{"a":"\\ud800"}', '{"b":"\\ud83d\\ude00"}'], []),
    '{"a":"x\u2028y\u0085z"}': (['{"a":"x\u2028y\u0085z"}'], []),
    '{\r\n\t"a" : [ 1 , 2 ]\r\n}': (['{"a":[1,2]}'], []),
    # Broken ones are skipped whole.
    '{"a": 1 1} {"b":2}': (['{"b":2}'], [1]),
    '{"a": {"x": 1}, oops, {"y": 2}} {"b":2}': (['{"b":2}'], [1]),
    '{"a": 1,} {"b":2}': (['{"b":2}'], [1]),
    '{"a": True} {"b":2}': (['{"b":2}'], [1]),
    '{"a": NaN, "x": {"y": 1}} {"b":2}': (['{"b":2}'], [1]),
    '{"a": 1 // {"c":1}\n} {"b":2}': (['{"b":2}'], [1]),
    '{"a": [1}, "c": {}} {"b":2}': (["{}", '{"b":2}'], [1]),
    '{"a": "l1\nl2}"} {"b":2}': (['{"b":2}'], [1]),
    '{"a": "\\x}"} {"b":2}': (['{"b":2}'], [1]),
    '{"a": "\udcff}"} {"b":2}': (['{"b":2}'], [1]),
    '{"a": some te\n{"a":1}': (['{"a":1}'], [1]),
    '{"a": "some te\n{"a":1}\n': (['{"a":1}'], [1]),
    'x\n{"a": 1,\n{"a": 2}': (['{"a":2}'], [2]),
    '{"a": {"b": {\n{"c": 3}': (['{"c":3}'], [1]),
    # Cut off: reported; what stands inside is not passed off.
    '{"a": [{"b": 1}, {"c"': ([], [1]),
    '{"a":1}\n{"a": "tex': (['{"a":1}'], [2]),
    '{"a": 1,': ([], [1]),
    '{"a":': ([], [1]),
    '{"a": "\\ud83d': ([], [1]),
    "{": ([], []),
    "{ \n ": ([], []),
    # Until a key has its colon, a brace is prose.
    'Write {"name" first. So: {"ok": 1}': (['{"ok":1}'], []),
    'sets {"a", "b"} and {"c" }, {"d": 1}': (['{"d":1}'], []),
    '{"a" 1} {"b":2}': (['{"b":2}'], []),
    'He typed {" and then {"ok": 1}.': (['{"ok":1}'], []),
    'Open with {"\nClose with "}. {"ok": 1}': (['{"ok":1}'], []),
    '{"a\\"{" {"ok": 1}': (['{"ok":1}'], []),
    '{"it is {} here" or so} {"ok": 1}': (["{}", '{"ok":1}'], []),
    '{ {"{  "{"ok": 1}': (['{"ok":1}'], []),
    '{"a \\x": 1} {"ok": 1}': (['{"ok":1}'], []),
    '{"key"\n\n{"ok": 1}': (['{"ok":1}'], []),
    '{"key"\n\n: 1 2}': ([], [1]),
    'as in {"name': ([], []),
    'as in {"name" ': ([], []),
    'as in {"{}': (["{}"], []),
    '{"a":1}\n{"b': (['{"a":1}'], [2]),
    '[{"a":1}, {"b"': (['{"a":1}'], [1]),
    # Behind a missing quote, a line goes on that begins as the broken object's did, or further left.
    '[\n  {"a": "x},\n  {"b": 1},\n  {"c": 2}\n]': (['{"b":1}', '{"c":2}'], [2]),
    '[\n\t{"a": "x},\n\t{"b": 1}\n]': (['{"b":1}'], [2]),
    '[{"a": "x},\n {"b": 1}]': (['{"b":1}'], [1]),
    '1. {"a": "x}\n2. {"b": 1}\n10. {"c": 1}': (['{"b":1}', '{"c":1}'], [1]),
    '  - {"a": "x}\n  - {"b": 1}\n* {"c": 1}': (['{"b":1}', '{"c":1}'], [1]),
    '> 1) {"a": "x}\n> 2) {"b": 1}': (['{"b":1}'], [1]),
    '    {"a": "x}\n  {"b": 1}': (['{"b":1}'], [1]),
    '  {"a": 1,\n  {"b": 1}': (['{"b":1}'], [1]),
    '- {"a": [1,\n- {"b": 1}': (['{"b":1}'], [1]),
    '  {"a": "x\\\n  {"b": 1}': (['{"b":1}'], [1]),
    '  {"a": 1, oops /\n  {"b": 1}': (['{"b":1}'], [1]),
    # A line further right is within the object.
    '{"a": [\n  {"b": "x},\n  {"c": 1}\n]}\n{"d": 1}': (['{"d":1}'], [1]),
    'So: {"a": [oops\n  {"c": 1}\n]} {"d": 1}': (['{"d":1}'], [1]),
    '  {"a": "x},\n    {"b": 1},\n  {"c": 2}': (['{"c":2}'], [1]),
    '  {"a": [oops\n   - {"b": 1}]} {"c": 2}': (['{"c":2}'], [1]),
}


@pytest.mark.parametrize("text", CASES)
def test_pitfalls(text):
    assert (whole_objects(text), faults(text)) == CASES[text]


@pytest.mark.parametrize("text", CASES)
def test_pitfalls_in_bulk(text):
    """Behind, and before, so much text that whole objects are guessed."""
    padding = [json.dumps({"n": i, "text": "x" * 20}) for i in range(2 * BULK // 20)]
    plain = "\n".join(padding) + "\n"
    here, broken = CASES[text]
    expected = [line.replace(": ", ":").replace(", ", ",") for line in padding]
    actual = objects([plain + text])
    assert [item for item in actual if isinstance(item, str)] == expected + here
    assert [item[0] - len(padding) for item in actual if isinstance(item, tuple)] == broken
    if not text or text[-1] in "]}`\n":
        actual = objects([text + "\n" + plain])
        assert [item for item in actual if isinstance(item, str)] == here + expected
        assert [item[0] for item in actual if isinstance(item, tuple)] == broken


FENCED = {
    # text: (objects, lines of faults)
    '{"a":1}\n```json\n{"b":1}\n```\n{"c":1}': (['{"b":1}'], []),
    '````\n```\n{"d":2}\n````\n{"e":1}': (['{"d":2}'], []),
    '~~~\n{"a":"```"}\n```\n{"b":1}\n~~~\n{"c":1}': (['{"a":"```"}', '{"b":1}'], []),
    '   ```\n{"a":1}\n    ```\n{"b":1}\n': (['{"a":1}', '{"b":1}'], []),
    '``` a`b\n{"a":1}\n': ([], []),
    'x ```\n{"a":1}\n': ([], []),
    '```\r\n{"a":1}\r\n```\r\n{"b":1}\r\n': (['{"a":1}'], []),
    '``\n{"a":1}\n``': ([], []),
    '```\n{"a":1}{"b":2} text {"c":3}\n```{"d":4}\n```\n': (['{"a":1}', '{"b":2}', '{"c":3}', '{"d":4}'], []),
    "```": ([], []),
    # In quotes and lists, whose marks are no part of the object.
    '> ```json\n> {"a":\n>   "b c"}\n> ```\n{"c":1}': (['{"a":"b c"}'], []),
    '- one:\n\n  - ```\n    {"a":\n    1}\n    ```\n  {"b":1}': (['{"a":1}'], []),
    '10. ```\n    {"a":1}\n{"b":1}\n': (['{"a":1}'], []),
    '> ```\n> {"a":\n{"b":1}\n': ([], [2]),
    # No object goes on behind its block.
    '```\n{"a":1,\n```\n"b":2}\n```\n{"c":1}\n```\n': (['{"c":1}'], [2]),
    'x\n\n```\n{"a" 1}\n```\n\ny\n~~~\n{"b":1}\n{"c":[\n~~~\n': (['{"b":1}'], [10]),
    '```\n{"a": some te\n```\n```\n"}{"b":1}\n```\n': (['{"b":1}'], [2]),
    '```\n{\n```\n```\n"a":1}\n```\n': ([], []),
    '\n\n```\n\n{"a":': ([], [5]),
}


@pytest.mark.parametrize("text", FENCED)
def test_fenced(text):
    assert (whole_objects(text, fenced=True), faults(text, fenced=True)) == FENCED[text]


def test_an_object_that_its_block_cuts_is_unfinished():
    actual = same(lambda chunks: objects(chunks, fenced=True, loose=True), '```\n{"a":1,\n```\n\n```\n\n{"b":')
    assert actual == [
        (2, "the block ends inside it", '{"a":1,\n', "unfinished"),
        (7, "the input ends inside it", '{"b":', "unfinished"),
    ]


def test_a_fault_in_a_block_has_its_line_in_the_text():
    actual = same(lambda chunks: objects(chunks, fenced=True), 'x\n```\n{"a":1,\n "b" 2}\n```\n')
    assert actual == [(3, "a colon is missing in line 4", "", "malformed")]


@pytest.mark.parametrize("mark", ["", "> ", "- "])
def test_an_object_in_a_block_is_out_at_its_brace(mark):
    core = FencedObjects()
    begun = f'{mark}```\n{mark.replace("-", " ")}{{"a":1'
    assert [item for c in begun for item in core.feed(c)] == []
    assert core.feed("}") == ['{"a":1}']


def test_the_bound_holds_in_a_block():
    text = '```\n{"a":"' + "x" * 22 + '"}\n```\n'
    assert len(whole_objects(text, fenced=True, limit=30)) == 1
    assert faults(text, fenced=True, limit=29) == [2]


@given(st.lists(st.tuples(st.dictionaries(st.text(), values), styles), min_size=1, max_size=5))
def test_every_object_of_a_block_comes_as_it_does_without_one(parts):
    sources = [dump(*part) for part in parts]
    plain = [json.loads(item) for item in objects(["\n".join(sources)])]
    text = "{}\n" + "".join(f"```json\n{source}\n```\n{{}}\n" for source in sources)
    actual = same(lambda chunks: objects(chunks, fenced=True), text, FEW)
    assert [json.loads(item) for item in actual] == plain


LOOSE = {
    "x {'a': 'b}', c: 1} y": "{'a': 'b}', c: 1}",
    "x {z: 3} y": "{z: 3}",
    "x { // why\n a: 1}": "{ // why\n a: 1}",
    '{"a": 1,} ': '{"a": 1,}',
    '{"a": "it\'s", b: \'"}\'}': '{"a": "it\'s", b: \'"}\'}',
    "{nope} {} {/}": None,
    "{'nope'} {1} {\u201cno\u201d} {# no\n} {/* no */}": None,
    '{"a" 1} {"b", "c"}': None,
    'x {"a" /* } */: 1} y': '{"a" /* } */: 1}',
    'x {1: "}"} y': '{1: "}"}',
    'x {\\"a\\": \\"b\\\\\\"}\\"} y': '{\\"a\\": \\"b\\\\\\"}\\"}',
    "x {\u201ca\u201d: \u201c}\u201d} y": "{\u201ca\u201d: \u201c}\u201d}",
    "x {, a: \u2018}\u2019} y": "{, a: \u2018}\u2019}",
    '{"a": 1, // it\'s } "\n "b": 2} y': '{"a": 1, // it\'s } "\n "b": 2}',
    '{"a": 1 # }\n} y': '{"a": 1 # }\n}',
    '{"a": 1 /* } \' " */, b: 2} y': '{"a": 1 /* } \' " */, b: 2}',
    "{a: http://x.y} y": "{a: http://x.y}",
    "{a: C#} y": "{a: C#}",
    "{\"a\": '}'} y": "{\"a\": '}'}",
}


@pytest.mark.parametrize("text", LOOSE)
def test_loose_objects_are_captured_for_repair(text):
    actual = [item[2] for item in same(lambda chunks: objects(chunks, loose=True), text) if isinstance(item, tuple)]
    assert actual == ([LOOSE[text]] if LOOSE[text] else [])


def test_the_bound_is_exact():
    for size, text in ((30, '{"a":"' + "x" * 22 + '"}'), (30, '{"a":[' + " " * 22 + "]}")):
        assert len(text) == size
        two = text + ' {"b":1}'
        assert len(whole_objects(two, limit=size)) == 2
        assert (whole_objects(two, limit=size - 1), faults(two, limit=size - 1)) == (['{"b":1}'], [1])


def test_the_bound_holds_in_bulk():
    text = '{"a":"' + "x" * 2 * BULK + '"}\n{"b":1}\n' + " " * BULK
    assert whole_objects(text, limit=BULK) == ['{"b":1}']


prose = st.text(alphabet="abc {}[]\"'\\`:,\n\t1-é\ud83d\U0001f600", max_size=30)
texts = st.lists(prose | st.tuples(st.dictionaries(st.text(), values), styles).map(lambda d: dump(*d)), max_size=8)


@given(texts.map("".join))
@example('{"\udcff":"\n{"')
def test_any_text_any_cut(text):
    same(lambda chunks: objects(chunks, loose=True), text, FEW)
    same(lambda chunks: objects(chunks, fenced=True, limit=40), text, FEW)
    actual = same(objects, text, FEW)
    for item in actual:
        if isinstance(item, str):
            json.loads(item)


@given(st.lists(st.tuples(st.dictionaries(st.text(), values), styles), min_size=1), st.sampled_from(["", "\n", ",\n"]))
def test_every_object_comes_with_its_own_text(parts, between):
    sources = [dump(*part) for part in parts]
    actual = objects([f"Here: [{between.join(sources)}] That was it.\n" + "x" * BULK])
    assert [json.loads(item) for item in actual] == [json.loads(source) for source in sources]
    if not any("\\u" in source for source in sources):
        assert actual == [json.dumps(json.loads(s), separators=(",", ":"), ensure_ascii=False) for s in sources]


@given(documents)
def test_bulk_and_single_steps_agree(value):
    text = json.dumps({"a": value}, indent=1) + "\n"
    assert objects([text + " " * BULK]) == objects(list(text))
