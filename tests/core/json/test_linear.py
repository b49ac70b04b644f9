"""Work grows with the input, whatever the input: counted in calls, which no other process disturbs."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from llmstream.core.json.extract import normalized_path
from llmstream.core.json.fenced import FencedObjects
from llmstream.core.json.fields import Fields
from llmstream.core.json.objects import Objects
from llmstream.core.json.path import compile_path

from ...support.shapes import shapes

N = 6000


def calls(feed: Callable[[str], object], chunks: list[str]) -> int:
    """How many functions, in Python and in C, feeding the chunks calls."""
    count = 0

    def note(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        for chunk in chunks:
            feed(chunk)
    finally:
        sys.setprofile(None)
    return count


def in_a_block() -> Callable[[str], object]:
    core = FencedObjects()
    core.feed("~~~\n")
    return core.feed


CORES = {
    "objects": lambda: Objects().feed,
    "loose": lambda: Objects(loose=True).feed,
    "fenced": lambda: FencedObjects().feed,
    "in a block": in_a_block,
    "fields a": lambda: Fields([compile_path("a")]).feed,
    "fields $..b": lambda: Fields([compile_path("$..b")]).feed,
}


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 64, 65536])
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("shape", shapes(N))
def test_twice_the_input_is_twice_the_work(shape, core, size):
    once, twice = (shapes(n)[shape] for n in (N, 2 * N))
    work = [calls(CORES[core](), [text[i : i + size] for i in range(0, len(text), size)]) for text in (once, twice)]
    assert work[1] <= 2.2 * work[0] + 200


def test_a_match_costs_the_same_at_any_depth():
    """What many matches in a deep document hold: their locations share what is above."""
    depth = 3000
    core = Fields([compile_path("$..a")])
    matches = core.feed('{"a":1,"b":' * depth + "[" * depth + '{"a":2')
    sizes: dict[int, int] = {}
    for match in matches:
        at = match[1]
        while at and id(at) not in sizes:
            sizes[id(at)] = len(at)
            at = at[0] if isinstance(at[0], tuple) else ()
    assert (len(matches), sum(sizes.values()) <= 6 * depth) == (depth, True)
    assert normalized_path(matches[2][1]) == "$['b']['b']['a']"
    assert normalized_path(core.feed("}")[0][1]) == "$" + "['b']" * depth + "[0]" * depth + "['a']"
