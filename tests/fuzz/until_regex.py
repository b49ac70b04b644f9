"""Random patterns on random texts in random pieces: the streaming search against `re.search` on the whole.

    python -m tests.fuzz.until_regex [CASES [SEED]]

Each case also checks that, before the match is known, nothing is promised of its start and end that turns out wrong.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Iterator

from llmstream.core.stop.late_search import LateSearch
from llmstream.core.stop.search import Search
from llmstream.errors import UsageError

TEXT = "aabbAB x\n\u017f\u212a"  # with two that fold to the ASCII letters s and k
ATOMS = (*"abAB xsk", "\\n", "[ab]", "[^a]", ".", "\\w", "\\W", "\\d", "\\s", "[a-zA]")
PLACES = ("^", "$", "\\b", "\\B", "\\A", "\\Z")
REPEATS = ("*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{2,}", "{1,2}", "{1,3}?", "{0,2}+")
BEHIND = ("a", "ab", "[ab]x", "a|b", "\\b", "a\\b", "a$", "\\Ba", "^a", "(?=a)b", "a\\Z", "(?<!b)a")
FLAGS = (0, 0, re.I, re.M, re.S, re.I | re.M, re.M | re.S, re.A)

SearchClass = type[Search] | type[LateSearch]


class Patterns:
    """Makes patterns of every construct; some of them are none."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._groups = 0

    def make(self) -> str:
        self._groups = 0
        return self._part(0)

    def _part(self, depth: int) -> str:
        rng = self._rng
        kind = rng.randrange(24 if depth < 4 else 6)
        if kind < 5:
            return rng.choice(ATOMS)
        if kind == 5:
            return rng.choice(PLACES)
        part = self._part
        depth += 1
        if kind < 11:
            return part(depth) + part(depth)
        if kind == 11:
            return f"(?:{part(depth)}|{part(depth)})"
        if kind < 14:
            return f"(?:{part(depth)}){rng.choice(REPEATS)}"
        if kind < 17:
            return rng.choice(ATOMS) + rng.choice(REPEATS)
        if kind == 17:
            return f"{rng.choice(('(?=', '(?!'))}{part(depth)})"
        if kind == 18:
            return f"{rng.choice(('(?<=', '(?<!'))}{rng.choice(BEHIND)})"
        if kind == 19:
            return f"(?>{part(depth)})"
        if kind == 20:
            return f"{rng.choice(('(?i:', '(?m:', '(?s:', '(?-i:', '(?a:'))}{part(depth)})"
        return self._refer(kind, depth)

    def _refer(self, kind: int, depth: int) -> str:
        self._groups += 1
        name = f"g{self._groups}"
        if kind == 21:
            return f"(?P<{name}>{self._part(depth)}){self._part(depth)}(?P={name})"
        if kind == 22:
            return (
                f"(?P<{name}>{self._part(depth)})?{self._part(depth)}(?({name}){self._part(depth)}|{self._part(depth)})"
            )
        return f"(?P<{name}>[ab]+)(?:x|(?P={name})){self._part(depth)}"


def cases(count: int, seed: int) -> Iterator[tuple[str, int, str, list[str]]]:
    """`count` times pattern, flags, text, pieces, of patterns that re accepts and that do not match the empty text."""
    rng = random.Random(seed)
    patterns = Patterns(rng)
    made = 0
    while made < count:
        pattern, flags = patterns.make(), rng.choice(FLAGS)
        try:
            Search(pattern, flags)
        except UsageError:
            continue
        for _ in range(4):
            text = "".join(rng.choices(TEXT, k=rng.randrange(1, 16)))
            pieces, at = [], 0
            while at < len(text):
                size = rng.choice((1, 1, 1, 2, 3, 20))
                pieces.append(text[at : at + size])
                at += size
            yield pattern, flags, text, pieces
            made += 1


def check(pattern: str, flags: int, text: str, pieces: list[str], make: SearchClass = Search) -> None:
    """Raises AssertionError, with the case, where the search is wrong."""
    case = (pattern, flags, pieces)
    compiled = re.compile(pattern, flags)  # whose `search` overlooks what its `match` finds of `(?a:\W)`
    match = next((match for at in range(len(text)) if (match := compiled.match(text, at))), None)
    want = match.span() if match else None
    search, got, end = make(pattern, flags), None, 0
    for piece in pieces:
        got = search.feed(piece)
        end += len(piece)
        if got is not None:
            assert got[1] <= search.decided_at() <= end, (case, "decided_at", search.decided_at())
            break
        if want:
            assert search.start <= want[0], (case, "start", search.start)
            assert search.certain <= want[1], (case, "certain", search.certain)
    got = got or search.close()
    assert got == want, (case, got, want)


def check_window(pattern: str, flags: int, text: str, window: int, make: SearchClass = Search) -> None:
    """Raises AssertionError if a cut of a text longer than the window changes the span, its decision or the note."""
    results = set()
    for pieces in (list(text), *([text[:at], text[at:]] for at in range(len(text)))):
        search = make(pattern, flags, window=window)
        fed = next((span for piece in pieces if (span := search.feed(piece))), None)
        results.add((fed or search.close(), fed and search.decided_at(), search.note))
    assert len(results) == 1, (pattern, flags, text, window, results)


def main(count: int = 100_000, seed: int = 1) -> None:
    began = time.perf_counter()
    matched = 0
    for number, case in enumerate(cases(count, seed)):
        check(*case)
        matched += bool(re.compile(case[0], case[1]).search(case[2]))
        if number % 50:  # these take long
            continue
        for window in (1, 2, 5):
            check_window(case[0], case[1], case[2] * 2, window)
    print(f"{count} cases, {matched} with a match: no mismatch in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
