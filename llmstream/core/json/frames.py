"""A stream of JSON objects, as the frames that a dialect's decoder takes.

Lines of JSON, an array that grows, one answer in many lines: an object is a frame at its last brace.
"""

from __future__ import annotations

from ..sse import MAX_EVENT, Frame
from ..text import Decoder
from .objects import Objects


class Parser:
    """Like `sse.Parser`; frames have no names. A malformed or too large object is a frame that says what is wrong."""

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._decoder = Decoder()
        self._objects = Objects(limit)

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that chunk completes."""
        found = self._objects.feed(self._decoder.feed(chunk))
        return [("", (data if isinstance(data, str) else data.why).encode()) for data in found]

    def close(self) -> list[Frame]:
        """Nothing: an object that has not ended is cut."""
        return []
