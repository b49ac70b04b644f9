"""Parses Server-Sent Events: bytes in, frames out.

Source: WHATWG HTML standard, section 9.2.6 "Interpreting an event stream". The fields for reconnection (`id`, `retry`)
are ignored, since an answer is one stream. A field `error`, which the standard lacks, is an event of that name.
"""

from __future__ import annotations

import re
from typing import Protocol

from ..errors import Incomplete

MAX_EVENT_BYTES = 16 * 1024 * 1024  # all lines of one event
FIELDS = (b"data", b"error")  # fields with data: llama.cpp before 2025-09 wrote `error: {...}`
BOM = b"\xef\xbb\xbf"
WHOLE_EVENT = re.compile(rb"(?:event: ([^\r\n]*+)\n)?data: ([^\r\n]*+)\n\n")  # as nearly all servers write one

Frame = tuple[str, bytes]  # (event type, "" if unnamed; data)


class Frames(Protocol):
    """A parser that splits a stream into frames."""

    def feed(self, chunk: bytes) -> list[Frame]:
        """Returns the frames that chunk completes."""

    def close(self) -> list[Frame]:
        """Ends the stream; returns the frames that the end completes."""


class Parser:
    """Splits an event stream into frames, whatever its chunks. Holds one unfinished event of at most `limit` bytes."""

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._line: list[bytes] = []  # the pieces of the unfinished line
        self.held = 0  # bytes in _line and _data
        self._after_cr = False
        self._at_start = True
        self._too_large = False
        self._event = ""
        self._data: list[bytes] = []
        self.is_between_events = False  # and the next byte begins one

    def feed(self, chunk: bytes) -> list[Frame]:
        """Returns the frames that chunk completes. Raises Incomplete if one event is larger than the limit.

        If frames precede that event in the chunk they are returned, and the next call raises.
        """
        if self.is_between_events and len(chunk) <= self._limit and (event := WHOLE_EVENT.fullmatch(chunk)):
            name, data = event.groups()
            return [(name.decode("utf-8", "replace") if name else "", data)]
        if self._too_large:
            raise self._error()
        if self._after_cr and chunk[:1] == b"\n":  # the second half of a CRLF
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return []
        if b"\r" in chunk:
            self._after_cr = chunk[-1] == 0x0D
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            self._after_cr = False
        lines = chunk.split(b"\n")
        if self._line and len(lines) > 1:
            lines[0] = b"".join((*self._line, lines[0]))
            self.held -= sum(map(len, self._line))
            self._line.clear()
        rest = lines.pop()
        frames = self._take(lines) if lines else []
        if rest:
            self._line.append(rest)
            self.held += len(rest)
        if self.held > self._limit:
            self._too_large = True
        self.is_between_events = not (self.held or self._event or self._at_start or self._after_cr or self._too_large)
        if self._too_large and not frames:
            raise self._error()
        return frames

    @property
    def is_open(self) -> bool:
        """Whether an event has begun."""
        return self.held > 0 or self._event != ""

    def close(self) -> list[Frame]:
        """Returns the last frame if the stream ended without the blank line after it, or within its last line.

        The standard discards it. But some providers omit the last blank line, and only the end mark decides whether an
        answer is complete. Raises Incomplete as `feed` does.
        """
        if self._too_large:
            raise self._error()
        lines = [b"".join(self._line), b""] if self._line else [b""]
        self.held -= sum(map(len, self._line))
        self._line.clear()
        return self._take(lines)

    def _error(self) -> Incomplete:
        return Incomplete(f"one event of the stream is larger than {self._limit} bytes")

    def _take(self, lines: list[bytes]) -> list[Frame]:
        frames: list[Frame] = []
        data = self._data
        for raw in lines:
            if self.held + len(raw) > self._limit:  # complete lines too, so that chunks make no difference
                self._too_large = True
                break
            line = raw.removeprefix(BOM) if self._at_start else raw
            self._at_start = False
            if not line:
                if data:
                    frames.append((self._event, data[0] if len(data) == 1 else b"\n".join(data)))
                    self.held = 0
                    data.clear()
                self._event = ""
                continue
            name, _, value = line.partition(b":")
            if value[:1] == b" ":
                value = value[1:]
            if name == b"event":
                self._event = value.decode("utf-8", "replace")
            elif name in FIELDS:
                data.append(value)
                self.held += len(value) + 1  # 1 for an empty line's memory, too
                if name == b"error":
                    self._event = "error"
        return frames
