"""The fast path for whole objects in large chunks: msgspec's C checks and decodes them.

Where an object ends is guessed by its layout: at the end of its line, at the first brace with the indent of its own
line, or, in a line without an end, where the next object seems to begin. A guess needs no more care than that, since
the text of an object has one end only: if it is valid JSON, it is the object. msgspec keeps numbers, escapes,
duplicates and order as they are; it refuses some valid objects (with lone surrogates, or a depth of 1000), and those,
like all others that it refuses, are left to the scanner.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import Any


@cache
def _msgspec() -> Any:
    """Imports msgspec, which takes 20 ms: only a large chunk is worth that."""
    import msgspec

    return msgspec


class BulkObjects:
    """Guesses where objects end and decodes them: `decode` returns an object's minified text."""

    def __init__(self) -> None:
        # After a failed guess nothing is tried up to the guessed end, so that no text is decoded twice. The guessed end
        # is an index in one chunk, which is recognised by its identity: comparing long texts would cost too much.
        self._chunk = ""
        self._silent_to = 0

    def decode(self, text: str, i: int, n: int) -> tuple[int, Any]:
        """Returns (end, decoded) for the object that begins at text[i], or (i, None) if the guess fails."""
        if text is not self._chunk:
            self._chunk, self._silent_to = text, 0
        if i < self._silent_to:
            return i, None
        end = _guess(text, i, n)
        if end <= i:
            self._silent_to = n
            return i, None
        try:
            return end, self._decode_object(text[i:end])
        except (_msgspec().MsgspecError, ValueError, RecursionError):
            self._silent_to = end
            return i, None

    def _decode_object(self, text: str) -> Any:
        return _msgspec().json.format(text, indent=-1)


_between = re.compile(r"\}(?=, ?\{)").search


def _guess(text: str, i: int, n: int) -> int:
    """Returns where the object at text[i] may end, or 0 if its layout does not say."""
    newline = text.find("\n", i, n)
    if newline < 0:
        comma = _between(text, i, n)
        return comma.start() + 1 if comma else 0
    if newline - i <= 2 and not text[i + 1 : newline].strip():
        indent = text[text.rfind("\n", 0, i) + 1 : i]
        close = "\n" + (indent if not indent.strip() else " " * (len(indent) - len(indent.lstrip()))) + "}"
        at = text.find(close, newline, n)
        return at + len(close) if at >= 0 else 0
    end = newline
    while end > i and text[end - 1] in ", \r\t" and newline - end < 4:
        end -= 1
    return end if text[end - 1] == "}" else 0


Selection = tuple[int, tuple[str, ...], str]  # (number of the path, the names on the path, the value's text)

PREFIX = "field_"  # of a struct's attributes, so that a name can be `class`
_escaped_ascii = re.compile(r"\\u00[3-7]").search  # an escape that could stand for a letter of a name


class BulkValues(BulkObjects):
    """Takes the values at paths of plain names out of whole objects: `decode` returns a list of Selections.

    msgspec finds the values and checks the rest. It reports the last of duplicate keys only, so an object in which a
    name occurs twice, wherever that is, is left to the scanner; so is one with escapes that could spell a name.
    """

    def __init__(self, paths: list[tuple[str, ...]], numbers: list[int]) -> None:
        super().__init__()
        self._paths, self._numbers = paths, numbers
        self._quoted = [f'"{name}"' for name in {name for path in paths for name in path}]
        self._mixed = ""  # the chunk whose lines are not one object each

    @classmethod
    def of(cls, paths: list[tuple[str, ...]], numbers: list[int]) -> BulkValues | None:
        """Returns None if a path is not of plain names, or one path leads through another."""
        tree: dict[str, Any] = {}
        for path in paths:
            place = tree
            for name in path[:-1]:
                place = place.setdefault(name, {})
                if not isinstance(place, dict):
                    return None
            if not path or path[-1] in place:
                return None
            place[path[-1]] = None
        return cls(paths, numbers)

    def decode_lines(self, text: str, i: int, n: int) -> tuple[int, list[Selection]]:
        """As `decode`, for all lines from text[i] on at once, if each is an object and there is only one path."""
        end = text.rfind("\n", i, n)
        if len(self._paths) > 1 or end < 0 or text is self._mixed or (i and text[i - 1] != "\n"):
            return i, []
        self._mixed = text  # until all lines have been decoded
        block = text[i:end]
        if "\\u00" in block and _escaped_ascii(block):
            return i, []
        try:
            values = self._decoder.decode_lines(block)
        except (_msgspec().MsgspecError, ValueError, RecursionError):
            return i, []
        for name in self._paths[0]:
            values = [value for record in values if (value := getattr(record, PREFIX + name))]
            if block.count(f'"{name}"') != len(values):
                return i, []
        self._mixed = ""
        number, path = self._numbers[0], self._paths[0]
        return end, [(number, path, _source(value)) for value in values]

    def _decode_object(self, text: str) -> list[Selection]:
        """Returns the values in the order of their names in the text."""
        if any(text.count(name) > 1 for name in self._quoted) or ("\\u00" in text and _escaped_ascii(text)):
            raise ValueError("a name may occur twice")
        record, selections = self._decoder.decode(text), []
        for number, path in zip(self._numbers, self._paths, strict=True):
            value = record
            for name in path:
                value = getattr(value, PREFIX + name)
                if not value:  # UNSET
                    break
            else:
                selections.append((number, path, _source(value)))
        if len(selections) > 1:
            selections.sort(key=lambda selection: text.find(f'"{selection[1][-1]}"'))
        return selections

    @cached_property
    def _decoder(self) -> Any:
        """Decodes objects to structs with the paths' names, and leaves the values at the paths as source text."""
        msgspec = _msgspec()

        def shape(paths: list[tuple[str, ...]]) -> Any:
            if paths == [()]:
                return msgspec.Raw
            names = {path[0]: None for path in paths}
            fields = []
            for name in names:
                below = shape([path[1:] for path in paths if path[0] == name])
                fields.append((PREFIX + name, below | msgspec.UnsetType, msgspec.UNSET))
            return msgspec.defstruct("Record", fields, rename={PREFIX + name: name for name in names})

        return msgspec.json.Decoder(shape(self._paths))


def _source(raw: Any) -> str:
    value = bytes(raw)
    return (_msgspec().json.format(value, indent=-1) if value[0] in b"{[" else value).decode()
