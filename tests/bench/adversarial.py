"""Time a character at twice the input, for each core and each adversarial shape: 1 is linear, 2 quadratic.

    python -m tests.bench.adversarial [CHARACTERS]

The least CPU time of three runs each. A ratio over 1.4 is marked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..core.json.test_linear import CORES
from ..support.shapes import shapes
from .measure import least_seconds

SIZES = (1, 4, 4096)  # characters of a chunk


def seconds(make: Callable[[], Callable[[str], object]], text: str, size: int) -> float:
    return least_seconds(make, [text[i : i + size] for i in range(0, len(text), size)], 3)


def main(n: int = 20_000) -> None:
    once, twice = shapes(n), shapes(2 * n)
    marked = 0
    for core, make in CORES.items():
        for shape, text in once.items():
            row = []
            for size in SIZES:
                first, second = seconds(make, text, size), seconds(make, twice[shape], size)
                row.append(second / first * len(text) / len(twice[shape]) if second > 0.002 else 1.0)
            mark = " <--" if max(row) > 1.4 else ""
            marked += bool(mark)
            print(f"{core:20} {shape:24} " + " ".join(f"{ratio:5.2f}" for ratio in row) + mark)
    print(f"{len(CORES)} cores, {len(once)} shapes, chunks of {SIZES} characters: {marked} over 1.4")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
