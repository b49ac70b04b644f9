"""Work grows with the input, whatever the input: counted in calls, which no other process disturbs."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from llmstream.core.json.extract import normalized_path
from llmstream.core.json.fenced import FencedObjects
from llmstream.core.json.fields import Fields
from llmstream.core.json.objects import Objects
from llmstream.core.json.objects_filter import ObjectsFilter
from llmstream.core.json.path import compile_path
from llmstream.core.json.repair import MAX_WORK, repair_object
from llmstream.core.markdown.code import Code
from llmstream.core.stop.conditions import from_mapping
from llmstream.core.stop.until import Until

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


def bytes_to(core: Until | Code) -> Callable[[str], object]:
    return lambda text: core.feed(text.encode())


def repairing() -> Callable[[str], object]:
    core = ObjectsFilter(1 << 26, lambda fault, outcome: None, repair=True)
    return lambda text: list(core.feed(text))


def until(name: str, value: object) -> Callable[[], Callable[[str], object]]:
    return lambda: bytes_to(Until(from_mapping({name: value})[0]))  # type: ignore[misc]


CORES = {
    "repair": repairing,
    "code": lambda: bytes_to(Code(every=True)),
    "until --json": until("json", True),
    "until --code-block": until("code_block", True),
    "until -F": until("fixed", '{"a":"{"a":"{"a":!'),
    "until -e": until("regex", '"[^"]*!'),
    "until --words": until("words", 10**9),
    "until --lines": until("lines", 10**9),
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


@pytest.mark.parametrize("size", [1, 4, 500])
def test_a_fixed_text_that_nearly_comes_is_no_more_work_a_character(size):
    def work(n: int) -> int:
        feed = until("fixed", "a" * n + "b")()
        return calls(feed, ["a" * size] * (20 * n // size)) // n

    assert work(2000) <= 1.1 * work(1000) + 2


def test_a_broken_object_is_repaired_in_one_pass():
    for shape in shapes(N):
        once, twice = ('{"a": 1 ' + shapes(n)[shape] for n in (N, 2 * N))
        work = [calls(repair_object, [text]) for text in (once, twice)]
        assert work[1] <= 2.2 * work[0] + 300 or len(once) * once.count('"') < 2 * MAX_WORK, shape


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
