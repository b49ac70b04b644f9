"""What a stop condition is: fed with text, it names the match that meets it.

It does so at the moment when nothing that may still come can change the match. All offsets are in characters from the
stream's beginning.
"""

from __future__ import annotations

Span = tuple[int, int]

# Output modes: what is put out of the text before the match, and of the match.
INCLUSIVE, EXCLUSIVE, ONLY, QUIET = "inclusive", "exclusive", "only", "quiet"


class Condition:
    """Base of the conditions. Subclasses override what concerns them."""

    note = ""  # what the user should know about how it was, or was not, met

    def feed(self, text: str) -> Span | None:
        """The match that meets the condition, if text completes it. Not called again after that."""
        return None

    def close(self) -> Span | None:
        """The same, where the text is at its end."""
        return None

    @property
    def start(self) -> int:
        """The match does not begin before this offset."""
        raise NotImplementedError

    @property
    def certain(self) -> int:
        """The match does not end before this offset."""
        raise NotImplementedError

    def decided_at(self) -> int:
        """Once met by `feed`: how much of the text it took, the same for any cutting of the text."""
        raise NotImplementedError
