"""The values that paths select in runs of whole values, level by level.

A level is the texts of all containers at which one node of the automaton stands. msgspec proves in C that they are
valid JSON, and splits them into their children, whose text it leaves as it is (`Raw`). The children that a path goes
into are a level again, and so on. This is for paths that go down side by side; where they part, or one goes to all
depths, `tree` goes on.

msgspec reports the last of duplicate names only. A level of plain names is proven free of them if each name stands in
the text as often as it was found. Any other level is encoded again: only what has no duplicates, and no escapes that
hide a name, comes out as the text that went in.
"""

from __future__ import annotations

from functools import cache, cached_property
from operator import itemgetter
from typing import Any

from .automaton import MAX_TIMES, Automaton, Location, Match, Node
from .bulk import Unproven, escape_of, is_literal, minified, msgspec, raw_elements, raw_lines, texts
from .tree import MAX_LEVELS, Entry, Tree

_first = itemgetter(0)


class _Level:
    """How the values at one node are read.

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
        self.below: dict[str, _Level] | None = None  # see `Levels._below`
        if not self.opening and not node.tests and [count for _, count in node.accepts] == [1]:
            self.tag = node.accepts[0][0]

    @cached_property
    def _quoted(self) -> list[str]:
        return [f'"{name}"' for name in self.node.names]

    @cached_property
    def _hidden(self) -> Any:
        return escape_of(self.node.names)

    @cached_property
    def _type(self) -> Any:
        """The type of a container, if there is one that needs no encoding as a proof."""
        from typing import TypedDict

        raw: Any = msgspec().Raw
        if not self.node.names:
            return list[raw]
        if self.node.others is None and not self.node.by_index and all(map(is_literal, self.node.names)):
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
        if "\\" in run and self._hidden(run):
            return None
        return containers if sum(map(run.count, self._quoted)) == sum(map(len, containers)) else None


class Levels:
    """Selects what an automaton would. Raises Unproven, or errors of msgspec, where the automaton has to do it."""

    def __init__(self, automaton: Automaton) -> None:
        self._root = automaton.root
        self._levels: dict[Node, _Level] = {}
        self._tree = Tree(automaton)
        descends = any(segment.descends for path in automaton.paths for segment in path.segments)
        self.nesting = MAX_LEVELS if descends else len(automaton.paths)  # of selected values, at most
        root = automaton.root
        self.takes_documents = root.moves and not (root.selects or root.from_end or root.rooted)

    def documents(self, run: str) -> list[Match]:
        """Returns the matches in documents with white space between them."""
        root = self._root
        if below := self._below(root):
            containers = self._level(root).split(run)
            if containers is not None:
                return self._finish(_children(below, [(root, (), "")] * len(containers), containers))
        documents = texts(raw_lines(run))
        if not all(text[0] in "{[" for text in documents):
            raise Unproven
        return self._finish([entry for text in documents for entry in self._begin(root, (), text)])

    def elements(self, node: Node, location: Location, first: int, run: str) -> tuple[list[Match], int]:
        """Returns the matches in elements with commas between them, and how many elements there are.

        `node` and `location` are those of their array, `first` is the index of the first.
        """
        array = f"[{run}]"
        child = node.elements()
        if child is not None and self._level(child).is_plain and (below := self._below(child)):
            containers = self._level(child).split(array, is_array=True)
            if containers is not None:
                count = len(containers)
                parents = [(child, (location, index), "") for index in range(first, first + count)]
                return self._finish(_children(below, parents, containers)), count
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

    def _below(self, node: Node) -> dict[str, _Level]:
        """Returns the levels of the members by name, or of all children as "", if paths go into them side by side."""
        level = self._level(node)
        if level.below is None:
            named = {name: child for name in node.names if (child := node.member(name)) is not None}
            children = named if node.others is None else {"": node.others}
            below = {name: self._level(child) for name, child in children.items()}
            is_straight = not node.by_index and not (named and node.others)
            level.below = below if is_straight and all(child.tag is not None for child in below.values()) else {}
        return level.below

    def _finish(self, entries: list[Any]) -> list[Match]:
        """Goes on, level by level, until only matches are left."""
        for _ in range(MAX_LEVELS):
            tags = set(map(_first, entries))
            if all(isinstance(tag, int) for tag in tags):
                return _minify(entries)
            if len(tags) > 1 or (new := self._next(tags.pop(), entries)) is None:
                return _minify(self._tree.matches(entries))
            entries = new
        raise Unproven

    def _next(self, node: Node, parents: list[Any]) -> list[Any] | None:
        """Returns the entries below those at one node; None if paths part there."""
        level = self._level(node)
        if level.is_plain:
            below = self._below(node)
            return _children(below, parents, self._split(level, [text for _, _, text in parents])) if below else None
        if level.opening or node.accepts or len(node.tests) > 1 or self._tree.is_limited:
            return None
        ((_, filter),) = node.tests
        behind = node.behind((True,))
        if behind is None or (target := self._level(behind)).tag is None:
            return None
        values = msgspec().json.decode(f"[{','.join([text for _, _, text in parents])}]")
        selected = [parent for parent, value in zip(parents, values, strict=True) if filter.holds(value, None)]
        enters = target.enters
        return [(target.tag, at, text) for _, at, text in selected if enters is None or text[0] in enters]

    def _begin(self, node: Node, location: Location, text: str) -> list[Any]:
        """Returns the entries that a value at a node begins with."""
        if text[0] in self._level(node).opening or node.tests:
            return [(node, location, text)]
        return [match for number, count in node.accepts for match in [(number, location, text)] * count]

    def _split(self, level: _Level, containers: list[str]) -> list[Any]:
        """Returns the children of each container."""
        split = level.split("\n".join(containers))
        return _encoded_again(containers) if split is None else split


def _children(below: dict[str, _Level], parents: list[Any], containers: list[Any]) -> list[Any]:
    """Returns the entries of the children of all parents, in the order of the text."""
    together = list(zip(parents, containers, strict=True))
    name, *more = below
    if more:
        return _members(below, together)
    if name:
        children = [container[name] for container in containers if name in container]
        locations: list[Location] = [(parent[1], name) for parent, container in together if name in container]
    else:
        children = [
            raw for container in containers for raw in (container.values() if type(container) is dict else container)
        ]
        locations = [
            (parent[1], key)
            for parent, container in together
            for key in (container if type(container) is dict else range(len(container)))
        ]
    tag, enters = below[name].tag, below[name].enters
    values = zip(locations, texts(children), strict=True)
    return [(tag, location, text) for location, text in values if enters is None or text[0] in enters]


def _members(below: dict[str, _Level], together: list[tuple[Any, Any]]) -> list[Any]:
    tags = {name: (level.tag, level.enters) for name, level in below.items()}
    children = [(parent[1], name, raw) for parent, members in together for name, raw in members.items() if name in tags]
    values = texts([raw for _, _, raw in children])
    entries = [(*tags[name], (at, name), text) for (at, name, _), text in zip(children, values, strict=True)]
    return [(tag, location, text) for tag, enters, location, text in entries if enters is None or text[0] in enters]


def _minify(matches: list[Match]) -> list[Match]:
    containers = [text for _, _, text in matches if text[0] in "{["]
    if not containers:
        return matches
    short = iter(minified(containers))
    return [(number, location, next(short) if text[0] in "{[" else text) for number, location, text in matches]


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
