"""The edge of a regular expression: where could more text change what it finds?

`re` has no partial matching, but it can be asked. From the syntax tree of a pattern P, as `re` itself parses it,
a second pattern E is made, and compiled by `re` itself. E takes the same paths through the text as P, in the same
order, and matches at the first of them that wants to look beyond the end of the text: to consume a character there,
or to know whether one stands there (lookahead, `$`, `\\Z`, `\\b`). Where P finds a match, or gives up, before any
such path, E does not match. So the leftmost match of P is final if and only if E finds nothing at or before its start.

How: a group, the flag, is captured (empty) by the alternative that is put in front of whatever looks at the next
character, `\\Z()`. Once it is set, all that follows is skipped by conditionals, `(?(flag)|...)`.

What is compiled is E|P, so that one search tells, start by start, whether it is open, or else what P finds there; it
ends at the first of the one or the other, and tries nothing behind it.

Where being exact would be out of proportion, E errs on the side of "more text could change it": the match is found all
the same, later. That goes for backreferences to groups of more than one character of which REMEMBERED characters agree
with the text at the edge, for lookaheads inside lookbehinds, and for negative lookaheads of several alternatives.

The parser and the compiler of `re` are private to CPython. To import this module raises ImportError where they are
missing or of a version that was not tested, and `edge` raises NotImplementedError for a tree with an unknown part;
`late_search` does without both.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from re import _compiler, _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from re._constants import (  # type: ignore[import-not-found]  # isort: skip
    ANY, ASSERT, ASSERT_NOT, AT, AT_BEGINNING, AT_BEGINNING_STRING, AT_END, AT_END_STRING, ATOMIC_GROUP, BRANCH,
    AT_BOUNDARY, AT_NON_BOUNDARY, FAILURE, GROUPREF, GROUPREF_EXISTS, IN, LITERAL, MAGIC, MAX_REPEAT, MAXREPEAT,
    MIN_REPEAT, NOT_LITERAL, POSSESSIVE_REPEAT, SUBPATTERN,
)  # fmt: skip

TESTED = (20220615, 20221023, 20230612)  # versions of the syntax tree: CPython 3.11, 3.12, 3.13 and 3.14
if MAGIC not in TESTED:
    raise ImportError(f"version {MAGIC} of the syntax tree of regular expressions is not tested")

Tree = Any  # re's SubPattern: a list of Node
Node = tuple[Any, Any]

REMEMBERED = 8
ATOMS = frozenset((LITERAL, NOT_LITERAL, ANY, IN))
REPEATS = frozenset((MAX_REPEAT, MIN_REPEAT, POSSESSIVE_REPEAT))
LOOKS = frozenset((ASSERT, ASSERT_NOT))
BEGINNINGS = frozenset((AT_BEGINNING, AT_BEGINNING_STRING))
PLACES = BEGINNINGS | {AT_END, AT_END_STRING, AT_BOUNDARY, AT_NON_BOUNDARY}
NODES = ATOMS | REPEATS | LOOKS | {SUBPATTERN, ATOMIC_GROUP, BRANCH, GROUPREF, GROUPREF_EXISTS, AT, FAILURE}
AHEAD, BEHIND = 1, -1  # the directions of LOOKS


class Edge(NamedTuple):
    """What `Search` must know about a pattern, beside the pattern. All widths are in characters."""

    plain: re.Pattern[str]  # P
    pattern: re.Pattern[str]  # E|P
    flag: int  # the group that is set where it was E that matched
    shortest: int  # the least width of a match
    reach: int | None  # how far from a match's start its verdict can depend on the text; None: any distance
    behind: int  # how far before its start it looks
    forward: bool  # whether it looks at what it does not consume: lookahead, `$`, `\Z`, `\b`


@functools.lru_cache(maxsize=64)  # each of many prompts makes the same conditions
def edge(pattern: str, flags: int, window: int) -> Edge:
    """Returns the edge of a pattern; a distance of `window` and more counts as any.

    Raises what `re.compile` does, and NotImplementedError where the tree has a part that is unknown here.
    """
    tree = _parser.parse(pattern, flags)
    try:
        return _edge(tree, flags, window)
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # a node of another shape
        raise NotImplementedError(f"a syntax tree of an unknown shape: {error}") from error


def _edge(tree: Tree, flags: int, window: int) -> Edge:
    shortest, longest = map(int, tree.getwidth())
    nodes = list(_walk(tree))
    for op, value in nodes:
        if op not in NODES or (op is AT and value not in PLACES):
            raise NotImplementedError(f"a syntax tree with an unknown part: {op} {value}")
    # A lookahead begins within the match, and reaches on from there; `$` looks at a newline behind the match.
    reach = longest + _looks(tree, AHEAD) + 1
    # `re.search` skips what `(?a:\W)` matches, since it filters first characters by Unicode's \W; not behind `(?=)`.
    scoped = any(op is SUBPATTERN and (value[1] | value[2]) & (re.ASCII | re.UNICODE) for op, value in nodes)
    head = [(ASSERT, (AHEAD, _parser.SubPattern(tree.state, [])))] if scoped else []
    plain: re.Pattern[str] = _compiler.compile(_parser.SubPattern(tree.state, [*head, *tree]), flags)
    referred = {value for op, value in nodes if op is GROUPREF and tree.state.groupwidths[value][1] > 1}
    builder = _Builder(tree, referred, window)
    pattern = _compiler.compile(builder.build(flags | tree.state.flags), flags)
    near = reach if reach < window else None
    return Edge(plain, pattern, builder.flag, shortest, near, _looks(tree, BEHIND), _looks_forward(nodes))


def _parts(op: Any, value: Any) -> list[Tree]:
    """Returns the trees inside a node."""
    if op is BRANCH:
        return list(value[1])
    if op is SUBPATTERN or op in REPEATS or op in LOOKS:
        return [value[-1]]
    if op is ATOMIC_GROUP:
        return [value]
    if op is GROUPREF_EXISTS:
        return [part for part in value[1:] if part is not None]
    return []


def _with_parts(op: Any, value: Any, parts: list[Tree]) -> Any:
    """Returns the value of a node with other trees in place of `_parts`."""
    if op is BRANCH:
        return None, parts
    if op is SUBPATTERN or op in REPEATS or op in LOOKS:
        return (*value[:-1], *parts)
    if op is ATOMIC_GROUP:
        return parts[0]
    if op is GROUPREF_EXISTS:
        return value[0], parts[0], parts[1] if len(parts) > 1 else None
    return value


def _walk(tree: Tree) -> Iterator[Node]:
    """Yields all nodes of a tree, those inside others too."""
    for op, value in tree:
        yield op, value
        for part in _parts(op, value):
            yield from _walk(part)


def _looks_forward(nodes: Iterable[Node]) -> bool:
    return any((op in LOOKS and value[0] == AHEAD) or (op is AT and value not in BEGINNINGS) for op, value in nodes)


def _looks(tree: Tree, direction: int) -> int:
    """Returns how far the lookaheads of a tree look ahead, or its lookbehinds behind, one within the other."""
    farthest = 0
    for op, value in tree:
        distance = max((_looks(part, direction) for part in _parts(op, value)), default=0)
        if op in LOOKS and value[0] == direction:
            distance += int(value[1].getwidth()[1])
        farthest = max(farthest, distance)
    return farthest


class _Builder:
    """Builds the tree of E. The methods return lists of nodes; `flags` are those in force where a node stands."""

    def __init__(self, tree: Tree, referred: set[int], window: int) -> None:
        self._tree, self._state, self._window = tree, tree.state, window
        self.flag = self._group()
        # The first characters of a group that is referred to, each captured anew in a group of its own.
        self._heads = {group: [self._group() for _ in range(REMEMBERED)] for group in referred}

    def build(self, flags: int) -> Tree:
        """Returns the tree of E|P. E is atomic, since P stops at its first match, and fails without the flag.

        What surely is consumed first stays in front of both, for the sake of the speed at which `re` skips text that
        cannot begin a match; E then does not match at the very end, where every pattern wants more.
        """
        first, rest = self._split()
        edge = self._touched(self._rewritten(rest, flags))
        # P gets groups of its own, above those of E: `re` clears these only, of what a failed branch has captured.
        by = int(self._state.groups) - 1
        self._state.groupwidths += self._state.groupwidths[1:]
        return self._seq([*first, *self._either(edge, list(self._shifted(rest, by)))])

    def _shifted(self, nodes: Tree, by: int) -> Tree:
        """Returns a copy whose groups have numbers higher by `by`."""
        copy: list[Node] = []
        for op, value in nodes:
            new = _with_parts(op, value, [self._shifted(part, by) for part in _parts(op, value)])
            if op is GROUPREF:
                new += by
            elif op is GROUPREF_EXISTS or (op is SUBPATTERN and new[0]):
                new = (new[0] + by, *new[1:])
            copy.append((op, new))
        return self._seq(copy)

    def _split(self) -> tuple[list[Node], list[Node]]:
        """Splits P after the character that every match begins with, where one node says which."""
        nodes = list(self._tree)
        if not nodes:
            return [], []
        op, value = nodes[0]
        if op in ATOMS:
            return nodes[:1], nodes[1:]
        if op in REPEATS and value[0] > 0 and self._is_atom(value[2]):  # x+ is xx*
            least, most, body = value
            return list(body), [(op, (least - 1, most if most is MAXREPEAT else most - 1, body)), *nodes[1:]]
        return [], nodes

    def _rewritten(self, nodes: Tree, flags: int) -> Tree:
        return self._seq([new for op, value in nodes for new in self._node(op, value, flags)])

    def _node(self, op: Any, value: Any, flags: int) -> list[Node]:
        """Returns the nodes of E for a node of P."""
        if op in ATOMS:
            return self._touch_or([(op, value)])
        if op in REPEATS and self._is_atom(value[2]):
            return self._run(op, value)
        if op is ASSERT_NOT or (op is ASSERT and value[0] == BEHIND):
            return self._look(op, value, flags)
        if op is AT:
            return self._at(value, flags)
        if op is GROUPREF:
            return self._refer(value)
        parts = _parts(op, value)
        if not parts:
            return self._unless([(op, value)])
        if op is SUBPATTERN:
            group, add, remove, body = value
            flags = (flags | add) & ~remove
            return [(op, (group, add, remove, self._seq([*self._remember(group), *self._rewritten(body, flags)])))]
        return [(op, _with_parts(op, value, [self._rewritten(part, flags) for part in parts]))]

    def _run(self, op: Any, value: Any) -> list[Node]:
        """A run of single characters stays one, which `re` does fast: does it reach the end, wanting more?"""
        _, most, body = value
        plain = [(op, value)]
        if most == 0:
            return self._unless(plain)
        run = [(POSSESSIVE_REPEAT, (0, most if most is MAXREPEAT else most - 1, body)), *self._touch()]
        return self._unless(self._either(plain, run) if op is MIN_REPEAT else self._either(run, plain))

    def _look(self, op: Any, value: Any, flags: int) -> list[Node]:
        """A lookbehind, or a negative lookahead."""
        direction, body = value
        if direction == AHEAD:
            first = [(ASSERT, (AHEAD, self._seq(self._touched(self._rewritten(body, flags)))))]
        elif not _looks_forward(_walk(body)):
            return self._unless([(op, value)])
        elif _looks(body, AHEAD):  # anything may change it
            return self._unless(self._set_flag())
        else:
            first = [self._fewer_than(2), *self._set_flag()]
        return self._unless(self._either(first, [(op, value)]))

    def _at(self, where: Any, flags: int) -> list[Node]:
        plain = [(AT, where)]
        if where in BEGINNINGS:
            return self._unless(plain)
        if where is AT_END_STRING:
            return self._unless(self._touch())
        if where is AT_END and not flags & re.MULTILINE:  # also before a newline that is the last character, so far
            return self._unless([*plain, *self._set_flag()])
        return self._touch_or(plain)

    def _refer(self, group: int) -> list[Node]:
        plain = [(GROUPREF, group)]
        if group not in self._heads:
            return self._touch_or(plain)
        walk = [self._fewer_than(min(int(self._state.groupwidths[group][1]), self._window)), *self._set_flag()]
        for head in reversed(self._heads[group]):
            walk = self._either(self._touch(), [(GROUPREF, head), *walk])
        return self._unless(self._either(plain, walk))

    def _remember(self, group: int | None) -> list[Node]:
        """Captures the first characters of a group that is referred to."""
        inner: list[Node] = []
        for head in reversed(self._heads.get(group or 0, [])):
            one = (SUBPATTERN, (head, 0, 0, self._seq([self._any(1)])))
            inner = [(MAX_REPEAT, (0, 1, self._seq([one, *inner])))]
        return [(ASSERT, (AHEAD, self._seq(inner)))] if inner else []

    # The pieces that E is built from.

    def _group(self) -> int:
        number = int(self._state.groups)
        self._state.groupwidths.append((0, 1))
        return number

    def _seq(self, nodes: list[Node]) -> Tree:
        return _parser.SubPattern(self._state, nodes)

    def _either(self, first: list[Node], second: list[Node]) -> list[Node]:
        return [(BRANCH, (None, [self._seq(first), self._seq(second)]))]

    def _set_flag(self) -> list[Node]:
        return [(SUBPATTERN, (self.flag, 0, 0, self._seq([])))]

    def _unless(self, nodes: list[Node]) -> list[Node]:
        """The nodes, skipped where the flag is set."""
        return [(GROUPREF_EXISTS, (self.flag, self._seq([]), self._seq(nodes)))]

    def _touch(self) -> list[Node]:
        """At the end: set the flag."""
        return [(AT, AT_END_STRING), *self._set_flag()]

    def _touch_or(self, nodes: list[Node]) -> list[Node]:
        return self._unless(self._either(self._touch(), nodes))

    def _touched(self, tree: Tree) -> list[Node]:
        """The first path through the tree, if it sets the flag."""
        return [(ATOMIC_GROUP, tree), *self._unless([(FAILURE, ())])]

    def _any(self, count: int) -> Node:
        """`count` characters, newlines too."""
        one = (SUBPATTERN, (None, re.DOTALL, 0, self._seq([(ANY, None)])))
        return (MAX_REPEAT, (count, count, self._seq([one])))

    def _fewer_than(self, count: int) -> Node:
        """Fewer than `count` characters follow."""
        return (ASSERT_NOT, (AHEAD, self._seq([self._any(count)])))

    @staticmethod
    def _is_atom(body: Tree) -> bool:
        return len(body) == 1 and body[0][0] in ATOMS
