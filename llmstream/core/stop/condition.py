"""The base of stop conditions: text in, the span of the match that meets the condition out.

A condition returns the match as soon as no further text can change it. All offsets are in characters from the start
of the stream.
"""

from __future__ import annotations

Span = tuple[int, int]

# Output modes: what is put out of the text before the match, and of the match.
INCLUSIVE, EXCLUSIVE, ONLY, QUIET = "inclusive", "exclusive", "only", "quiet"


class Condition:
    """Base class of the conditions: one that is never met."""

    note = ""  # for the user: a limit that changed what was matched

    def feed(self, text: str) -> Span | None:
        """Returns the match if text completes it; not called again after that."""
        return None

    def close(self) -> Span | None:
        """Returns the match if the end of the text completes it."""
        return None

    @property
    def start(self) -> int:
        """The offset before which the match cannot begin."""
        raise NotImplementedError

    @property
    def certain(self) -> int:
        """The offset before which the match cannot end."""
        raise NotImplementedError

    def decided_at(self) -> int:
        """Returns the offset at which the match became certain, independent of chunking; only after `feed` met it."""
        raise NotImplementedError
