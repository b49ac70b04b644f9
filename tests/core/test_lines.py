"""The parser of NDJSON: the same frames whatever the chunks, and a bound for a line."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.lines import Parser
from llmstream.errors import Incomplete


def frames(*chunks: bytes, limit: int = 100) -> list[bytes]:
    parser = Parser(limit)
    found = [frame for chunk in chunks for frame in parser.feed(chunk)] + parser.close()
    assert all(name == "" for name, _ in found)
    return [data for _, data in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"\n", []),
        (b" \r\n\t\n", []),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'\xef\xbb\xbf{"a":1}\n', [b'{"a":1}']),
        (b'\n\n {"a": 1} \n', [b'{"a": 1}']),
    ],
)
def test_lines(text, expected):
    assert frames(text) == expected
    assert frames(*(text[i : i + 1] for i in range(len(text)))) == expected
    assert all(frames(text[:cut], text[cut:]) == expected for cut in range(len(text)))


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_chunks_make_no_difference(text, cuts):
    places = [0, *sorted(cuts), len(text)]
    assert frames(*(text[a:b] for a, b in pairwise(places))) == frames(text)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_has_a_bound(end):
    assert frames(b"x" * 100 + end) == [b"x" * 100]
    for chunks in ([b"x" * 101 + end], [b"x" * 60, b"x" * 41 + end], [b"x"] * 101 + [end]):
        with pytest.raises(Incomplete, match="one line of the stream is larger than 100 bytes"):
            frames(*chunks)


def test_frames_before_a_line_that_is_too_large_are_returned():
    parser = Parser(10)
    assert parser.feed(b"1\n" + b"x" * 11 + b"\n2\n") == [("", b"1")]
    with pytest.raises(Incomplete):
        parser.feed(b"3\n")
