"""The fast paths take valid JSON only, and leave all else to the scanner."""

from __future__ import annotations

import msgspec
import pytest

from llmstream.core.json.automaton import Automaton
from llmstream.core.json.bulk import Runs, Unproven, minified_objects
from llmstream.core.json.chain import Chain
from llmstream.core.json.extract import normalized_path
from llmstream.core.json.levels import Levels
from llmstream.core.json.path import compile_path

from .test_scanner import BROKEN, VALID

REFUSED = (msgspec.MsgspecError, ValueError, RecursionError, Unproven)


def levels(*paths: str, lines: bool = False) -> Levels:
    return Levels(Automaton([compile_path(path) for path in paths]), lines=lines)


def selected(run: str, *paths: str) -> list[tuple[int, str, str]]:
    return [(number, normalized_path(location), text) for number, location, text in levels(*paths).documents(run)]


@pytest.mark.parametrize("text", [text for text in BROKEN if text[0] == "{"])
def test_invalid_json_is_refused(text):
    for candidate in (text, '{"z":' + text + "}"):
        with pytest.raises(REFUSED):
            minified_objects(candidate)
        for path in ("q", "z", "z.q", "*", "z.*", "$..q", "*[?@.a]"):
            with pytest.raises(REFUSED):
                levels(path).documents(candidate)


@pytest.mark.parametrize("text", [text for text in VALID if text[0] == "{"])
def test_an_object_is_decoded_whole_or_not_at_all(text):
    stop, objects = Runs().take(text + "\n", 0, len(text) + 1, minified_objects, 10**6)
    assert (stop, objects) in ((len(text), [msgspec.json.format(text, indent=-1)]), (0, None))


class Attempts:
    """Decodes runs, and keeps them."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def __call__(self, run: str) -> list[str]:
        self.runs.append(run)
        return minified_objects(run)


def test_a_failed_guess_is_not_made_twice():
    text, attempts = '{"a" 1} {"b":2}\n', Attempts()
    runs = Runs()
    assert runs.take(text, 0, len(text), attempts, 99) == (0, None)
    assert runs.take(text, 8, len(text), attempts, 99) == (8, None)
    assert attempts.runs == [text[:-1]]


def test_behind_a_failed_run_runs_grow_again():
    good, bad = '{"a":1}\n', '{"a":}\n'
    text, attempts = bad + good * 7 + bad, Attempts()
    runs, i, count = Runs(), 0, 0
    while (i := text.find("{", i)) >= 0:
        i, objects = runs.take(text, i, len(text), attempts, 99)
        count += len(objects or ())
        i += objects is None
    assert count == 7
    assert [run.count("\n") + 1 for run in attempts.runs[:4]] == [9, 1, 1, 3]


@pytest.mark.parametrize(
    ("text", "expected_run"),
    [
        ('{"a":1}\n{"a":2}\n{"a"', ["{1}", "{2}"]),
        ('{"a":1},\n{"a":2}\n{"a"', ["{1}", "{2}"]),
        ('{"a":1}, {"a":2}, {"a":3', ["{1}", "{2}"]),
        ('{\n "a": 1\n}\n{\n "a": 2\n}\n{\n "a"', ["{1}", "{2}"]),
        ('{\n "a": 1\n},\n{\n "a": 2\n},\n{\n "a"', ["{1}", "{2}"]),
        ('{"a":1} {"b"', None),
    ],
)
def test_runs_of_objects(text, expected_run):
    expected = None if expected_run is None else [each.replace("{", '{"a":') for each in expected_run]
    assert Runs().take(text, 0, len(text), minified_objects, 99)[1] == expected


def test_a_run_has_no_more_than_the_limit():
    text = '{"a":1}\n' * 9
    assert Runs().take(text, 0, len(text), minified_objects, 20) == (15, ['{"a":1}'] * 2)
    assert Runs().take(text, 0, len(text), minified_objects, 6) == (0, None)
    assert Runs().take(text, 0, len(text), minified_objects, 99, one=True) == (7, ['{"a":1}'])


@pytest.mark.parametrize("text", ['"x {}"\n{"a":1}', '{"a":1} 2', '{"a":1}, [{"a":2}]', '{"a":[1\n2]}\n{"b":1}'])
def test_other_values_are_no_objects(text):
    with pytest.raises(REFUSED):
        minified_objects(text)


def test_values_are_minified_in_lines_and_across_lines():
    texts = ['{"a": "\\u00e9 é"}', '{"b": [1.10,\t-0 ], "a": 1E400}', '{"\x7f": 12345678901234567890123}']
    expected = ['{"a":"\\u00e9 é"}', '{"b":[1.10,-0],"a":1E400}', '{"\x7f":12345678901234567890123}']
    for between in ("\n", "\r\n", "\n\n", " ", ",\n"):
        assert minified_objects(between.join(texts)) == expected
    assert minified_objects("\n".join(texts).replace("{", "{\n")) == expected


def test_a_line_break_within_an_object():
    assert minified_objects('{"a":[{}\n,{}]}\n{"a":1}') == ['{"a":[{},{}]}', '{"a":1}']
    with pytest.raises(REFUSED):
        minified_objects('{"a":[{}\n{}]}')


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ('{"b":{"c":[1, 2]},"a":"x"}', [(1, "$['b']['c']", "[1,2]"), (0, "$['a']", '"x"')]),
        ('{"a":null}', [(0, "$['a']", "null")]),
        ('{"x":1}', []),
        ('{"b":1,"a":2}', [(0, "$['a']", "2")]),  # not an object where the path goes on
        ('{"x":{"a":1},"a":2}', [(0, "$['a']", "2")]),  # the name elsewhere
        ('{"x":"a","a":1.10}', [(0, "$['a']", "1.10")]),
        ('{"a":"\\u00e9"}', [(0, "$['a']", '"\\u00e9"')]),
        ('[1]\n{"a":1}', [(0, "$['a']", "1")]),
    ],
)
def test_values_at_names(text, matches):
    assert selected(text, "a", "b.c") == matches


def test_an_empty_name():
    assert selected('{"":1,"b":""}', "['']") == [(0, "$['']", "1")]


def lines(run: str, *paths: str) -> list[tuple[set[int], str]]:
    return [(values.paths, values.lines) for values in levels(*paths, lines=True).documents(run)]


@pytest.mark.parametrize(
    ("text", "paths", "expected"),
    [
        ('{"a":1}\n{"a":"x"}', ["a"], [({0}, '1\n"x"')]),
        ('{"a":1}', ["b"], []),
        ('{"b":1,"a":"x"}\n{"b":{ }}', ["a", "c", "b"], [({0, 2}, '1\n"x"\n{}')]),
        ('{"a":[1,\n2],"b":{"c":"{"}}', ["a", "b.c"], [({0, 1}, '[1,2]\n"{"')]),
        ('{"a":{"c":1},"b":{"c":2}}', ["['a','b'].c"], [({0}, "1\n2")]),
        ('{"a":{"b":{"a":"x"}}}', ["$..a"], [({0}, '"x"\n{"b":{"a":"x"}}')]),
        ('{"a":["x",2,"y"]}\n{"a":["x"]}', ["a[?@ == 'x']"], [({0}, '"x"\n"x"')]),
        ('{"a":{"b":[{"c":1},{"d":2},{"c":{"c": 3}}]}}', ["a.b[*].c"], [({0}, '1\n{"c":3}')]),
    ],
)
def test_values_as_lines(text, paths, expected):
    assert lines(text, *paths) == expected
    assert expected == [(values[0], "\n".join(match[2] for match in selected(text, *paths))) for values in expected]


AT = [(0, "x"), (1, "y")]


@pytest.mark.parametrize(
    ("steps", "text", "values"),
    [
        (
            ["b", None, "c"],
            '{"b":[{"c":1},{},{"c":null}]}\n{}',
            [((((0, "x"), "b"), 0), "1"), ((((0, "x"), "b"), 2), "null")],
        ),
        ([None, None], "[[1],[]] [[2,3]]", [(((0, "x"), 0), "1"), (((1, "y"), 0), "2"), (((1, "y"), 0), "3")]),
        (["a b", "é"], '{"a b":{"é":"è","x":{"y":1}}} {"z":2}', [(((0, "x"), "a b"), '"è"')]),
        (["a", "a"], '{"a":{"a":"\\u00e9"}} {}', [(((0, "x"), "a"), '"\\u00e9"')]),
    ],
)
def test_a_chain_has_the_values_at_its_end(steps, text, values):
    raws, locations = Chain(steps).values(text, AT)
    last = [location[1] for location in locations]
    assert [(location[0], bytes(raw).decode()) for raw, location in zip(raws, locations, strict=True)] == values
    assert all(key == steps[-1] if steps[-1] else isinstance(key, int) for key in last)
    assert list(map(bytes, Chain(steps).values(text, None)[0])) == list(map(bytes, raws))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":{"b":1,"b":2}}',
        '{"a":{"b":1},"a":{}}',
        '{"a":{"b":"b"}}',  # not proven to be no second name
        '{"a":{"\\u0062":1}}',
        '{"a":{"\\u0062":1,"b":2}}',
        '{"a":null}',
        '{"a":[]}',
        "1",
        '[{"a":{"b":1}}]',
    ],
)
def test_a_chain_leaves_what_it_cannot_prove(text):
    assert Chain(["a", "b"]).values(text, None) is None


@pytest.mark.parametrize(
    "text", ['{"a":{"b":tru}}', '{"a":{"b":1}', '{"a":{"b":1}}}', '{"a":{"x":01}}', '{"a" {"b":1}}']
)
def test_a_chain_refuses_invalid_json(text):
    with pytest.raises(msgspec.DecodeError):
        Chain(["a", "b"]).values(text, None)


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"\\u0061":1,"a":2}', '{"\\u0061":1}', '{"b":{"c":1,"c":2}}', "1"])
def test_what_cannot_be_proven(text):
    with pytest.raises(REFUSED):
        selected(text, "a", "b.c")


def test_inner_values_come_first():
    text = '{"a":{"a":{"b":[1,{"a":2}]}}}'
    at = ["$['a']['a']['b'][1]['a']", "$['a']['a']", "$['a']"]
    assert [match[1] for match in selected(text, "$..a")] == at


@pytest.mark.parametrize(
    "string", ['"\\n\\t\\b\\f\\r"', '"\\\\ \\""', '"\\u0041"', '"\\/"', '"\\\\u0041"', '"\x7f"', '"\x7f\\n"']
)
def test_escapes_come_out_as_they_went_in(string):
    text = f'{{"b":[{string},{{"a":{string}}}],"x":{{{string}:{{"a":[{string}]}}}}}}'
    assert [match[2] for match in selected(text, "$..a")] == [string, f"[{string}]"]


def test_what_escapes_and_marks_may_mean_is_left():
    with pytest.raises(Unproven):
        selected('{"b":["\\u0042","\x7f0"]}', "$..a")


def test_deep_documents_are_left_to_the_automaton():
    with pytest.raises(Unproven):
        selected('{"a":' * 70 + "1" + "}" * 70, "$..a")
    with pytest.raises(Unproven):
        selected("[" * 70 + "]" * 70, "$..a")


def test_elements_go_on_from_an_index():
    automaton = Automaton([compile_path("[2:4].a"), compile_path("[*].b")])
    matches, count = Levels(automaton).elements(automaton.root, (), 3, '{"a":1,"b":[ ]},{"a":2},{"b":3}')
    at = [(number, normalized_path(location), text) for number, location, text in matches]
    assert (at, count) == ([(0, "$[3]['a']", "1"), (1, "$[3]['b']", "[]"), (1, "$[5]['b']", "3")], 3)
