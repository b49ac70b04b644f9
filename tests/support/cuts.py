"""The ways in which a stream may arrive."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

Stream = TypeVar("Stream", str, bytes)


def cuttings(stream: Stream) -> Iterator[list[Stream]]:
    """Whole, byte by byte (or character by character), and cut in two at every place."""
    yield [stream]
    yield [stream[i : i + 1] for i in range(len(stream))]
    for i in range(1, len(stream)):
        yield [stream[:i], stream[i:]]


def cut(stream: Stream, places: list[int]) -> list[Stream]:
    """Cut at the places, which may be any numbers."""
    edges = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges) if a < b]
