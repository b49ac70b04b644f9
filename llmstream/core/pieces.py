"""The pieces into which an input of any framing is split."""

from __future__ import annotations

from typing import NamedTuple

ARRAY, ELEMENT, DOCUMENT, TEXT = "array", "element", "document", "text"
EXCERPT_BYTES = 80  # of text


class Piece(NamedTuple):
    """A frame of a stream, an object of a JSON text, or a line of text.

    `place` is "" in a stream of events, and TEXT for text. An object of a JSON text is the first one of an ARRAY, a
    further ELEMENT of it, or alone, which makes it a DOCUMENT.
    """

    place: str
    name: str
    data: bytes

    @property
    def is_json(self) -> bool:
        """Whether it is an object of a JSON text."""
        return self.place in (ARRAY, ELEMENT, DOCUMENT)
