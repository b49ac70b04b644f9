"""The values that paths select in runs of whole values, level by level.

A level is all values that one node of the automaton stands at. msgspec proves in C that they are valid JSON, and splits
the containers among them into their children, whose text it leaves as it is (`Raw`). The children that a path goes into
are a level again, and so on; behind the first level, names and wildcards in a row are taken at once, by a `Chain`. This
is for paths that go down side by side; where they part, or one goes to all depths, `tree` goes on.

msgspec reports the last of duplicate names only. A level of plain names is proven free of them if each name stands in
the text as often as it was found. Any other level is encoded again: only what has no duplicates, and no escapes that
hide a name, comes out as the text that went in.
"""

from __future__ import annotations

from itertools import compress, repeat
from typing import Any

from .automaton import MAX_TIMES, Automaton, Location, Match, Node, Values
from .bulk import Unproven, minified, msgspec, raw_elements, raw_lines, texts
from .level import Level, encoded_again
from .tree import MAX_LEVELS, Entry, Tree

Locations = list[Location] | None  # None: they are not needed
Selected = list[Match] | list[Values]


class Levels:
    """Selects what an automaton would. Raises Unproven, or errors of msgspec, where the automaton has to do it.

    What is selected comes as Matches; if `lines`, as one Values.
    """

    def __init__(self, automaton: Automaton, *, lines: bool = False) -> None:
        self._root, self._lines = automaton.root, lines
        self._levels: dict[Node, Level] = {}
        self._tree = Tree(automaton)
        descends = any(segment.descends for path in automaton.paths for segment in path.segments)
        self.nesting = MAX_LEVELS if descends else len(automaton.paths)  # of selected values, at most
        root = automaton.root
        self.takes_documents = root.moves and not (root.selects or root.from_end or root.rooted)

    def documents(self, run: str) -> Selected:
        """Returns what is selected in documents with white space between them."""
        level = self._level_of(self._root)
        if level.is_straight and (containers := level.split(run)) is not None:
            return self._below(level, containers, None if self._lines else [()] * len(containers))
        documents = raw_lines(run)
        if not all(text[0] in "{[" for text in texts(documents)):
            raise Unproven
        return self._encoded(level, documents, None if self._lines else [()] * len(documents))

    def elements(self, node: Node, location: Location, first: int, run: str) -> tuple[Selected, int]:
        """Returns what is selected in elements with commas between them, and how many elements there are.

        `node` and `location` are those of their array, `first` is the index of the first.
        """
        array = f"[{run}]"
        child = node.elements()
        level = None if child is None else self._level_of(child)
        if level and level.is_straight and (containers := level.split(array, is_array=True)) is not None:
            locations = self._indices(location, first, len(containers))
            return self._below(level, containers, locations), len(containers)
        elements = raw_elements(array)
        locations = self._indices(location, first, len(elements))
        if level:
            select = self._encoded if level.is_straight else self._select
            return select(level, elements, locations), len(elements)
        entries: list[Entry] = []
        for index, text in enumerate(texts(elements), first):
            if (child := node.element(index)) is not None:
                entries += self._begin(self._level_of(child), (location, index), text)
        return self._walk(entries), len(elements)

    def _indices(self, location: Location, first: int, count: int) -> Locations:
        return None if self._lines else [(location, index) for index in range(first, first + count)]

    def _level_of(self, node: Node) -> Level:
        level = self._levels.get(node)
        if level is None:
            if any(count > MAX_TIMES for _, count in node.accepts):
                raise Unproven
            level = self._levels[node] = Level(node, self._level_of)
        return level

    # What is selected in values at a level, in their order. `values` are Raw.

    def _select(self, level: Level, values: list[Any], locations: Locations) -> Selected:
        if level.number is not None:
            return _values(level.number, values, locations)
        if level.is_straight:
            return self._inside(level, values, locations)
        if level.filter is None or self._tree.is_limited:
            return self._encoded(level, values, locations)
        behind = level.node.behind((True,))
        holds = level.filter.select(msgspec().json.decode(b"[" + b",".join(values) + b"]"))
        return self._select(self._level_of(behind), *_compressed(values, locations, holds)) if behind else []

    def _inside(self, level: Level, values: list[Any], locations: Locations) -> Selected:
        text = b"\n".join(values).decode()
        if level.chain:
            chain, end = level.chain
            if decoded := chain.values(text, locations):
                return self._select(end, *decoded)
        if (containers := level.split(text)) is not None:
            return self._below(level, containers, locations)
        return self._encoded(level, values, locations)

    def _encoded(self, level: Level, values: list[Any], locations: Locations) -> Selected:
        """Proves values by encoding them again."""
        value_texts = texts(values)
        if level.is_straight:
            opens = [text[0] in level.opening for text in value_texts]
            if not all(opens):
                return self._inside(level, *_compressed(values, locations, opens))
            return self._below(level, encoded_again(value_texts), locations)
        pairs = zip(locations or repeat(()), value_texts, strict=False)
        return self._walk([entry for location, text in pairs for entry in self._begin(level, location, text)])

    def _below(self, level: Level, containers: list[Any], locations: Locations) -> Selected:
        """Goes on in the children of containers, which are dicts and lists of Raw."""
        (name, child), *more = level.below.items()
        if more:
            return self._members(level.below, containers, locations)
        if locations is not None:
            locations = _locations(name, containers, locations)
        if name is not None:
            return self._select(child, [members[name] for members in containers if name in members], locations)
        all_children = [each.values() if type(each) is dict else each for each in containers]
        return self._select(child, [value for children in all_children for value in children], locations)

    def _members(self, below: dict[str | None, Level], containers: list[Any], locations: Locations) -> Selected:
        """Goes on in members of several names."""
        values = [value for members in containers for name, value in members.items() if name in below]
        levels = {level for name, level in below.items() if any(name in members for members in containers)}
        numbers = {level.number for level in levels}
        if locations is None and None not in numbers:
            return _lines(numbers, values)
        pairs = zip(locations or repeat(()), containers, strict=False)
        keys: list[Any] = [(at, name) for at, members in pairs for name in members if name in below]
        if len(levels) == 1:
            return self._select(levels.pop(), values, None if locations is None else keys)
        tagged = zip(keys, texts(values), strict=True)
        return self._walk([(below[key[1]].tag, key, text) for key, text in tagged])

    def _begin(self, level: Level, location: Location, text: str) -> list[Entry]:
        """Returns the entries that a value begins with."""
        if text[0] in level.opening or level.node.tests:
            return [(level.node, location, text)]
        return [match for number, count in level.node.accepts for match in [(number, location, text)] * count]

    def _walk(self, entries: list[Entry]) -> Selected:
        matches: list[Any] = entries
        if all(isinstance(tag, int) for tag, _, _ in entries):
            matches = _minified(matches)
            return _joined({match[0] for match in matches}, [match[2] for match in matches]) if self._lines else matches
        selected, lines = self._tree.select(matches)
        if self._lines:
            return [Values({number for number, _ in selected}, lines)] if selected else []
        pairs = zip(selected, lines.split("\n"), strict=False)
        return [(number, location, text) for (number, location), text in pairs]


def _locations(name: str | None, containers: list[Any], locations: list[Location]) -> list[Location]:
    """Returns the locations of the children: of one name, or of all if that is None."""
    pairs = zip(locations, containers, strict=True)
    if name is not None:
        return [(at, name) for at, members in pairs if name in members]
    return [(at, key) for at, each in pairs for key in (each if type(each) is dict else range(len(each)))]


def _compressed(values: list[Any], locations: Locations, selectors: list[bool]) -> tuple[list[Any], Locations]:
    return list(compress(values, selectors)), None if locations is None else list(compress(locations, selectors))


def _values(number: int, values: list[Any], locations: Locations) -> Selected:
    """Returns values that one path selects."""
    if locations is None:
        return _lines({number}, values)
    return _minified([(number, *match) for match in zip(locations, texts(values), strict=True)])


def _lines(numbers: set[Any], values: list[Any]) -> list[Values]:
    lines = b"\n".join(values).decode()
    if "{" in lines or "[" in lines:
        return _joined(numbers, [text for _, _, text in _minified([(0, (), text) for text in texts(values)])])
    return [Values(numbers, lines)] if lines else []


def _joined(numbers: set[int], value_texts: list[str]) -> list[Values]:
    return [Values(numbers, "\n".join(value_texts))] if value_texts else []


def _minified(matches: list[Match]) -> list[Match]:
    containers = [text for _, _, text in matches if text[0] in "{["]
    if not containers:
        return matches
    short = iter(minified(containers))
    return [(number, location, next(short) if text[0] in "{[" else text) for number, location, text in matches]
