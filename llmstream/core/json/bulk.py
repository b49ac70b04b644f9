"""Whole objects out of bulk text, proven and minified by msgspec's C.

Where an object ends is guessed by its layout: at the end of its line, at the first brace with the indent of its own
line, or, in a line without an end, where the next object seems to begin. A guess needs no more care than that, since
the text of an object has one end only: if it is valid JSON, it is the object. msgspec keeps numbers, escapes,
duplicates and order as they are; it refuses some that are valid (lone surrogates, a depth of 1000), and those, like
all others refused, go the scanner's way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any


class Bulk:
    """Guesses ends. After a failed guess it stays silent up to the guessed end, so that no text is tried twice."""

    def __init__(self, decode: Callable[[str], Any] | None = None) -> None:
        self._decode = decode
        self._errors: tuple[type[Exception], ...] = ()
        self._chunk = ""  # the one at hand
        self._silent_to = 0

    def take(self, text: str, i: int, n: int) -> tuple[int, Any]:
        """(end, decoded) of the object that begins at text[i]; (i, None) where the guess fails."""
        if text is not self._chunk:
            self._chunk, self._silent_to = text, 0
        if i < self._silent_to:
            return i, None
        end = _guess(text, i, n)
        if end <= i:
            self._silent_to = n
            return i, None
        if self._decode is None or not self._errors:
            self._load()
            assert self._decode is not None
        try:
            return end, self._decode(text[i:end])
        except self._errors:
            self._silent_to = end
            return i, None

    def _load(self) -> None:
        import msgspec

        self._errors = (msgspec.MsgspecError, ValueError, RecursionError)
        if self._decode is None:
            minify = msgspec.json.format
            self._decode = lambda text: minify(text, indent=-1)


_between = re.compile(r"\}(?=, ?\{)").search


def _guess(text: str, i: int, n: int) -> int:
    """Where the object at text[i] may end; 0 if nothing can be said."""
    newline = text.find("\n", i, n)
    if newline < 0:
        comma = _between(text, i, n)
        return comma.start() + 1 if comma else 0
    if newline - i <= 2 and not text[i + 1 : newline].strip():
        indent = text[text.rfind("\n", 0, i) + 1 : i]
        close = "\n" + (indent if not indent.strip() else " " * (len(indent) - len(indent.lstrip()))) + "}"
        found = text.find(close, newline, n)
        return found + len(close) if found >= 0 else 0
    end = newline
    while end > i and text[end - 1] in ", \r\t" and newline - end < 4:
        end -= 1
    return end if text[end - 1] == "}" else 0


Selected = tuple[int, tuple[str, ...], str]  # (number of the path, the path, the value's text)


class Names(Bulk):
    """The values at paths of plain names, out of objects that stand whole in the text.

    msgspec finds them and proves the rest. It reports the last of duplicate keys only, so a text in which a name
    occurs twice, in whatever place, goes the scanner's way; so does one with escapes that could spell a name.
    """

    def __init__(self, paths: list[tuple[str, ...]], numbers: list[int]) -> None:
        super().__init__(self._values)
        self._paths, self._numbers = paths, numbers
        self._quoted = [f'"{name}"' for name in {name for path in paths for name in path}]
        self._decoder: Any = None
        self._mixed = ""  # the chunk that does not have an object on each line

    @classmethod
    def of(cls, paths: list[tuple[str, ...]], numbers: list[int]) -> Names | None:
        """None where the paths are not plain names, or one leads through another."""
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

    def take_lines(self, text: str, i: int, n: int) -> tuple[int, list[Selected]]:
        """As `take`, for all the lines from text[i] on at once, if each holds an object and there is but one path."""
        end = text.rfind("\n", i, n)
        if len(self._paths) > 1 or end < 0 or text is self._mixed or (i and text[i - 1] != "\n"):
            return i, []
        self._mixed = text  # until it is known that it is not
        block = text[i:end]
        if "\\u00" in block and _spelt(block):
            return i, []
        if not self._errors:
            self._load()
        try:
            values = self._records().decode_lines(block)
        except self._errors:
            return i, []
        for name in self._paths[0]:
            values = [value for record in values if (value := getattr(record, FIELD + name))]
            if block.count(f'"{name}"') != len(values):
                return i, []
        self._mixed = ""
        number, path = self._numbers[0], self._paths[0]
        return end, [(number, path, self._source(bytes(value))) for value in values]

    def _records(self) -> Any:
        if self._decoder is None:
            self._decoder = _decoder(self._paths)
        return self._decoder

    def _values(self, text: str) -> list[Selected]:
        """What the object has, in its order."""
        if any(text.count(name) > 1 for name in self._quoted) or ("\\u00" in text and _spelt(text)):
            raise ValueError("a name may occur twice")
        record, found = self._records().decode(text), []
        for number, path in zip(self._numbers, self._paths, strict=True):
            value = record
            for name in path:
                value = getattr(value, FIELD + name)
                if not value:  # UNSET
                    break
            else:
                found.append((number, path, self._source(bytes(value))))
        if len(found) > 1:
            found.sort(key=lambda match: text.find(f'"{match[1][-1]}"'))
        return found

    def _source(self, value: bytes) -> str:
        if value[0] in b"{[":
            import msgspec

            value = msgspec.json.format(value, indent=-1)
        return value.decode()


FIELD = "field_"  # before a name, so that `class` can be one
_spelt = re.compile(r"\\u00[3-7]").search


def _decoder(paths: list[tuple[str, ...]]) -> Any:
    """A decoder for objects with these paths, whose values it leaves as they are."""
    import msgspec

    def shape(paths: list[tuple[str, ...]]) -> Any:
        if paths == [()]:
            return msgspec.Raw
        names = {path[0]: None for path in paths}
        fields = []
        for name in names:
            below = shape([path[1:] for path in paths if path[0] == name])
            fields.append((FIELD + name, below | msgspec.UnsetType, msgspec.UNSET))
        return msgspec.defstruct("Record", fields, rename={FIELD + name: name for name in names})

    return msgspec.json.Decoder(shape(paths))
