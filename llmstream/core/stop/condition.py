"""The base of stop conditions: text in, the span of the match that meets the condition out.

A condition returns the match as soon as no further text can change it. All offsets are in characters from the start
of the stream.
"""

from __future__ import annotations

Span = tuple[int, int]

# Output modes: what is put out of the text before the match, and of the match.
INCLUSIVE, EXCLUSIVE, ONLY, QUIET = "inclusive", "exclusive", "only", "quiet"


class Condition:
    """Base class of the conditions: no text meets it, and a match may begin only where the text so far ends."""

    note = ""  # for the user: a limit that changed what was matched

    def __init__(self) -> None:
        self._end = 0  # the offset of the end of the text
        self._decided_at = 0

    def feed(self, text: str) -> Span | None:
        """Returns the match if text completes it; not called again after that."""
        self._end += len(text)
        return None

    def close(self) -> Span | None:
        """Returns the match if the end of the text completes it."""
        return None

    @property
    def start(self) -> int:
        """The offset before which the match cannot begin."""
        return self._end

    @property
    def certain(self) -> int:
        """The offset before which the match cannot end."""
        return self._end

    def decided_at(self) -> int:
        """Returns the offset at which the match became certain, independent of chunking; only after `feed` met it."""
        return self._decided_at
