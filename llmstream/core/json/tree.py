"""The values that paths select in decoded values: the automaton walks those as `extract` lets it walk text.

What msgspec decodes is encoded again, and has to come out as the text that went in: then each part of it is encoded to
its own text, too, and there are no duplicate names. Floats are kept as text. Where strings have escapes that msgspec
does not write, other characters stand in meanwhile for all escapes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from .automaton import Automaton, Location, Node
from .bulk import Unproven, escape_of, is_literal, msgspec
from .strings import unescape

MAX_LEVELS = 64  # deeper documents are left to the automaton
MAX_WALKED = 500_000  # characters of values behind filters: `extract` allows no less

Entry = tuple["Node | int", Location, str]  # (where the paths go on in the value, or the number of its path, ...)

MARK = "\x7f"
_other_escapes = re.compile(r"\\[u/]").search  # than msgspec writes
ESCAPES = {"\\\\": MARK + "0", '\\"': MARK + "1", "\\": MARK + "2"}  # in this order; no text with a MARK is taken


class Tree:
    """Walks values. `is_limited`: filters behind filters may do more work than is allowed."""

    def __init__(self, automaton: Automaton) -> None:
        walks = [sum(bool(s.filters or s.from_end) for s in path.segments) for path in automaton.paths]
        self.is_limited = max(walks) > 1
        names = {name for path in automaton.paths for segment in path.segments for name in segment.names}
        self._hidden = escape_of(names) if all(map(is_literal, names)) else None
        self._selected: list[tuple[int, Location | str]] = []
        self._values: list[Any] = []  # that are selected, in the same order
        self._walked = 0
        self._is_marked = False  # marks stand for escapes

    def select(self, entries: list[Any]) -> tuple[list[tuple[int, Location | str]], str]:
        """Returns (number of the path, location) of each value that is selected, and the minified texts, one a line.

        The values are those in the values of entries, and of the entries that are matches, in their order.
        """
        values = iter(self._decode([text for tag, _, text in entries if not isinstance(tag, int)]))
        self._selected, self._values, self._walked = [], [], 0
        for tag, location, text in entries:
            if isinstance(tag, int):
                self._selected.append((tag, location))
                self._values.append(self._raw(text))
            else:
                self._walk(tag, location, next(values))
        lines: bytes = msgspec().json.Encoder().encode_lines(self._values)
        return self._selected, self._with_escapes(lines[:-1].decode())

    def _raw(self, text: str) -> Any:
        if self._is_marked and MARK in text:
            raise Unproven
        return msgspec().Raw(msgspec().json.format(text, indent=-1) if text[0] in "{[" else text)

    def _decode(self, texts: list[str]) -> list[Any]:
        text = f"[{','.join(texts)}]"
        self._is_marked = "\\" in text and bool(_other_escapes(text))
        if self._is_marked:
            if MARK in text or self._hidden is None or self._hidden(text):
                raise Unproven
            for escape, mark in ESCAPES.items():
                text = text.replace(escape, mark)
        text = msgspec().json.format(text, indent=-1)
        values = _decoder().decode(text)
        if msgspec().json.encode(values) != text.encode():
            raise Unproven
        return values  # type: ignore[no-any-return]

    def _text(self, value: Any) -> str:
        return self._with_escapes(msgspec().json.encode(value).decode())

    def _with_escapes(self, text: str) -> str:
        if self._is_marked and MARK in text:
            for escape, mark in reversed(ESCAPES.items()):
                text = text.replace(mark, escape)
        return text

    def _walk(self, node: Node, location: Location, value: Any, depth: int = 0) -> None:
        """Takes a value and all below it, in the order in which they end."""
        if depth > MAX_LEVELS:
            raise Unproven
        kind = type(value)
        if node.moves and kind is dict:
            self._members(node, location, value, depth + 1)
        elif node.moves and kind is list:
            self._elements(node, location, value, depth + 1)
        if node.selects:
            self._complete(node, location, value)
        if node.from_end and kind is list:
            self._charge(value)
            self._elements(node.at_length(len(value)), location, value, depth + 1)

    def _members(self, node: Node, location: Location, members: dict[str, Any], depth: int) -> None:
        names, others = node.names, node.others
        selects = others is not None and others.selects
        for name, value in members.items():
            if name in names:
                child = node.member(name)
            elif selects or type(value) is dict or type(value) is list:
                child = others
            else:
                continue
            if child is not None:
                key = unescape(self._with_escapes(name)) if self._is_marked and MARK in name else name
                self._walk(child, (location, key), value, depth)

    def _elements(self, node: Node, location: Location, elements: list[Any], depth: int) -> None:
        others = node.elements()
        if others is not None and not others.selects:
            for index, value in enumerate(elements):
                if type(value) is dict or type(value) is list:
                    self._walk(others, (location, index), value, depth)
            return
        for index, value in enumerate(elements):
            if (child := node.element(index)) is not None:
                self._walk(child, (location, index), value, depth)

    def _complete(self, node: Node, location: Location, value: Any) -> None:
        for number, count in node.accepts:
            self._selected += [(number, location)] * count
            self._values += [value] * count
        if not node.tests:
            return
        plain = msgspec().json.decode(self._text(value))
        behind = node.behind(tuple(filter.holds(plain, None) for _, filter in node.tests))
        if behind is not None:
            self._charge(value)
            self._walk(behind, location, value)

    def _charge(self, value: Any) -> None:
        """Charges a walk within the walk."""
        if self.is_limited:
            self._walked += len(self._text(value))
            if self._walked > MAX_WALKED:
                raise Unproven


@cache
def _decoder() -> Any:
    return msgspec().json.Decoder(float_hook=msgspec().Raw)
