"""Work grows with the input, whatever the input: counted in calls, which no other process disturbs."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from llmstream.core.json.fields import Fields
from llmstream.core.json.objects import Objects
from llmstream.core.json.path import compile_path

from ..shapes import shapes

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


CORES = {
    "objects": lambda: Objects().feed,
    "loose": lambda: Objects(loose=True).feed,
    "fenced": lambda: Objects(fenced=True).feed,
    "fields a": lambda: Fields([compile_path("a")]).feed,
    "fields $..b": lambda: Fields([compile_path("$..b")]).feed,
}


@pytest.mark.parametrize("size", [1, 64, 65536])
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("shape", shapes(N))
def test_twice_the_input_is_twice_the_work(shape, core, size):
    once, twice = (shapes(n)[shape] for n in (N, 2 * N))
    work = [calls(CORES[core](), [text[i : i + size] for i in range(0, len(text), size)]) for text in (once, twice)]
    assert work[1] <= 2.2 * work[0] + 200
