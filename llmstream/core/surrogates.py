"""Joins UTF-16 surrogate pairs that were split across deltas.

JSON may escape a character outside the BMP as two surrogates, and servers that cut text by UTF-16 units (those in
JavaScript do) may send each half in another delta. A half alone is not a character and cannot be encoded.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

SURROGATES = "[\ud800-\udfff]"  # compiled where it is used, which is seldom
REPLACEMENT = "\ufffd"


class Joiner:
    """Joins the halves within each of several texts that grow at the same time; a key identifies a text."""

    def __init__(self) -> None:
        self.halves: dict[Hashable, str] = {}

    def feed(self, key: Hashable, text: str) -> str:
        """Returns the text, without a first half at its end, which is held for the next piece."""
        if text.isascii() and not self.halves:  # a fast path for nearly all pieces
            return text
        text = self.halves.pop(key, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self.halves[key] = text[-1]
            text = text[:-1]
        return scrub(text)

    def close(self) -> list[Hashable]:
        """Returns the keys of the texts that end in a half; append REPLACEMENT to each."""
        keys = list(self.halves)
        self.halves.clear()
        return keys


def scrub(text: str) -> str:
    """Joins the halves in a text, and replaces those that are alone."""
    if text.isascii() or not re.search(SURROGATES, text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
