"""How the values at one node of the automaton are read, for `levels`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

from .automaton import Node
from .bulk import Unproven, escape_of, is_literal, msgspec
from .chain import Chain, is_step
from .segments import Filter
from .tree import MAX_LEVELS


class Level:
    """How the values at one node are read.

    `opening` are the brackets of the containers that a path goes into. `is_plain`: nothing is to be done with the value
    itself. `number` is that of the path that selects the value, if that is all that is to be done; `filter` is the one
    that tests the value, if that is all.
    """

    def __init__(self, node: Node, level_of: Callable[[Node], Level]) -> None:
        self.node, self._level_of = node, level_of
        others = node.others is not None
        self.opening = "{" * (others or bool(node.names)) + "[" * (others or node.by_index or node.from_end)
        self.is_plain = not (node.selects or node.from_end)
        self.number: int | None = None
        self.filter: Filter | None = None
        if not (self.opening or node.tests) and [count for _, count in node.accepts] == [1]:
            self.number = node.accepts[0][0]
        elif not (self.opening or node.accepts) and len(node.tests) == 1:
            ((_, self.filter),) = node.tests
        self.tag: Node | int = node if self.number is None else self.number  # of an Entry

    @cached_property
    def below(self) -> dict[str | None, Level]:
        """The levels of the members by name, or of all children as None, if paths go into them side by side."""
        node = self.node
        children: dict[str | None, Node | None] = {name: node.member(name) for name in node.names}
        if node.by_index or (node.names and node.others):
            return {}
        below = {name: self._level_of(child) for name, child in (children or {None: node.others}).items() if child}
        are_straight = all(level.number is not None or level.is_plain or level.node.tests for level in below.values())
        return below if are_straight else {}

    @property
    def is_straight(self) -> bool:
        """Whether nothing is to be done with the values but to go on in their children, side by side."""
        return self.is_plain and bool(self.below)

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

    @cached_property
    def chain(self) -> tuple[Chain, Level] | None:
        """The chain that begins here and the level at its end, if the chain has more than one step."""
        level, steps = self, list[str | None]()
        while level.is_straight and len(level.below) == 1 and len(steps) < MAX_LEVELS:
            ((name, child),) = level.below.items()
            if name is not None and not is_step(name):
                break
            steps.append(name)
            level = child
        return (Chain(steps), level) if len(steps) > 1 else None


def encoded_again(containers: list[str]) -> list[Any]:
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
