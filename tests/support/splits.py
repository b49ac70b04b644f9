"""How a core is shown to be blind to chunk edges: the same input whole, by single steps, and cut once anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hypothesis import settings

ALL = 400  # inputs longer than this are cut at some places only
SOME = 20  # as many cuts for generated inputs: there are many of these

generated = settings(deadline=None, max_examples=100)  # what a busy machine does to one example says nothing


def splits(text: str | bytes, cuts: int) -> Iterator[list[str | bytes]]:
    """The ways to cut text that every case runs through."""
    yield [text]
    yield [text[i : i + 1] for i in range(len(text))]
    yield [text[i : i + 4] for i in range(0, len(text), 4)]
    step = max(1, -(-len(text) // cuts))
    for cut in range(1, len(text), step):
        yield [text[:cut], text[cut:]]


def same(run: Callable[[list], object], text: str | bytes, cuts: int = ALL) -> object:
    """What run(chunks) returns, for all ways to cut text; fails where they differ."""
    ways = splits(text, cuts)
    whole = run(next(ways))
    for chunks in ways:
        assert run(chunks) == whole, chunks
    return whole
