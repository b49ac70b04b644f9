"""Several JSONPaths as one automaton over the keys and indices on the way down a document.

A node says what is selected where it stands: a bag of items (path, segments done), as a bag because RFC 9535 selects a
value as often as its selectors name it. Nodes are made when a document first leads there, and kept: the keys that no
selector names share one child, so a node has few, and a step is one look-up.
"""

from __future__ import annotations

from typing import Any

from .bulk import Names
from .grammar import Step, elements_run, members_run
from .path import Path, Segment

Item = tuple[int, int]  # (number of the path, segments done)
Bag = dict[Item, int]  # how often
Tests = dict[tuple[Item, int], int]  # (item that a filter of its segment leads to, number of the filter): how often

ASKED = 8  # times that a node is asked before the pattern for its members is worth compiling


class _Runs:
    """Compiled when it is asked for."""

    scalars: Step | None = None


class Node:
    """Where the paths stand at a value."""

    def __init__(self, automaton: Automaton, bag: Bag, tests: Tests) -> None:
        self._automaton = automaton
        self.bag, self.tests = bag, tests
        paths = automaton.paths
        self.accepts = [(path, count) for (path, done), count in bag.items() if done == len(paths[path].segments)]
        self._active: list[tuple[Item, int, Segment]] = [
            ((path, done), count, paths[path].segments[done])
            for (path, done), count in bag.items()
            if done < len(paths[path].segments)
        ]
        segments = [segment for _, _, segment in self._active]
        self.moves = bool(segments)
        self.selects = bool(self.accepts or tests)  # a value here may be wanted, whatever it is
        self.rooted: Bag = {}  # what waits for the whole document
        self.from_end = any(segment.from_end for segment in segments)
        self._names = {name for segment in segments for name in segment.names}
        self._descends = any(segment.descends for segment in segments)
        self._by_index = any(segment.indices or segment.slices for segment in segments)
        self._members: dict[str, Node | None] = {}
        self._others: Node | None = None  # the child for all other keys
        self._has_others = False
        self._bulk: Names | None = None
        self._has_bulk = False
        self._asked = 0
        self._run: Step | None = None

    def _child(self, key: str | int) -> Node | None:
        bag: Bag = {}
        tests: Tests = {}
        for (path, done), count, segment in self._active:
            times = segment.count(key)
            if times:
                bag[path, done + 1] = bag.get((path, done + 1), 0) + count * times
            if segment.descends:
                bag[path, done] = bag.get((path, done), 0) + count
            for number in range(len(segment.filters)):
                test = ((path, done + 1), number)
                tests[test] = tests.get(test, 0) + count
        return self._automaton.node(bag, tests)

    def member(self, name: str) -> Node | None:
        """The node at the member of that name; None if nothing can be selected there or below."""
        if name not in self._names:
            return self._other()
        if name not in self._members:
            self._members[name] = self._child(name)
        return self._members[name]

    def element(self, index: int) -> Node | None:
        """The node at the element of that index."""
        return self._child(index) if self._by_index else self._other()

    def _other(self) -> Node | None:
        if not self._has_others:
            self._others, self._has_others = self._child(-1), True  # -1: no name, and no index that is selected
        return self._others

    def skip(self, text: str, i: int, n: int) -> int:
        """Skips the members that no path can select."""
        if self._run is None:
            self._asked += 1
            others = self._other()
            if self._asked < ASKED or (others is not None and others.selects):
                return i
            self._run = members_run(tuple(self._names), flat=others is None)
        return self._run(text, i, n)

    def skip_scalars(self, text: str, i: int, n: int) -> int:
        """Skips all elements of an array here, if they are scalars and none can be selected; i if not."""
        child = self.elements()
        if child is None or child.selects or self.from_end:
            return i
        if _Runs.scalars is None:
            _Runs.scalars = elements_run(flat=False)
        stop = _Runs.scalars(text, i, n)
        return stop if stop > i and text[stop - 1] != "," else i

    def names(self) -> Names | None:
        """The quick way to all that is selected below an object here; None if it has to be walked."""
        if not self._has_bulk:
            self._has_bulk = True
            plain = not (self.selects or self.rooted or self._descends)
            rests = [self._automaton.paths[path].names(done) for (path, done), _, _ in self._active]
            if plain and all(rests) and all(count == 1 for _, count, _ in self._active):
                self._bulk = Names.of(rests, [path for (path, _), _, _ in self._active])
        return self._bulk

    def elements(self) -> Node | None:
        """The node at each element, if it is one and the same."""
        return None if self._by_index else self._other()

    def counted(self, length: int) -> Elements:
        """The node at an array, now that its length is known, for what its length decides."""
        elements: dict[int, Bag] = {}
        for (path, done), count, segment in self._active:
            for index in segment.counted(length):
                bag = elements.setdefault(index, {})
                bag[path, done + 1] = bag.get((path, done + 1), 0) + count
        return Elements(self._automaton, elements)


class Elements(Node):
    """A node at an array of which the selected indices are known."""

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
        """The node for a bag and tests; None if both are empty."""
        if not bag and not tests:
            return None
        name = (frozenset(bag.items()), frozenset(tests.items()))
        if name not in self._nodes:
            self._nodes[name] = Node(self, bag, tests)
        return self._nodes[name]

    def expression(self, test: tuple[Item, int]) -> Any:
        """The filter's expression that a test asks."""
        (path, done), number = test
        return self.paths[path].segments[done - 1].filters[number]
