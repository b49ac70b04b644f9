"""Splits an input into frames where its framing is not known, or changes: several streams one after the other.

A line that begins with a brace or bracket begins JSON, one with a field of an event stream begins server-sent events,
and a NUL begins AWS's binary event stream. None of them can begin a line within one of the others. Any other line is
text, but within an event or an object, where their parsers decide.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Protocol

from ..errors import Incomplete
from . import sse
from .pieces import EXCERPT_BYTES, TEXT, Piece
from .text import looks_like_utf16

EVENTS, JSON, BINARY = "events", "json", "binary"
FIELDS = (b"data:", b"event:", b"id:", b"retry:", b"error:", b":")
DONE = b"[DONE]"  # some servers write it as a line of its own
FIELD = rb"(?:(?:data|event|id|retry|error)?:|(?:data|event|id|retry)[\r\n])"
SWITCHES = {  # what begins another framing, at the beginning of a line
    EVENTS: rb"(?![\r\n]|data:|" + FIELD + rb"|\[DONE)",
    JSON: rb"(?:" + FIELD + rb"|\0)",
    TEXT: rb"(?:" + FIELD + rb"|[{\[\0]|" + sse.BOM + rb")",
}
LINE, CR_LINE = b"\n", b"[\r\n]"  # ends of the line before; the first is 15 times as fast
UNDECIDED = {EVENTS: (DONE, *FIELDS), JSON: FIELDS, TEXT: (*FIELDS, sse.BOM)}  # a line may not tell yet
JSON_OR_BINARY = b"{[\0"  # they begin even within an event, which was cut
UTF16 = "the input is UTF-16: iconv -f UTF-16 -t UTF-8 converts it"


@cache
def _switch(kind: str, line_end: bytes = b"") -> re.Pattern[bytes]:
    """Returns the pattern of a line that may begin another framing; `line_end` is what ends the line before."""
    return re.compile(line_end + SWITCHES[kind])


class _Parser(sse.Frames, Protocol):
    @property
    def held(self) -> int: ...


class Framing:
    """Splits any input into pieces. Holds what its parsers hold, and a few bytes.

    `head` is the input's first bytes, for messages.
    """

    def __init__(self) -> None:
        self.head = b""
        self._kind = ""
        self._parser: _Parser | None = None
        self._rest = b""  # bytes that no parser has
        self._at_line_start = True
        self._failure: Incomplete | None = None

    @property
    def held(self) -> bool:
        """Whether the input so far ends within a frame."""
        return bool(self._rest.strip()) or (self._parser is not None and self._parser.held > 0)

    def feed(self, chunk: bytes) -> list[Piece]:
        """Returns the pieces that chunk completes.

        Raises Incomplete for an input that is UTF-16 or damaged, or has a piece that is too large; if pieces precede it
        in the chunk they are returned, and the next call raises.
        """
        if self._failure is not None:
            raise self._failure
        if len(self.head) < EXCERPT_BYTES:
            self.head = (self.head + chunk)[:EXCERPT_BYTES]
        pieces: list[Piece] = []
        data = self._rest + chunk
        self._rest = b""
        try:
            while data:
                data = self._feed(data, pieces)
        except Incomplete as error:
            if not pieces:
                raise
            self._failure = error
        return pieces

    def close(self) -> list[Piece]:
        """Returns the pieces that the end completes. Raises Incomplete as `feed` does."""
        if self._failure is not None:
            raise self._failure
        pieces: list[Piece] = []
        rest, self._rest = self._rest, b""
        if rest.strip() and self._parser is None:
            self._kind, self._parser = TEXT, _Text()
        if rest and self._parser is not None:
            self._add(self._parser.feed(rest), pieces)
        self._end_parser(pieces)
        return pieces

    def _feed(self, data: bytes, pieces: list[Piece]) -> bytes:
        """Feeds the data up to where its framing changes, and returns the rest of it."""
        if self._parser is None:
            return self._begin(data)
        if self._kind == BINARY:
            return self._feed_binary(data, pieces)
        self._rest = self._undecided_line(data)
        data = data[: len(data) - len(self._rest)]
        if not data:
            return b""
        parser, place = self._parser, 0
        if not (self._at_line_start and _switch(self._kind).match(data)):
            place = self._next_switch(data, 0)
        start = 0  # of what the parser does not have
        while True:
            self._add(parser.feed(data[start:place]), pieces)
            if place == len(data):
                self._at_line_start = data[-1:] in (b"\r", b"\n")
                return b""
            if not (isinstance(parser, sse.Parser) and parser.is_open) or data[place] in JSON_OR_BINARY:
                break
            start, place = place, self._next_switch(data, place)
        self._end_parser(pieces)
        rest, self._rest = data[place:] + self._rest, b""
        return rest

    def _next_switch(self, data: bytes, place: int) -> int:
        """Returns the beginning of the next line that may begin another framing; the end of data if there is none."""
        switch = _switch(self._kind, CR_LINE if b"\r" in data else LINE).search(data, place)
        return switch.start() + 1 if switch else len(data)

    def _undecided_line(self, data: bytes) -> bytes:
        """Returns the last line, if it is too short to tell whether it begins another framing."""
        line = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if len(data) - line >= len(DONE) or not (line or self._at_line_start):
            return b""
        start = data[line:]
        return start if any(word.startswith(start) and word != start for word in UNDECIDED[self._kind]) else b""

    def _begin(self, data: bytes) -> bytes:
        """Chooses a parser by the first bytes of a line; keeps them where they do not tell yet."""
        text = data.removeprefix(sse.BOM).lstrip()
        if text[:1] == b"\0":
            return self._begin_binary(text)
        if looks_like_utf16(text[:2]):
            raise Incomplete(UTF16)
        if len(text) < 2:
            self._rest = text
        elif text[:1] in (b"{", b"["):
            from .json import frames

            self._kind, self._parser = JSON, frames.Parser()
            return text
        else:
            if _switch(TEXT).match(text):
                self._kind, self._parser = EVENTS, sse.Parser()
                return text
            if not any(field.startswith(text) for field in FIELDS):
                self._kind, self._parser = TEXT, _Text()
                return text
            self._rest = text
        return b""

    def _begin_binary(self, data: bytes) -> bytes:
        from . import eventstream

        begins = eventstream.begins(data)
        if begins:
            self._kind, self._parser = BINARY, eventstream.Parser()
            return data
        if begins is None:
            self._rest = data
            return b""
        if looks_like_utf16(data[:2]):
            raise Incomplete(UTF16)
        raise Incomplete("the event stream is damaged: a wrong checksum")

    def _feed_binary(self, data: bytes, pieces: list[Piece]) -> bytes:
        from .eventstream import Parser

        assert isinstance(self._parser, Parser)
        self._add(self._parser.feed(data), pieces)
        rest = self._parser.foreign
        if rest:
            self._end_parser(pieces)
        return rest

    def _end_parser(self, pieces: list[Piece]) -> None:
        if self._parser is not None:
            self._add(self._parser.close(), pieces)
        self._parser, self._at_line_start = None, True

    def _add(self, frames: list[sse.Frame], pieces: list[Piece]) -> None:
        if self._kind in (JSON, TEXT):
            pieces += [Piece(place, "", data) for place, data in frames]
        else:
            pieces += [Piece("", name, data) for name, data in frames]


class _Text:
    """Reads lines of text; the beginning of the first one is the only frame, and its name is TEXT."""

    held = 0

    def __init__(self) -> None:
        self._line = b""
        self._has_ended = False

    def feed(self, chunk: bytes) -> list[sse.Frame]:
        """Returns the frame, once the line has ended or has come far enough."""
        if self._has_ended:
            return []
        line = (self._line + chunk[:EXCERPT_BYTES])[:EXCERPT_BYTES]
        self._line = re.split(rb"[\r\n]", line, maxsplit=1)[0]
        self._has_ended = len(self._line) < len(line) or len(line) == EXCERPT_BYTES
        return [(TEXT, self._line.strip())] if self._has_ended else []

    def close(self) -> list[sse.Frame]:
        """Returns the frame, if the line has not ended."""
        return [] if self._has_ended else [(TEXT, self._line.strip())]


def unknown(data: bytes, what: str = "unrecognised stream") -> Incomplete:
    """Returns the error of an input, or of a part of it, that begins with these bytes."""
    excerpt = data[:EXCERPT_BYTES].decode("utf-8", "replace").strip()
    if not excerpt:
        return Incomplete("the input is empty: was there an answer?")
    hint = ": run curl without -i" if excerpt.startswith("HTTP/") else ""
    return Incomplete(f"{what}: it begins with {excerpt}{hint}")
