"""The ways in which a stream may arrive in chunks, for proofs that a core does not depend on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeVar

Stream = TypeVar("Stream", str, bytes)

ALL = 400  # an input that is longer than this is cut in two at this many places only
FEW = 20  # the same for generated inputs, as there are many of these
limit: int | None = None  # of the cuts of any input: set where slow tests are left out


def chunkings(stream: Stream, cuts: int | None = None) -> Iterator[list[Stream]]:
    """Yields the stream whole, by ones, by fours, and cut in two at every place, or at about `cuts` places."""
    yield [stream]
    yield [stream[i : i + 1] for i in range(len(stream))]
    yield [stream[i : i + 4] for i in range(0, len(stream), 4)]
    cuts = min(filter(None, (cuts, limit)), default=len(stream))
    step = max(1, -(-len(stream) // max(1, cuts)))
    for place in range(1, len(stream), step):
        yield [stream[:place], stream[place:]]


def cut(stream: Stream, places: list[int]) -> list[Stream]:
    """Cuts at the places, which may be any numbers; a place that comes twice makes an empty chunk."""
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def same(run: Callable[[list], object], stream: str | bytes, cuts: int = ALL) -> object:
    """Returns run(chunks), which has to be the same for each of `chunkings`."""
    ways = chunkings(stream, cuts)
    whole = run(next(ways))
    for chunks in ways:
        assert run(chunks) == whole, chunks
    return whole
