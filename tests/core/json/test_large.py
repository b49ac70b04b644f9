"""Texts long enough for the fast paths (runs, whole objects), also damaged: no cut changes the results."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.json.fields import Fields
from llmstream.core.json.objects import Objects
from llmstream.core.json.path import compile_path

from ...support.json_results import readable

PATHS = ["[*].a", "a", "..a", "[*][*].a", "[0].a", "[-1].a", "[*].b.a", "b[*].a", "[?@.a==1].pad", "*", "$"]


def fields(chunks: list[str], *paths: str, **options: object) -> list[object]:
    core = Fields([compile_path(path) for path in paths], **options)
    return readable([item for chunk in chunks for item in core.feed(chunk)] + core.close())


def objects(chunks: list[str], **options: object) -> list[object]:
    core = Objects(**options)
    return readable([item for chunk in chunks for item in core.feed(chunk)] + core.close())


def cut(text: str, random: Random) -> list[str]:
    """Text in pieces of random sizes, short and long ones."""
    pieces, i = [], 0
    while i < len(text):
        size = random.choice((1, 7, 150, 600, 2500))
        pieces.append(text[i : i + random.randint(1, size)])
        i += len(pieces[-1])
    return pieces


PAD = "p" * 200
ELEMENTS = ",\n".join(f'{{"a":{i},"pad":"{PAD}"}}' for i in range(5))
TAILS = {
    # what follows the elements: the kind of fault, if any
    ",\n": "unfinished",
    ",\n{": "unfinished",
    "": "unfinished",
    "}\n" + "x" * 600: "malformed",
    ",,\n": "malformed",
    ",{'a':1}]": "malformed",
    "]": None,
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("path", ["[*].a", "[*][*].a", "[*].b", "[?@.a==9]", "b"])
def test_an_array_of_objects_is_meant_to_be_json(path, tail):
    for before, depth in (("[", 1), ("[[", 2)):
        text = before + ELEMENTS + tail + "]" * (depth - 1) * (tail == "]")
        actual = fields([text], path)
        assert [item[1] for item in actual if item[1] in TAILS.values()] == ([TAILS[tail]] if TAILS[tail] else [])
        assert actual == fields(list(text), path)


@pytest.mark.parametrize("path", ["[*].a", "[*][*].a", "..a"])
def test_an_array_without_keys_is_not(path):
    for element in ("{ }", '"{"', '["{\\"a\\":"]', "[1,2]", "{}," + " " * 200 + "{}"):
        text = "[" + (element + ",\n") * 200 + "see below]"
        assert fields([text], path) == fields(list(text), path) == []
        text = "[" + text
        assert fields([text], path) == fields(list(text), path) == []


@pytest.mark.parametrize("limit", [99, 100, 101, 999, 5000])
@pytest.mark.parametrize("between", ["\n", " ", ", "])
def test_the_bound_on_a_value_holds_in_bulk(limit, between):
    text = between.join(f'{{"a":"{"v" * size}","b":{size}}}' for size in (97, 98, 99, 900, 5)) + "\n"
    for paths in (["a"], ["b", "a"]):
        actual = fields([text], *paths, limit=limit)
        assert actual == fields(list(text), *paths, limit=limit)
        assert any(item[1] == "malformed" for item in actual) == (limit < 902)


numbers = st.none() | st.integers()
records = st.lists(st.fixed_dictionaries({"a": numbers, "b": numbers, "pad": st.just("p" * 150)}), min_size=3)
scalars = st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["p" * 150, "{" * 130, '\\"}\n' * 60])
members = st.dictionaries(st.sampled_from(["a", "b", "pad", "class"]), scalars, max_size=4)
large = st.recursive(
    members | st.lists(scalars, min_size=30, max_size=90),
    lambda inner: (
        st.lists(inner, min_size=2, max_size=12) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, min_size=1)
    ),
    max_leaves=30,
)
styles = st.sampled_from([{"indent": 1}, {"separators": (",\n", ":")}, {"separators": (",", ":")}, {}])


def damaged(text: str, random: Random) -> str:
    """The text cut short, changed, or as it is; mostly damaged where a value ends, since there the fast paths stop."""
    way = random.randrange(4)
    ends = [i for i, c in enumerate(text) if c in "]},"]
    at = min(len(text) - 1, random.choice(ends) + random.randrange(3)) if way < 3 else random.randrange(len(text))
    if way == 0:
        return text[:at]
    if way in (1, 3):
        return text[:at] + random.choice('{}[],:"\\0x\n') + text[at + random.randrange(3) :]
    return text


@given(
    st.lists(records | large, min_size=1, max_size=3), styles, st.sampled_from(PATHS), st.randoms(use_true_random=False)
)
def test_no_cut_changes_the_results(values, style, path, random):
    text = "\n".join(damaged(json.dumps(value, **style), random) for value in values) + random.choice(["", "\n"])
    pieces = cut(text, random)
    for run in (lambda chunks: fields(chunks, path), objects):
        assert run([text]) == run(pieces) == run(list(text))
