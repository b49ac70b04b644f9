"""The event-stream parser, compared with a plain implementation of the standard for complete texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmstream.core.sse import Parser
from llmstream.errors import Incomplete

from ..support.chunks import cut

LINE_END = re.compile("\r\n|\n|\r")


def reference(body: bytes) -> list[tuple[str, bytes]]:
    """Follows WHATWG HTML, 9.2.6, except that the end completes the last event, as `close` does."""
    lines = LINE_END.split(body.decode("latin-1").removeprefix("ï»¿"))
    frames, kind, data = [], "", ""
    for line in [*lines, ""]:
        if not line:
            if data:
                frames.append((kind.encode("latin-1").decode("utf-8", "replace"), data[:-1].encode("latin-1")))
            kind, data = "", ""
            continue
        name, colon, value = line.partition(":")
        if colon and value.startswith(" "):
            value = value[1:]
        if name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
    return frames


def parse(chunks: list[bytes], limit: int = 1 << 20) -> list[tuple[str, bytes]]:
    parser = Parser(limit)
    frames = [frame for chunk in chunks for frame in parser.feed(chunk)]
    return frames + parser.close()


# The parts of streams, in any order: they make more cases than random bytes do.
PIECES = [b"data", b"event", b"id", b":", b": ", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"x", b"\xef\xbb\xbf", b"\x00"]
BODIES = st.lists(st.sampled_from([*PIECES, "é\u2028\x85".encode(), b"data: {}\n\n", b"\xff"]), max_size=30).map(
    b"".join
)


@given(BODIES, st.lists(st.integers(0, 1000), max_size=8))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [8, 9, 10])
@example(b"\xef\xbb\xbfdata: a\n\n", [1, 2])
@example(b"data\n\n", [])
def test_any_stream_cut_anywhere(body, places):
    assert parse(cut(body, places)) == reference(body)


@given(BODIES)
def test_byte_by_byte(body):
    assert parse([body[i : i + 1] for i in range(len(body))]) == reference(body)


@pytest.mark.parametrize(
    ("body", "frames"),
    [
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [("x", b"a"), ("", b"b")]),
        (b"event: x\n\ndata: b\n\n", [("", b"b")]),
        (b"data\n\n", [("", b"")]),
        (b"data\ndata\n\n", [("", b"\n")]),
        (b": comment\n\ndata: a\n\n", [("", b"a")]),
        (b"data: a\n", [("", b"a")]),
        (b"data: a", [("", b"a")]),
        (b"Data: a\n\n", []),
        (b"event: x\n\n", []),
        (b"", []),
    ],
)
def test_rules_of_the_standard(body, frames):
    assert parse([body]) == frames
    assert reference(body) == frames


# The limit: an event of `limit` bytes passes, one of a byte more does not, whatever the chunks.

LIMIT = 64


def outcome(chunks: list[bytes]) -> tuple[list[tuple[str, bytes]], bool]:
    """Returns the frames, and whether an event was too large."""
    parser, frames = Parser(LIMIT), []
    try:
        for chunk in chunks:
            frames += parser.feed(chunk)
        frames += parser.close()
    except Incomplete:
        return frames, True
    return frames, False


@pytest.mark.parametrize("before", [b"", b"data: a\n\n"], ids=["first", "second"])
@pytest.mark.parametrize("after", [b"\n\n", b"\n\ndata: b\n\n", b""], ids=["last", "more", "unfinished"])
@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize(
    "event",
    [
        lambda n: b"data: " + b"x" * (n - 6),
        lambda n: b"data: 1234\ndata:" + b"x" * (n - 10),
        lambda n: b":" * n,
        lambda n: b"\xef\xbb\xbf" + b"data: " + b"x" * (n - 9),
    ],
    ids=["data", "two lines", "comment", "mark"],
)
def test_limit_of_an_event(before, after, over, event):
    body = before + event(LIMIT + over) + after
    whole = outcome([body])
    assert whole[1] is bool(over)
    if over:
        assert whole[0] == parse([before])
    for place in range(1, len(body)):
        assert outcome([body[:place], body[place:]]) == whole
    assert outcome([body[i : i + 1] for i in range(len(body))]) == whole


def test_limit_holds_for_the_sum_of_lines():
    """Many short lines count as one long line."""
    lines = b"data: 12345678\n"
    assert outcome([lines * 6 + b"\n"])[1] is False
    assert outcome([lines * 7 + b"\n"])[1] is True
    assert outcome([b"data\n" * 60 + b"\n"])[1] is False
    assert outcome([b"data\n" * 65 + b"\n"])[1] is True


def test_nothing_is_held_between_events():
    parser = Parser(LIMIT)
    for _ in range(100):
        assert len(parser.feed(b"event: x\ndata: 1234567890\n\n: 1234567890\n")) == 1
