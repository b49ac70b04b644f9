"""Several JSONPaths as one automaton over the keys and indices on the way down a document.

A node says what the paths select at a place: a bag of items (path, segments done), as a bag because RFC 9535 selects a
value as often as its selectors name it. A node is made when a document first leads there, and then kept. All keys that
no selector names share one child, so a node has few children, and a step down is one look-up.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from .grammar import Matcher, elements_run, end, members_run
from .segments import Filter, Path, Segment

Item = tuple[int, int]  # (number of the path, segments done)
Bag = dict[Item, int]  # item: how often
# Keys and indices on the way down. The first may be the location of the container of the rest: locations share their
# beginnings, so that each costs what is new in it and not its depth, as long as it is not written out.
Location = tuple["Location | str | int", ...]
Match = tuple[int, Location | str, str]  # (number of the path, location or path, the value's text)
Tests = dict[tuple[Item, Filter], int]  # (item that a filter of its segment leads to, the filter): how often

MAX_TIMES = 10_000  # that one value may be selected, as by `$..*..*..*`
COMPILE_AFTER = 200  # calls of `skip_members` after which compiling a pattern for the node's members pays


class Values:
    """Values that paths select, in their order, for those who need no locations.

    `paths` are the numbers of the paths that have selected any of them, `lines` the values' texts, one a line.
    """

    __slots__ = ("paths", "lines")

    def __init__(self, paths: set[int], lines: str) -> None:
        self.paths, self.lines = paths, lines


class Node:
    """What the paths select at one place of a document, and below it.

    `accepts` lists (path, how often) for the paths that select the value itself. `tests` are the filters to apply to
    it. `selects`: either is there. `moves`: a path goes on below. `from_end`: an array's length decides what a path
    selects in it. `rooted` is the bag of paths that wait for the whole document, because a filter looks at its root.
    `names` are the keys that selectors name. `by_index`: an element's index decides what is selected.
    """

    def __init__(self, automaton: Automaton, bag: Bag, tests: Tests) -> None:
        self._automaton = automaton
        self.tests = tests
        paths = automaton.paths
        self.accepts = [(path, count) for (path, done), count in bag.items() if done == len(paths[path].segments)]
        self._active: list[tuple[Item, int, Segment]] = [
            ((path, done), count, paths[path].segments[done])
            for (path, done), count in bag.items()
            if done < len(paths[path].segments)
        ]
        segments = [segment for _, _, segment in self._active]
        self.moves = bool(segments)
        self.selects = bool(self.accepts or tests)
        self.rooted: Bag = {}
        self.from_end = any(segment.from_end for segment in segments)
        self.names = {name for segment in segments for name in segment.names}
        self.by_index = any(segment.indices or segment.slices for segment in segments)
        self._members: dict[str, Node | None] = {}
        self._behind: dict[tuple[bool, ...], Node | None] = {}
        self._calls = 0  # of skip_members
        self._run: Matcher | None = None

    def _child(self, key: str | int) -> Node | None:
        bag: Bag = {}
        tests: Tests = {}
        for (path, done), count, segment in self._active:
            times = segment.count(key)
            if times:
                bag[path, done + 1] = bag.get((path, done + 1), 0) + count * times
            if segment.descends:
                bag[path, done] = bag.get((path, done), 0) + count
            for filter in segment.filters:
                test = ((path, done + 1), filter)
                tests[test] = tests.get(test, 0) + count
        return self._automaton.node(bag, tests)

    def member(self, name: str) -> Node | None:
        """Returns the node at the member of that name, or None if no path can select anything there or below."""
        if name not in self.names:
            return self.others
        if name not in self._members:
            self._members[name] = self._child(name)
        return self._members[name]

    def element(self, index: int) -> Node | None:
        """Returns the node at the element of that index, or None if no path can select anything there or below."""
        return self._child(index) if self.by_index else self.others

    def elements(self) -> Node | None:
        """Returns the node at each element if it is the same for all, else None."""
        return None if self.by_index else self.others

    @cached_property
    def others(self) -> Node | None:
        """The node at all keys that no selector names."""
        return self._child(-1)  # no name, and no index that is selected

    def at_length(self, length: int) -> Elements:
        """Returns the node at a complete array, for what its length decides."""
        elements: dict[int, Bag] = {}
        for (path, done), count, segment in self._active:
            for index in segment.indices_from_end(length):
                bag = elements.setdefault(index, {})
                bag[path, done + 1] = bag.get((path, done + 1), 0) + count
        return Elements(self._automaton, elements)

    def behind(self, holds: tuple[bool, ...]) -> Node | None:
        """Returns the node at the value for those tests that hold, in their order; None if none does."""
        if holds not in self._behind:
            bag: Bag = {}
            for ((item, _), count), is_held in zip(self.tests.items(), holds, strict=True):
                if is_held:
                    bag[item] = bag.get(item, 0) + count
            self._behind[holds] = self._automaton.node(bag, {})
        return self._behind[holds]

    # Fast paths: see the package's docstring.

    def skip_members(self, text: str, i: int, n: int) -> int:
        """Skips members that no path can select; returns the index behind them."""
        if self._run is None:
            self._calls += 1
            others = self.others
            if self._calls < COMPILE_AFTER or (others is not None and others.selects):
                return i
            self._run = members_run(tuple(self.names), others is None)
        return end(self._run(text, i, n))

    def skip_scalars(self, text: str, i: int, n: int) -> int:
        """Skips all elements of an array if they are scalars and no path can select one; returns i if not."""
        child = self.elements()
        if child is None or child.selects or self.from_end:
            return i
        stop = end(elements_run(False)(text, i, n))
        return stop if stop > i and text[stop - 1] != "," else i


class Elements(Node):
    """A node at a complete array: the indices that paths select are numbers from its start."""

    def __init__(self, automaton: Automaton, elements: dict[int, Bag]) -> None:
        super().__init__(automaton, {}, {})
        self.moves = bool(elements)
        self._elements = elements

    def element(self, index: int) -> Node | None:
        bag = self._elements.get(index)
        return self._automaton.node(bag, {}) if bag else None


class Automaton:
    """Makes the nodes for a set of paths, each once."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self._nodes: dict[Any, Node] = {}
        self.root = Node(self, {(i, 0): 1 for i, path in enumerate(paths) if not path.rooted}, {})
        self.root.rooted = {(i, 0): 1 for i, path in enumerate(paths) if path.rooted}

    def node(self, bag: Bag, tests: Tests) -> Node | None:
        """Returns the node for a bag and tests, or None if both are empty."""
        if not bag and not tests:
            return None
        key = (frozenset(bag.items()), frozenset(tests.items()))
        if key not in self._nodes:
            self._nodes[key] = Node(self, bag, tests)
        return self._nodes[key]
