"""The leaf blocks of a Markdown text, which contain no other blocks, as events of a stream; the cells of a table."""

from __future__ import annotations

import re
from typing import NamedTuple

# The kinds of leaves. PLAIN is text that is too large to hold, EMPTY is an item without content.
TEXT, TITLE, RULE, TABLE, CODE, PLAIN, EMPTY = "text", "title", "rule", "table", "code", "plain", "empty"

_DELIMITERS = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*+\|?")
_CELL_END = re.compile(r"(?<!\\)\|")


class Place(NamedTuple):
    """A container around a leaf: the marker of a list item, or ">"; `begins` at the first leaf in it."""

    marker: str
    begins: bool


class Leaf(NamedTuple):
    """A block that has closed. `text` is its Markdown, without the prefixes of the containers and the heading's marks.

    `gap` tells whether a blank line stands before it, `level` is a heading's. A table may come in parts; `follows` is
    true for all parts but the first.
    """

    kind: str
    text: str
    places: tuple[Place, ...]
    gap: bool
    level: int = 0
    follows: bool = False


class Opened(NamedTuple):
    """A block of code, or of PLAIN text, begins; its content follows piece by piece. `info` is the fence's."""

    kind: str
    info: str
    places: tuple[Place, ...]
    gap: bool


class Closed(NamedTuple):
    """The block that opened last has ended."""


LeafEvent = Leaf | Opened | str | Closed


def begins_table(header: str, line: str) -> bool:
    """Whether a line makes the one before it the header of a table."""
    return "|" in header and bool(_DELIMITERS.fullmatch(line.rstrip())) and len(cells(header)) == len(cells(line))


def cells(row: str) -> list[str]:
    """Returns the cells of a table's row, without the white space around them."""
    row = row.strip().removeprefix("|")
    if row.endswith("|") and not row.endswith("\\|"):
        row = row[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _CELL_END.split(row)]
