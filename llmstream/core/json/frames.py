"""A stream of JSON objects, as the frames that a dialect's decoder takes.

The stream may be lines of JSON, an array that grows, or one answer in many lines: an object is a frame at its last
brace.
"""

from __future__ import annotations

from ..sse import MAX_EVENT_BYTES, Frame
from ..text import Utf8Decoder
from .objects import Objects


class Parser:
    """Like `sse.Parser`; frames have no names. A malformed or too large object is a frame that says what is wrong."""

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._decoder = Utf8Decoder()
        self._objects = Objects(limit)

    @property
    def held(self) -> int:
        """Whether an object is open, as a number."""
        return int(self._objects.is_open)

    def feed(self, chunk: bytes) -> list[Frame]:
        """Returns the frames that chunk completes."""
        results = self._objects.feed(self._decoder.feed(chunk))
        return [("", (item if isinstance(item, str) else item.reason).encode()) for item in results]

    def close(self) -> list[Frame]:
        """Returns no frame: an object that is open at the end is incomplete."""
        return []
