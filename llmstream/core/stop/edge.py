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

import re
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
BEGINNINGS = frozenset((AT_BEGINNING, AT_BEGINNING_STRING))
PLACES = BEGINNINGS | {AT_END, AT_END_STRING, AT_BOUNDARY, AT_NON_BOUNDARY}
GROUPS = frozenset((SUBPATTERN, ATOMIC_GROUP, BRANCH, ASSERT, ASSERT_NOT, GROUPREF, GROUPREF_EXISTS))
NODES = ATOMS | REPEATS | GROUPS | {AT, FAILURE}


class Edge(NamedTuple):
    """What `Search` must know about a pattern, beside the pattern. All widths are in characters."""

    plain: re.Pattern[str]  # P
    pattern: re.Pattern[str]  # E|P
    flag: int  # the group that is set where it was E that matched
    shortest: int  # the least width of a match
    reach: int | None  # how far from a match's start its verdict can depend on the text; None: any distance
    behind: int  # how far before its start it looks
    forward: bool  # whether it looks at what it does not consume: lookahead, `$`, `\Z`, `\b`


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
    shortest, _ = tree.getwidth()
    facts = _Facts(tree)
    reach = facts.reach(tree)
    # `re.search` skips what `(?a:\W)` matches, since it filters first characters by Unicode's \W; not behind `(?=)`.
    head = [(ASSERT, (1, _parser.SubPattern(tree.state, [])))] if facts.scoped else []
    plain: re.Pattern[str] = _compiler.compile(_parser.SubPattern(tree.state, [*head, *tree]), flags)
    maker = _Maker(tree, facts.referred, window)
    made = _compiler.compile(maker.make(flags | tree.state.flags), flags)
    near = reach if reach < window else None
    return Edge(plain, made, maker.flag, shortest, near, facts.behind(tree), facts.forward)


def _parts(op: Any, value: Any) -> list[Tree]:
    """The trees inside a node."""
    if op is BRANCH:
        return list(value[1])
    if op is SUBPATTERN or op in REPEATS:
        return [value[-1]]
    if op is ATOMIC_GROUP:
        return [value]
    if op is ASSERT or op is ASSERT_NOT:
        return [value[1]]
    if op is GROUPREF_EXISTS:
        return [part for part in value[1:] if part is not None]
    return []


class _Facts:
    def __init__(self, tree: Tree) -> None:
        self.forward = False
        self.referred: set[int] = set()  # groups of more than one character that are referred to
        self.scoped = False  # whether a part is in ASCII, or in Unicode, only
        self._survey(tree)

    def _survey(self, tree: Tree) -> None:
        for op, value in tree:
            if op not in NODES or (op is AT and value not in PLACES):
                raise NotImplementedError(f"a syntax tree with an unknown part: {op} {value}")
            looks = op in (ASSERT, ASSERT_NOT) and value[0] > 0
            if looks or (op is AT and value not in BEGINNINGS):
                self.forward = True
            if op is SUBPATTERN and (value[1] | value[2]) & (re.ASCII | re.UNICODE):
                self.scoped = True
            if op is GROUPREF and tree.state.groupwidths[value][1] > 1:
                self.referred.add(value)
            for part in _parts(op, value):
                self._survey(part)

    def reach(self, tree: Tree) -> int:
        """A lookahead begins within the width, and reaches on from there; `$` sees a newline further."""
        return int(tree.getwidth()[1]) + self._ahead(tree) + 1

    def _ahead(self, tree: Tree) -> int:
        farthest = 0
        for op, value in tree:
            inner = max((self._ahead(part) for part in _parts(op, value)), default=0)
            if op in (ASSERT, ASSERT_NOT) and value[0] > 0:
                inner += int(value[1].getwidth()[1])
            farthest = max(farthest, inner)
        return farthest

    def behind(self, tree: Tree) -> int:
        farthest = 0
        for op, value in tree:
            inner = max((self.behind(part) for part in _parts(op, value)), default=0)
            if op in (ASSERT, ASSERT_NOT) and value[0] < 0:
                inner += int(value[1].getwidth()[0])
            farthest = max(farthest, inner)
        return farthest


class _Maker:
    """Makes the tree of E. The methods return lists of nodes; `flags` are those in force where a node stands."""

    def __init__(self, tree: Tree, referred: set[int], window: int) -> None:
        self._tree, self._state, self._window = tree, tree.state, window
        self.flag = self._group()
        # The first characters of a group that is referred to, each captured anew in a group of its own.
        self._heads = {group: [self._group() for _ in range(REMEMBERED)] for group in referred}

    def make(self, flags: int) -> Tree:
        """The tree of E|P. E is atomic, since P stops at its first match, and fails where the flag is not set.

        What surely is consumed first stays in front of both, for the sake of the speed at which `re` skips text that
        cannot begin a match; E then does not match at the very end, where every pattern wants more.
        """
        first, rest = self._split()
        made = self._sequence(rest, flags)
        touched = [(ATOMIC_GROUP, self._seq(made)), self._if_flag([], [(FAILURE, ())])]
        # P gets groups of its own, above those of E: `re` clears these only, of what a failed branch has captured.
        by = int(self._state.groups) - 1
        self._state.groupwidths += self._state.groupwidths[1:]
        return self._seq([*first, *self._either(touched, list(self._shifted(rest, by)))])

    def _shifted(self, nodes: Tree, by: int) -> Tree:
        """A copy whose groups have numbers higher by `by`."""
        made: list[Node] = []
        for op, value in nodes:
            parts = [self._shifted(part, by) for part in _parts(op, value)]
            new = value
            if op is SUBPATTERN:
                new = (value[0] and value[0] + by, *value[1:-1], parts[0])
            elif op in REPEATS or op in (BRANCH, ASSERT, ASSERT_NOT):
                new = (*value[:-1], parts if op is BRANCH else parts[0])
            elif op is ATOMIC_GROUP:
                new = parts[0]
            elif op is GROUPREF:
                new = value + by
            elif op is GROUPREF_EXISTS:
                new = (value[0] + by, parts[0], parts[1] if len(parts) > 1 else None)
            made.append((op, new))
        return self._seq(made)

    def _split(self) -> tuple[list[Node], list[Node]]:
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

    def _sequence(self, nodes: list[Node], flags: int) -> list[Node]:
        return [made for op, value in nodes for made in self._node(op, value, flags)]

    def _node(self, op: Any, value: Any, flags: int) -> list[Node]:
        if op in ATOMS:
            return self._unless(self._either(self._touch(), [(op, value)]))
        if op in REPEATS:
            return self._repeat(op, value, flags)
        if op is BRANCH:
            return [(BRANCH, (value[0], [self._seq(self._sequence(part, flags)) for part in value[1]]))]
        if op is SUBPATTERN:
            group, add, remove, body = value
            made = self._seq(self._remember(group) + self._sequence(body, (flags | add) & ~remove))
            return [(SUBPATTERN, (group, add, remove, made))]
        if op is ATOMIC_GROUP:
            return [(op, self._seq(self._sequence(value, flags)))]
        if op is ASSERT or op is ASSERT_NOT:
            return self._look(op, value, flags)
        if op is AT:
            return self._at(value, flags)
        if op is GROUPREF:
            return self._refer(value)
        if op is GROUPREF_EXISTS:
            yes, no = (None if part is None else self._seq(self._sequence(part, flags)) for part in value[1:])
            return [(op, (value[0], yes, no))]
        return self._unless([(op, value)])

    def _repeat(self, op: Any, value: Any, flags: int) -> list[Node]:
        least, most, body = value
        if not self._is_atom(body):
            return [(op, (least, most, self._seq(self._sequence(body, flags))))]
        # A run of single characters stays one, which `re` does fast: does it reach the end, wanting more?
        plain = [(op, value)]
        if most == 0:
            return self._unless(plain)
        run = [(POSSESSIVE_REPEAT, (0, most if most is MAXREPEAT else most - 1, body)), *self._touch()]
        return self._unless(self._either(plain, run) if op is MIN_REPEAT else self._either(run, plain))

    def _look(self, op: Any, value: Any, flags: int) -> list[Node]:
        direction, body = value
        plain = [(op, value)]
        if direction < 0:
            return self._unless(self._look_behind(plain, body))
        made = self._seq(self._sequence(body, flags))
        if op is ASSERT:
            return [(ASSERT, (1, made))]
        touched = self._seq([(ATOMIC_GROUP, made), self._if_flag([], [(FAILURE, ())])])
        return self._unless(self._either([(ASSERT, (1, touched))], plain))

    def _look_behind(self, plain: list[Node], body: Tree) -> list[Node]:
        facts = _Facts(body)
        if not facts.forward:
            return plain
        if facts.reach(body) - body.getwidth()[1] > 1:  # a lookahead inside: anything may change it
            return self._set_flag()
        near = (ASSERT_NOT, (1, self._seq([self._any(2)])))
        return self._either([near, *self._set_flag()], plain)

    def _at(self, where: Any, flags: int) -> list[Node]:
        plain = [(AT, where)]
        if where in BEGINNINGS:
            return self._unless(plain)
        if where is AT_END_STRING:
            return self._unless(self._touch())
        if where is AT_END and not flags & re.MULTILINE:  # also before a newline that is the last character, so far
            return self._unless([*plain, *self._set_flag()])
        return self._unless(self._either(self._touch(), plain))

    def _refer(self, group: int) -> list[Node]:
        plain = [(GROUPREF, group)]
        if group not in self._heads:
            return self._unless(self._either(self._touch(), plain))
        widest = min(int(self._state.groupwidths[group][1]), self._window)
        walk = [(ASSERT_NOT, (1, self._seq([self._any(widest)]))), *self._set_flag()]
        for head in reversed(self._heads[group]):
            walk = self._either(self._touch(), [(GROUPREF, head), *walk])
        return self._unless(self._either(plain, walk))

    def _remember(self, group: int | None) -> list[Node]:
        heads = self._heads.get(group or 0, [])
        if not heads:
            return []
        inner: list[Node] = []
        for head in reversed(heads):
            one = (SUBPATTERN, (head, 0, 0, self._seq([self._any(1)])))
            inner = [(MAX_REPEAT, (0, 1, self._seq([one, *inner])))]
        return [(ASSERT, (1, self._seq(inner)))]

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

    def _touch(self) -> list[Node]:
        """At the end: set the flag."""
        return [(AT, AT_END_STRING), *self._set_flag()]

    def _if_flag(self, yes: list[Node], no: list[Node]) -> Node:
        return (GROUPREF_EXISTS, (self.flag, self._seq(yes), self._seq(no)))

    def _unless(self, nodes: list[Node]) -> list[Node]:
        return [self._if_flag([], nodes)]

    def _any(self, count: int) -> Node:
        """`count` characters, newlines too."""
        one = (SUBPATTERN, (None, re.DOTALL, 0, self._seq([(ANY, None)])))
        return (MAX_REPEAT, (count, count, self._seq([one])))

    @staticmethod
    def _is_atom(body: Tree) -> bool:
        return len(body) == 1 and body[0][0] in ATOMS
