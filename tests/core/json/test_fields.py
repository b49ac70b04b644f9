"""Fields out of text: the pitfalls at every cut, and the library as judge."""

from __future__ import annotations

import json
from collections import Counter

import jsonpath_rfc9535
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.json.documents import Fault
from llmstream.core.json.extract import normalized_path
from llmstream.core.json.fields import Fields, plain_lines, plain_text
from llmstream.core.json.path import compile_path, with_root
from llmstream.core.json.strings import Unescaper, unescape
from llmstream.errors import UsageError

from ...support.chunks import FEW, same
from .test_scanner import documents, dump, values


def fields(chunks: list[str], *paths: str, **options: object) -> list[object]:
    """The results in order: (path, value) for a match, its line for a fault, the text of a followed string."""
    core = Fields([compile_path(path) for path in paths], **options)
    results, unescaper = [], Unescaper()
    for item in [item for chunk in chunks for item in core.feed(chunk)] + core.close():
        if isinstance(item, tuple):
            results.append((normalized_path(item[1]), item[2]))
        elif isinstance(item, Fault):
            results.append(item.line)
        else:
            text = unescaper.feed(item.text) + (unescaper.close() + "|" if item.ends else "")
            if results and isinstance(results[-1], str):
                text = results.pop() + text
            results.append(text)
    return results


def every_cut(text: str, *paths: str, **options: object) -> list[object]:
    return same(lambda chunks: fields(chunks, *paths, **options), text)


def bag(pairs: list[tuple[str, object]]) -> Counter:
    return Counter((path, json.dumps(value, sort_keys=True)) for path, value in pairs)


@pytest.mark.parametrize(
    "short",
    ["title", "meta.score", "items[*].name", ".a", "[0]", "a..b", "_x9", "a[0][1].*", "['a'].b", "ключ", "[?@.a]"],
)
def test_short_paths(short):
    text = with_root(short)
    jsonpath_rfc9535.compile(text)
    assert text.startswith("$")
    assert repr_of(compile_path(short)) == repr_of(compile_path(text))


def repr_of(path: object) -> list:
    return [
        (s.descends, s.names, s.wilds, s.indices, s.slices, s.from_end, [f.text for f in s.filters])
        for s in path.segments
    ]


@pytest.mark.parametrize(
    "path", ["", " a", "a ", "a b", "a.", "$a", "a[", "1", "a[01]", "a[-0]", "a.1", "a'b'", "..", "-"]
)
def test_invalid_short_paths(path):
    with pytest.raises(UsageError):
        compile_path(path)


BOOK = '{"title": "A \\"B\\"\\n", "meta": {"score": 1.10, "n": -0}, "items": [{"name": "x"}, {"name": "y", "p": 5}]}'

CASES = [
    # text, paths, matches in their order
    (BOOK, ["title"], [("$['title']", '"A \\"B\\"\\n"')]),
    (BOOK, ["meta.score", "title"], [("$['title']", '"A \\"B\\"\\n"'), ("$['meta']['score']", "1.10")]),
    (BOOK, ["items[*].name"], [("$['items'][0]['name']", '"x"'), ("$['items'][1]['name']", '"y"')]),
    (BOOK, ["items[-1].name"], [("$['items'][1]['name']", '"y"')]),
    (BOOK, ["items[?@.p > 3].name"], [("$['items'][1]['name']", '"y"')]),
    (BOOK, ["items[0]"], [("$['items'][0]", '{"name":"x"}')]),
    (BOOK, ["$.items[?$.meta.n == 0].p"], [("$['items'][1]['p']", "5")]),
    (BOOK, ["meta.*"], [("$['meta']['score']", "1.10"), ("$['meta']['n']", "-0")]),
    (BOOK, ["nothing"], []),
    (f"Sure!\n```json\n{BOOK}\n```\nand [1] {{that}} {BOOK}", ["meta.n"], [("$['meta']['n']", "-0")] * 2),
    ('{"a":1}{"a":2} {"a":{}}', ["a"], [("$['a']", "1"), ("$['a']", "2"), ("$['a']", "{}")]),
    ('{"a":1,"a":2,"\\u0061":3}', ["a"], [("$['a']", "1"), ("$['a']", "2"), ("$['a']", "3")]),
    ('{"a":[1,2]}', ["a[0,0]"], [("$['a'][0]", "1")] * 2),
    (
        '{"a":{"a":{"a":1}}}',
        ["$..a"],
        [("$['a']['a']['a']", "1"), ("$['a']['a']", '{"a":1}'), ("$['a']", '{"a":{"a":1}}')],
    ),
    ('{"a":1E400,"b":12345678901234567890}', ["*"], [("$['a']", "1E400"), ("$['b']", "12345678901234567890")]),
    ('{"a":"\\ud83d\\ude00\\ud800"}', ["a"], [("$['a']", '"\\ud83d\\ude00\\ud800"')]),
    ("12", ["$"], [("$", "12")]),
    ('12\n"x"\n no 13\n{"a":1} 14\n true \r\n', ["$"], [("$", "12"), ("$", '"x"'), ("$", '{"a":1}'), ("$", "true")]),
    ("[1, 2]", ["$[1]"], [("$[1]", "2")]),
    ('[link](x) [1] [see {"a":1}]', ["a"], [("$['a']", "1")]),
    # Broken documents: what was complete has come.
    ('{"a":1 "b":2} {"b":3}', ["a", "b"], [("$['a']", "1"), 1, ("$['b']", "3")]),
    ('{"a":1.5.5} {"a":2}', ["a"], [1, ("$['a']", "2")]),
    ('{"a":truex} {"a":2}', ["a"], [("$['a']", "true"), 1, ("$['a']", "2")]),
    ('{"a":12', ["a"], [1]),
    ('{"a":"x","b":"y', ["*"], [("$['a']", '"x"'), 1]),
    ('{"a":"\udcff"}\n{"a":"b"}', ["a"], [1, ("$['a']", '"b"')]),
    ('[{"a":1},{"a":]\n{"a":2}', ["[*].a", "a"], [("$[0]['a']", "1"), 1, ("$['a']", "2")]),
]


@pytest.mark.parametrize(("text", "paths", "expected"), CASES)
def test_pitfalls(text, paths, expected):
    assert every_cut(text, *paths) == expected
    padding = json.dumps({"pad": ["x" * 30] * 30}) + "\n"
    if text[-1] not in "2y":
        actual = fields([padding * 3 + text + "\n" + padding * 3], *paths)
        assert [m for m in actual if not isinstance(m, tuple) or "pad" not in m[0] + m[1]] == [
            m + 3 if isinstance(m, int) else m for m in expected
        ]


FOLLOWED = [
    ('x {"a":"one \\"two\\"\\n","b":"no"}', 'one "two"\n|'),
    ('{"a":"\\ud83d\\ude00 \\ud83d \\ude00\\ud83d\\ud83d\\ude00"}', "\U0001f600 \ud83d \ude00\ud83d\U0001f600|"),
    ('{"a":"\\\\ud83d\\\\"}', "\\ud83d\\|"),
    ('{"a":""} {"a":"é☺\\u00e9"}', "|é☺é|"),
    ('{"b":{"a":"no"},"a":"cut', "cut"),
    ('{"a":"cut\\u00', "cut"),
    ('{"a":"cut\\x"}', "cut"),
    ('{"a":"cut\n"}', "cut"),
]


@pytest.mark.parametrize(("text", "expected"), FOLLOWED)
def test_follow(text, expected):
    actual = every_cut(text, "a", follow=True)
    assert "".join(item for item in actual if isinstance(item, str)) == expected
    assert [item for item in actual if isinstance(item, int)] == ([] if expected.endswith("|") else [1])


def test_a_followed_string_comes_with_each_character():
    core = Fields([compile_path("a")], follow=True)
    core.feed('{"a":"')
    assert [core.feed(c)[0].text for c in "wörd"] == list("wörd")


def test_a_followed_value_of_another_type_comes_whole():
    assert every_cut('{"a":[1, 2],"b":"x"}', "a", follow=True) == [("$['a']", "[1,2]")]


MOMENTS = [
    ("a", '{"a":"x"', ","),
    ("a", '{"a":12', ","),
    ("a", '{"a":true', ","),
    ("a", '{"a":{"b":1}', ","),
    ("a[*]", '{"a":[{"b":1}', ","),
    ("a[?@.b==1].b", '{"a":[{"b":1}', ","),
    ("a[-1]", '{"a":[1,2]', ","),
    ("$", "12", "\n"),
]


@pytest.mark.parametrize(("path", "text", "after"), MOMENTS)
def test_the_moment(path, text, after):
    """A value is out with its last character; a number with the one behind it."""
    core = Fields([compile_path(path)])
    *start, last = text
    assert [item for c in start for item in core.feed(c)] == []
    results = core.feed(last)
    if last.isdigit():
        assert results == []
        results = core.feed(after)
    assert len(results) == 1


def test_the_bound_is_exact():
    text = '{"x":{"y":[' + ",".join(["1"] * 50) + '],"a":"' + "v" * 18 + '"}} {"a":"b"}'
    assert every_cut(text, "$..a", limit=20) == [("$['x']['a']", '"' + "v" * 18 + '"'), ("$['a']", '"b"')]
    assert every_cut(text, "$..a", limit=19) == [1, ("$['a']", '"b"')]


@pytest.mark.slow
@pytest.mark.parametrize("opening", ["[", '[{"a":', '{"a":'])
def test_open_brackets_are_bounded(opening):
    """Depth is memory: it does not follow the stream."""
    core = Fields([compile_path("[0].b")])
    results = []
    for _ in range(16):
        results += core.feed(opening * 50_000)
        assert len(core.scanner.stack) <= 200_000
    reasons = [item.reason[:26] for item in results + core.close()]
    assert reasons[:1] == ["it is nested deeper than 2"] * (opening != "[")


def test_keys_and_numbers_are_bounded():
    for text in ('{"' + "k" * 99 + '":1}', '{"k":' + "1" * 99 + "}"):
        core = Fields([compile_path("a")], limit=50)
        assert any(isinstance(item, Fault) for c in text for item in core.feed(c))


def test_depth_is_data():
    depth = 100_000
    text = '{"a":' * depth + "1" + "}" * depth
    assert len(fields([text], "b")) == 0
    assert fields([text], "a.a.a.b") == []
    deep = '[{"a":' + "[" * 20_000 + "]" * 20_000 + '},{"a":1}]'
    assert fields([deep], "$[?@.a == 1].a") == [1, ("$[1]['a']", "1")]
    for levels in (290, 310, 900):
        deep = "[[" + "[" * levels + "]" * levels + '],{"a":1}]'
        assert fields([deep], "$[?@..a].a")[-1] == ("$[1]['a']", "1")


PATHS = [
    "$",
    "$.*",
    "$..*",
    "$[*].a",
    "$..a",
    "$[0]",
    "$[-1]",
    "$[1:]",
    "$[::-1]",
    "$[?@.a]",
    "$..[?@ == 1]",
    "$.a",
    "$.a.b",
]
PATHS += ["$..[?@.a]..b", "$[?@[0]][1:3]", "$..[-1].a", "$[?@.a == $.b]", "$['a','a']", "$..a..b"]
small = st.recursive(
    st.sampled_from([None, True, 1, 2.5, "x", 'é"\\']),
    lambda v: st.lists(v, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c"]), v, max_size=3),
    max_leaves=25,
)


@given(st.lists(small) | st.dictionaries(st.sampled_from(["a", "b", "é"]), small), st.sampled_from(PATHS))
def test_the_library_agrees(value, path):
    nodes = jsonpath_rfc9535.find(path, value)
    actual = same(lambda chunks: fields(chunks, path), json.dumps(value), FEW)
    assert bag([(at, json.loads(text)) for at, text in actual]) == bag([(node.path(), node.value) for node in nodes])


@given(st.text(alphabet="ab{}[]\"':,\n1 -.te\\u0061é", max_size=60), st.sampled_from(PATHS))
def test_any_text_any_cut(text, path):
    same(lambda chunks: fields(chunks, path), text, FEW)
    same(lambda chunks: fields(chunks, path, limit=5, follow=True), text, FEW)


@given(st.dictionaries(st.sampled_from(["a", "b", "class", "é"]), values | st.dictionaries(st.just("b"), values)))
def test_bulk_and_single_steps_agree(value):
    text = dump(value, {}) + "\n" + "x" * 600
    for paths in (["a"], ["a.b", "class"], ["b", "a"]):
        assert fields([text], *paths) == fields(list(text), *paths)


@given(documents)
def test_strings_are_unescaped_as_json_does(value):
    for text in (json.dumps(json.dumps(value)), json.dumps(json.dumps(value), ensure_ascii=False)):
        body = text[1:-1]
        assert unescape(body) == json.loads(text)
        unescaper = Unescaper()
        assert "".join(map(unescaper.feed, body)) + unescaper.close() == json.loads(text)


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("paths", "text", "reason"),
    [
        (["$..*..*..*"], "[" * 1000 + "]" * 1000, "a value in it is selected more than 10000 times"),
        (["$..*"], "[" * 1000 + "]" * 1000, "selected values within each other have more than"),
        (
            ["$..*"],
            '{"a":' * 1000 + "1" + "}" * 1000,
            "selected values within each other have more than",
        ),
        (["$..[?@.b]", "$..[-1]"], '{"a":' * 900 + '{"b":1}' + "}" * 900, "selected values within each other"),
    ],
)
def test_values_within_each_other_are_bounded_and_reported_once(paths, text, reason, size):
    core = Fields([compile_path(path) for path in paths], 100_000)
    text += '\n{"z":[7]}\n'
    items = [item for i in range(0, len(text), size) for item in core.feed(text[i : i + size])] + core.close()
    faults = [item for item in items if isinstance(item, Fault)]
    assert [(fault.line, fault.reason[: len(reason)], fault.kind) for fault in faults] == [(1, reason, "unevaluated")]
    behind = items[items.index(faults[0]) + 1 :]
    assert [item[2] for item in behind] == ({"$..*": ["7", "[7]"], "$..*..*..*": []}).get(paths[0], ["7"])


@pytest.mark.parametrize(
    "texts",
    [
        ["1", "null", "-0"],
        ['"x"', '""', "1"],
        ['"\\"\\u00e9"', '"x"'],
        ['{"a":"x"}', '["x"]', '"y"'],
        ['"{"', '"]"', '"\u2028"'],
    ],
)
def test_the_plain_texts_of_lines(texts):
    assert plain_lines("\n".join(texts)) == "\n".join(map(plain_text, texts))


def test_filters_behind_filters_are_bounded_in_their_work():
    core = Fields([compile_path("$..[?@.a]..[?@.a]..[?@.a].b")], 1 << 26)
    items = core.feed('{"a":' * 300 + "1" + "}" * 300 + '\n{"b":{"a":{"a":{"a":1,"b":2}}}}\n') + core.close()
    fault, *behind = items
    assert isinstance(fault, Fault) and fault.reason.startswith("filters after filters select too many")
    assert [item[2] for item in behind] == ["2"]
