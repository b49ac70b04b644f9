"""The values that paths select in runs of whole values, level by level.

A level is the texts of all containers at which one node of the automaton stands. msgspec proves in C that they are
valid JSON, and splits them into their children, whose text it leaves as it is (`Raw`). The children that a path goes
into are a level again, and so on; what comes out is in the order in which the automaton completes it.

msgspec reports the last of duplicate names only. A level of plain names is proven free of them if each name stands in
the text as often as it was found. Any other level is encoded again: only what has no duplicates, and no escapes that
hide a name, comes out as the text that went in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, cached_property
from operator import itemgetter
from typing import Any

from .automaton import MAX_TIMES, Automaton, Bag, Location, Match, Node
from .bulk import Unproven, minified, msgspec, raw_elements, raw_lines, texts

MAX_LEVELS = 64  # deeper documents are left to the automaton
MAX_WALKED = 500_000  # characters, see `extract`

Entry = tuple["Node | int", Location, str]  # (where the paths go on in the value, or the number of its path, ...)

_is_plain = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch
_escaped_ascii = re.compile(r"\\u00[3-7]").search  # an escape that could stand for a letter of a name
_first = itemgetter(0)


class _Level:
    """What is to be taken of values at one node.

    `opening` are the brackets of the containers that a path goes into. `is_plain`: nothing is to be done with the value
    itself. `tag` is what an Entry for a value has if its text matters no more than by its first character, which has to
    be one of `enters`, or any for None: the number of the path that selects it, or the node; else `tag` is None.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        others = node.others is not None
        self.opening = "{" * (others or bool(node.names)) + "[" * (others or node.by_index or node.from_end)
        self.is_plain = not (node.selects or node.from_end)
        self.tag: Node | int | None = node if self.is_plain or node.tests else None
        self.enters: str | None = self.opening if self.is_plain else None
        if not self.opening and not node.tests and [count for _, count in node.accepts] == [1]:
            self.tag = node.accepts[0][0]
        self.outcomes: dict[tuple[bool, ...], Node | None] = {}  # of the node's tests

    @cached_property
    def _quoted(self) -> list[str]:
        return [f'"{name}"' for name in self.node.names]

    @cached_property
    def _type(self) -> Any:
        """The type of a container, if there is one that needs no encoding as a proof."""
        from typing import TypedDict

        raw: Any = msgspec().Raw
        if not self.node.names:
            return list[raw]
        if self.node.others is None and not self.node.by_index and all(map(_is_plain, self.node.names)):
            return TypedDict("Names", dict.fromkeys(self.node.names, raw), total=False)  # type: ignore[operator]
        return None

    @cached_property
    def _decoder(self) -> Any:
        return msgspec().json.Decoder(self._type)

    @cached_property
    def _array_decoder(self) -> Any:
        element: Any = self._type
        return msgspec().json.Decoder(list[element])

    def split(self, run: str, *, is_array: bool = False) -> list[Any] | None:
        """Returns the children that a path may select, as dicts and lists of Raw; None if that cannot be proven.

        The run has the containers with white space between them, or an array of them.
        """
        if self._type is None:
            return None
        try:
            containers: list[Any] = self._array_decoder.decode(run) if is_array else self._decoder.decode_lines(run)
        except msgspec().ValidationError:
            return None
        if not self.node.names:
            return containers
        if "\\u00" in run and _escaped_ascii(run):
            return None
        return containers if sum(map(run.count, self._quoted)) == sum(map(len, containers)) else None


class Levels:
    """Selects what an automaton would. Raises Unproven, or errors of msgspec, where the automaton has to do it."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._levels: dict[Node, _Level] = {}
        self._walked = 0  # characters of values behind filters, in this run
        walks = [sum(bool(s.filters or s.from_end) for s in path.segments) for path in automaton.paths]
        self._walks_within = max(walks) > 1
        descends = any(segment.descends for path in automaton.paths for segment in path.segments)
        self.nesting = MAX_LEVELS if descends else len(automaton.paths)  # of selected values, at most
        root = automaton.root
        self.takes_documents = root.moves and not (root.selects or root.from_end or root.rooted)

    def documents(self, run: str) -> list[Match]:
        """Returns the matches in documents with white space between them."""
        node, level = self._automaton.root, self._level(self._automaton.root)
        containers = level.split(run)
        if containers is not None:
            return self._select(level, [(node, (), "")] * len(containers), containers)
        documents = texts(raw_lines(run))
        if not all(text[0] in "{[" for text in documents):
            raise Unproven
        return self._finish([entry for text in documents for entry in self._begin(node, (), text)])

    def elements(self, node: Node, location: Location, first: int, run: str) -> tuple[list[Match], int]:
        """Returns the matches in elements with commas between them, and how many elements there are.

        `node` and `location` are those of their array, `first` is the index of the first.
        """
        array = f"[{run}]"
        child = node.elements()
        if child is not None and (level := self._level(child)).is_plain:
            containers = level.split(array, is_array=True)
            if containers is not None:
                count = len(containers)
                parents = [(child, (location, index), "") for index in range(first, first + count)]
                return self._select(level, parents, containers), count
        elements = texts(raw_elements(array))
        entries: list[Entry] = []
        for index, text in enumerate(elements, first):
            if (child := node.element(index)) is not None:
                entries += self._begin(child, (location, index), text)
        return self._finish(entries), len(elements)

    def _level(self, node: Node) -> _Level:
        level = self._levels.get(node)
        if level is None:
            if any(count > MAX_TIMES for _, count in node.accepts):
                raise Unproven
            level = self._levels[node] = _Level(node)
        return level

    def _select(self, level: _Level, parents: list[Any], containers: list[Any]) -> list[Match]:
        """Returns the matches in the children of one plain level."""
        entries = self._children_of_all(level, parents, containers)
        if entries is None:
            entries = [entry for new in self._expand(level, parents, containers) for entry in new]
        return self._finish(entries)

    def _finish(self, entries: list[Any]) -> list[Match]:
        """Goes on, level by level, until only matches are left."""
        self._walked = 0
        for _ in range(MAX_LEVELS):
            tags = set(map(_first, entries))
            nodes = [tag for tag in tags if not isinstance(tag, int)]
            if not nodes:
                return _minify(entries)
            if len(tags) == 1 and (new := self._next_of_all(self._level(nodes[0]), entries)) is not None:
                entries = new
                continue
            at = {node: [entry for entry in entries if entry[0] is node] for node in nodes}
            news = {node: self._expand(self._level(node), parents) for node, parents in at.items()}
            entries = [new for entry in entries for new in (next(news[entry[0]]) if entry[0] in news else (entry,))]
        raise Unproven

    # A level as a whole: what comes of all its entries in the same way.

    def _next_of_all(self, level: _Level, parents: list[Entry]) -> list[Entry] | None:
        """Returns what comes of all parents; None if that takes a look at each of them."""
        if level.is_plain:
            return self._children_of_all(level, parents, self._split(level, [text for _, _, text in parents]))
        if level.opening or level.node.accepts or len(level.node.tests) > 1:
            return None
        (filter,) = [filter for _, filter in level.node.tests]
        node = self._outcome(level, (True,))
        behind = self._level(node) if node is not None else None
        if behind is None or behind.tag is None:
            return None
        tag, enters = behind.tag, behind.enters
        values = zip(parents, _parsed([text for _, _, text in parents]), strict=True)
        selected = [parent for parent, value in values if filter.holds(value, None)]
        self._charge(selected)
        return [(tag, location, text) for _, location, text in selected if enters is None or text[0] in enters]

    def _children_of_all(self, level: _Level, parents: list[Any], containers: list[Any]) -> list[Entry] | None:
        node = level.node
        if node.by_index or (node.others is not None and node.names):
            return None
        if node.names:
            below = {name: self._level(at_name) for name in node.names if (at_name := node.member(name))}
            if any(child.tag is None for child in below.values()):
                return None
            if len(below) > 1:
                return _members_of_all(below, parents, containers)
            ((name, child),) = below.items()
            found = [container[name] for container in containers if name in container]
            together = zip(parents, containers, strict=True)
            locations: list[Any] = [(parent[1], name) for parent, container in together if name in container]
        else:
            assert node.others is not None
            child = self._level(node.others)
            if child.tag is None or not all(type(container) is list for container in containers):
                return None
            found = [raw for container in containers for raw in container]
            together = zip(parents, containers, strict=True)
            locations = [(parent[1], index) for parent, container in together for index in range(len(container))]
        tag: Any = child.tag
        enters = child.enters
        values: Any = zip(locations, texts(found), strict=True)
        return [(tag, location, text) for location, text in values if enters is None or text[0] in enters]

    # Each entry of a level.

    def _begin(self, node: Node, location: Location, text: str) -> list[Any]:
        """Returns the entries that a value at a node begins with."""
        level = self._level(node)
        if text[0] in level.opening or node.tests:
            return [(node, location, text)]
        return _matches(node, location, text)

    def _expand(self, level: _Level, parents: list[Any], containers: list[Any] | None = None) -> Iterator[list[Any]]:
        """Yields the entries that come of each parent: those of its children, then those of its own."""
        node = level.node
        opened = [text for _, _, text in parents if text[:1] in level.opening]
        splits = iter(containers if containers is not None else self._split(level, opened) if opened else ())
        values = iter(_parsed([text for _, _, text in parents]) if node.tests else ())
        for _, location, text in parents:
            new: list[Any] = []
            children: list[str] = []
            if text[:1] in level.opening:
                container = next(splits)
                is_dict = type(container) is dict
                children = texts(list(container.values()) if is_dict else container)
                new = self._children(
                    node, location, zip(container if is_dict else range(len(children)), children, strict=True)
                )
            new += _matches(node, location, text)
            if node.tests:
                new += self._tested(level, location, text, next(values))
            if node.from_end and text[0] == "[":
                new += self._from_end(node, location, children)
            yield new

    def _children(self, node: Node, location: Location, children: Iterator[tuple[str | int, str]]) -> list[Any]:
        names, others, by_index = node.names, node.others, node.by_index
        enters = self._level(others).enters if others is not None else ""
        new: list[Any] = []
        for key, text in children:
            if key in names or by_index:
                child = node.member(key) if isinstance(key, str) else node.element(key)
                if child is not None and child is not others:
                    new += self._begin(child, (location, key), text)
                    continue
                if child is None:
                    continue
            if others is not None and (enters is None or text[0] in enters):
                new += self._begin(others, (location, key), text)
        return new

    def _tested(self, level: _Level, location: Location, text: str, value: Any) -> list[Any]:
        node = self._outcome(level, tuple(filter.holds(value, None) for _, filter in level.node.tests))
        if node is None:
            return []
        self._charge([(node, location, text)])
        return self._begin(node, location, text)

    def _from_end(self, node: Node, location: Location, children: list[str]) -> list[Any]:
        elements = node.at_length(len(children))
        new: list[Any] = []
        for index, text in enumerate(children):
            if (child := elements.element(index)) is not None:
                new += self._begin(child, (location, index), text)
        return new

    def _outcome(self, level: _Level, holds: tuple[bool, ...]) -> Node | None:
        """Returns the node behind the tests that hold, or None if none does."""
        if holds not in level.outcomes:
            bag: Bag = {}
            for ((item, _), count), held in zip(level.node.tests.items(), holds, strict=True):
                if held:
                    bag[item] = bag.get(item, 0) + count
            level.outcomes[holds] = self._automaton.node(bag, {})
        return level.outcomes[holds]

    def _charge(self, entries: list[Any]) -> None:
        if self._walks_within:
            self._walked += sum(len(text) for _, _, text in entries)
            if self._walked > MAX_WALKED:
                raise Unproven

    def _split(self, level: _Level, containers: list[str]) -> list[Any]:
        """Returns the children of each container."""
        split = level.split("\n".join(containers))
        return _encoded_again(containers) if split is None else split


def _members_of_all(below: dict[str, _Level], parents: list[Any], containers: list[Any]) -> list[Any]:
    """Returns the members of objects in the order of the text."""
    tags = {name: (level.tag, level.enters) for name, level in below.items()}
    values = iter(texts([raw for container in containers for name, raw in container.items() if name in tags]))
    entries = [
        (tags[name], (parent[1], name), next(values))
        for parent, container in zip(parents, containers, strict=True)
        for name in container
        if name in tags
    ]
    return [(tag, location, text) for (tag, enters), location, text in entries if enters is None or text[0] in enters]


def _matches(node: Node, location: Location, text: str) -> list[Match]:
    return [match for number, count in node.accepts for match in [(number, location, text)] * count]


def _minify(matches: list[Match]) -> list[Match]:
    containers = [text for _, _, text in matches if text[0] in "{["]
    if not containers:
        return matches
    short = iter(minified([text.encode() for text in containers]))
    return [(number, location, next(short) if text[0] in "{[" else text) for number, location, text in matches]


def _parsed(values: list[str]) -> list[Any]:
    return msgspec().json.decode(f"[{','.join(values)}]")  # type: ignore[no-any-return]


def _encoded_again(containers: list[str]) -> list[Any]:
    """Returns the children of containers, which are proven by what they are encoded to."""
    text = msgspec().json.format(f"[{','.join(containers)}]", indent=-1)
    decoded = _any_containers().decode(text)
    if msgspec().json.encode(decoded) != text.encode():
        raise Unproven
    return decoded  # type: ignore[no-any-return]


@cache
def _any_containers() -> Any:
    raw: Any = msgspec().Raw
    return msgspec().json.Decoder(list[dict[str, raw] | list[raw]])
