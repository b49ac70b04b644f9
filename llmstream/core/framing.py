"""Splits an input into frames where its framing is not known, or changes: several streams one after the other.

A line that begins with a brace or bracket begins JSON, one with a field of an event stream begins server-sent events,
and a NUL begins AWS's binary event stream. None of them can begin a line within one of the others.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

from ..errors import Incomplete
from . import sse
from .text import looks_like_utf16

EVENTS, JSON, BINARY = "events", "json", "binary"
FIELDS = (b"data:", b"event:", b"id:", b"retry:", b"error:", b":")
DONE = b"[DONE]"  # some servers write it as a line of its own
SWITCHES = {  # what begins another framing, at the beginning of a line
    EVENTS: rb"(?:\{|\[(?!DONE)|\0)",
    JSON: rb"(?:(?:data|event|id|retry|error)?:|\0)",
}
LINES = {kind: re.compile(b"[\r\n]" + switch) for kind, switch in SWITCHES.items()}
FIRST_LINE = {kind: re.compile(switch) for kind, switch in SWITCHES.items()}
UNDECIDED = {EVENTS: (DONE,), JSON: FIELDS}  # a line may not tell yet whether it begins so
EXCERPT_BYTES = 80
UTF16 = "the input is UTF-16: iconv -f UTF-16 -t UTF-8 converts it"


class Piece(NamedTuple):
    """A frame, and whether it is an object of a JSON text."""

    is_json: bool
    name: str
    data: bytes


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

        Raises Incomplete for an input that is none of the framings, is damaged, or has a piece that is too large; if
        pieces precede it in the chunk they are returned, and the next call raises.
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
        if rest and self._parser is None:
            raise unknown(rest)
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
        start = 0
        if not (self._at_line_start and FIRST_LINE[self._kind].match(data)):
            switch = LINES[self._kind].search(data)
            start = switch.start() + 1 if switch else len(data)
        self._add(self._parser.feed(data[:start]), pieces)
        if start < len(data):
            self._end_parser(pieces)
            rest, self._rest = data[start:] + self._rest, b""
            return rest
        self._at_line_start = data[-1:] in (b"\r", b"\n")
        return b""

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
            field, end = re.match(rb"([^:\r\n]*)([:\r\n]?)", text[:EXCERPT_BYTES]).groups()  # type: ignore[union-attr]
            if end and field + b":" in FIELDS:
                self._kind, self._parser = EVENTS, sse.Parser()
                return text
            if len(text) >= EXCERPT_BYTES:
                raise unknown(text)
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
        is_json = self._kind == JSON
        pieces += [Piece(is_json, name, data) for name, data in frames]


def unknown(data: bytes) -> Incomplete:
    """Returns the error of an input, or of a part of it, that begins with these bytes."""
    excerpt = data[:EXCERPT_BYTES].decode("utf-8", "replace").strip()
    if not excerpt:
        return Incomplete("the input is empty: was there an answer?")
    return Incomplete(f"unrecognised stream: it begins with {excerpt}")
