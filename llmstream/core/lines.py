"""Parses newline-delimited JSON: bytes in, a frame for each line out."""

from __future__ import annotations

from ..errors import Incomplete
from .sse import BOM, MAX_EVENT_BYTES, Frame


class Parser:
    """Splits a stream into lines, as `sse.Parser` does into events. Holds one unfinished line of at most `limit` bytes.

    Frames have no names; blank lines are left out.
    """

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._line: list[bytes] = []  # the pieces of the unfinished line
        self._held = 0  # bytes in _line
        self._at_start = True
        self._too_large = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Returns the frames that chunk completes. Raises Incomplete if one line is larger than the limit.

        If frames precede that line in the chunk they are returned, and the next call raises.
        """
        lines = chunk.split(b"\n")
        if len(lines) > 1 and self._line:
            lines[0] = b"".join((*self._line, lines[0]))
            self._line.clear()
            self._held = 0
        rest = lines.pop()
        frames = self._take(lines) if lines else []
        if rest:
            self._line.append(rest)
            self._held += len(rest)
        if self._held > self._limit:
            self._too_large = True
        if self._too_large and not frames:
            raise self._error()
        return frames

    def close(self) -> list[Frame]:
        """Returns the last frame if its line has no end. Raises Incomplete as `feed` does."""
        if self._too_large:
            raise self._error()
        lines = [b"".join(self._line)]
        self._line.clear()
        self._held = 0
        return self._take(lines)

    def _error(self) -> Incomplete:
        return Incomplete(f"one line of the stream is larger than {self._limit} bytes")

    def _take(self, lines: list[bytes]) -> list[Frame]:
        frames: list[Frame] = []
        for line in lines:
            if self._too_large or len(line) > self._limit:  # complete lines too, so that chunks make no difference
                self._too_large = True
                break
            if data := (line.removeprefix(BOM) if self._at_start else line).strip():
                frames.append(("", data))
            self._at_start = False
        return frames
