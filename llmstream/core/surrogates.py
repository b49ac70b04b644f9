"""Characters that arrive in two halves.

JSON may escape a character outside the BMP as two surrogates, and servers that cut text by UTF-16 units (those in
JavaScript do) send each half in a delta of its own. A half alone is no character and cannot be written.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

SURROGATES = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"


class Joiner:
    """Joins the halves within each of several texts that grow side by side, told apart by a key."""

    def __init__(self) -> None:
        self._halves: dict[Hashable, str] = {}

    def feed(self, key: Hashable, text: str) -> str:
        """What is certain of the text; a first half at its end is kept for the next piece."""
        if text.isascii() and not self._halves:  # nearly always
            return text
        text = self._halves.pop(key, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._halves[key] = text[-1]
            text = text[:-1]
        return scrub(text)

    def close(self) -> list[Hashable]:
        """The keys of the texts that end in a half: each lacks one REPLACEMENT."""
        keys = list(self._halves)
        self._halves.clear()
        return keys


def scrub(text: str) -> str:
    """The text with halves joined, and each that has no other half replaced."""
    if text.isascii() or not SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
