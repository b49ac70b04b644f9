"""Copies a stream up to the first condition that is met.

Of several conditions the first is the one whose match becomes certain first as the text comes character by character;
at a tie, the one whose match ends first; then the one that stands first in the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import Incomplete, option
from ..text import BOM, UTF16_MARKS, InputDecoder, Utf8Decoder, looks_like_utf16, original
from .buffer import Buffer
from .condition import EXCLUSIVE, INCLUSIVE, ONLY, QUIET, Condition, Span
from .counts import Bytes, Timed

MAX_BUFFER = 64 * 1024 * 1024  # characters that EXCLUSIVE and ONLY may have to keep


class Until:
    """Copies bytes to bytes. Once `met` is true the rest is not needed. Times are seconds of the caller's clock."""

    def __init__(self, conditions: Sequence[Condition], mode: str = INCLUSIVE) -> None:
        self._conditions = list(conditions)
        self._mode = mode
        self._timed = [condition for condition in conditions if isinstance(condition, Timed)]
        sizes = [condition.left for condition in conditions if isinstance(condition, Bytes)]
        self._left = min(sizes, default=None)  # bytes that may still come
        # A byte order mark is copied, but no part of the text. Where bytes are counted, it counts.
        self._decoder = InputDecoder() if self._left is None else Utf8Decoder()
        self._at_start = True  # of the text
        self._buffer = Buffer()
        self.met = False

    @property
    def notes(self) -> list[str]:
        """The conditions' notes for the user, each once."""
        return list(dict.fromkeys(condition.note for condition in self._conditions if condition.note))

    def begin(self, now: float) -> None:
        """Starts the clocks of the conditions: reading begins."""
        for condition in self._timed:
            condition.begin(now)

    def deadline(self) -> float | None:
        """Returns the time at which `expire` must be called; None for never."""
        return min((c.deadline for c in self._timed if c.deadline is not None), default=None)

    def expire(self, now: float) -> bytes:
        """Returns the rest of the output if a condition's time has come."""
        deadline = self.deadline()
        if self.met or deadline is None or now < deadline:
            return b""
        return self._end(b"")

    def feed(self, chunk: bytes, now: float = 0.0) -> bytes:
        """Returns the output that is now certain. Raises Incomplete where more than MAX_BUFFER must be buffered."""
        if self.met:
            return b""
        for condition in self._timed:
            condition.arrived(now)
        if self._timed and (deadline := self.deadline()) is not None and now >= deadline:
            return self._end(b"")
        if self._left is not None:
            chunk = chunk[: self._left]
            self._left -= len(chunk)
        text = self._decoder.feed(chunk)
        span = self._find(text)
        out = self._meet(span) if span else self._end(chunk[-1:]) if self._left == 0 else self._release()
        if self._at_start and (text or self._decoder.had_mark):
            self._at_start = False
            if self._decoder.had_mark and self._mode in (INCLUSIVE, EXCLUSIVE):
                return original(BOM) + out
        return out

    def close(self) -> bytes:
        """Returns the rest of the output at the end of the stream."""
        if self.met:
            return b""
        span = self._find(self._decoder.close())
        if not span:
            spans = [span for condition in self._conditions if (span := condition.close())]
            span = min(spans, key=lambda span: span[1], default=None)
        if span:
            return self._meet(span)
        return self._choose(original(self._buffer.take(self._buffer.end)), b"")

    def pause(self) -> bytes:
        """Returns what is held back where the text pauses, after which it may go on or not; a match may begin in it."""
        if self.met or self._mode not in (INCLUSIVE, EXCLUSIVE):
            return b""
        return original(self._buffer.take(self._buffer.end))

    @property
    def is_utf16(self) -> bool:
        """Whether the input seems to be UTF-16; a single NUL, as between names of files, is not enough."""
        head = self._decoder.head
        return head[:2] in UTF16_MARKS or (looks_like_utf16(head[:2]) and looks_like_utf16(head[2:4]))

    def _find(self, text: str) -> Span | None:
        self._buffer.append(text)
        matches = [(condition, span) for condition in self._conditions if (span := condition.feed(text))]
        if not matches:
            return None
        if len(matches) > 1:
            matches.sort(key=lambda match: (match[0].decided_at(), match[1][1]))
        return matches[0][1]

    def _release(self) -> bytes:
        buffer = self._buffer
        if self._mode == INCLUSIVE:
            return original(buffer.take(min([condition.certain for condition in self._conditions])))
        if self._mode == QUIET:
            buffer.take(buffer.end)
            return b""
        before = buffer.take(min([condition.start for condition in self._conditions]))
        if buffer.end - buffer.start > MAX_BUFFER:
            modes = f"{option(EXCLUSIVE)} and {option(ONLY)}"
            raise Incomplete(f"a possible match is longer than {MAX_BUFFER} characters: leave out {modes}")
        return original(before) if self._mode == EXCLUSIVE else b""

    def _meet(self, span: Span) -> bytes:
        self.met = True
        start, end = span
        return self._choose(original(self._buffer.take(start)), original(self._buffer.take(end)))

    def _end(self, last: bytes) -> bytes:
        """Returns the rest of the output: a time has come, or `last`, the N-th byte."""
        self.met = True
        rest = original(self._buffer.take(self._buffer.end) + self._decoder.close())
        return self._choose(rest[: len(rest) - len(last)], last)

    def _choose(self, before: bytes, match: bytes) -> bytes:
        """Returns what the mode puts out of the match and of the text before it."""
        if self._mode == INCLUSIVE:
            return before + match
        return before if self._mode == EXCLUSIVE else match if self._mode == ONLY else b""
