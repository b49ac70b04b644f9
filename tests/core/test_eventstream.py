"""AWS's event streams, with botocore as the judge."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.eventstream import Parser, begins
from llmstream.errors import Incomplete

from ..support import eventstream, needs
from ..support.chunks import chunkings, cut

EVENTS = [
    eventstream.event("messageStart", {"role": "assistant"}),
    eventstream.event("contentBlockDelta", {"delta": {"text": "Wörter"}}),
    eventstream.wrapped({"type": "ping"}),
    eventstream.exception("throttlingException", "slow down"),
]
FRAMES = [
    ("messageStart", b'{"role": "assistant"}'),
    ("contentBlockDelta", b'{"delta": {"text": "W\\u00f6rter"}}'),
    ("", b'{"type": "ping"}'),
    ("error", b'{"type":"throttlingException","message":"slow down"}'),
]


def read(pieces, limit=1000):
    parser = Parser(limit)
    return [frame for piece in pieces for frame in parser.feed(piece)] + parser.close(), parser


def test_frames_at_every_cut():
    for pieces in chunkings(b"".join(EVENTS)):
        frames, parser = read(pieces)
        assert (frames, parser.held) == (FRAMES, 0)


@needs.package("botocore", "bedrock")
@given(st.lists(st.sampled_from(EVENTS), max_size=5), st.lists(st.integers(0, 2000), max_size=5))
def test_botocore_reads_the_same(events, places):
    from botocore.eventstream import EventStreamBuffer

    body = b"".join(events)
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    assert len(list(buffer)) == len(read(cut(body, places))[0]) == len(events)


def test_headers_of_all_types_are_passed_over():
    def header(name: bytes, kind: int, value: bytes) -> bytes:
        return bytes([len(name)]) + name + bytes([kind]) + value

    values = [b"", b"", b"a", b"ab", b"abcd", b"abcdefgh", b"\0\2ab", b"\0\1x", b"abcdefgh", b"a" * 16]
    headers = b"".join(header(b"h", kind, value) for kind, value in enumerate(values))
    headers += header(b":event-type", 7, b"\0\4mine")
    for packed in (headers, headers + b"\3abc", headers + header(b"new", 99, b"")):
        assert read([message(packed, b"{}")])[0] == [("mine", b"{}")]


def message(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return body + struct.pack(">I", crc32(body))


def test_a_wrong_checksum_is_told_after_what_precedes_it():
    good, damaged = EVENTS[0], bytearray(EVENTS[1])
    damaged[-10] ^= 1
    parser = Parser()
    assert parser.feed(good + damaged) == FRAMES[:1]
    for call in (lambda: parser.feed(b""), parser.close):
        with pytest.raises(Incomplete, match="checksum"):
            call()


def test_the_size_of_a_message_is_bounded():
    body = message(b"", b"x" * 984)
    assert read([body])[0] == [("", b"x" * 984)]
    with pytest.raises(Incomplete, match="larger than 999 bytes"):
        read([body[:12]], limit=999)


def test_what_follows_a_message_and_is_none():
    frames, parser = read([EVENTS[0] + b'{"a":1}'])
    assert (frames, parser.foreign) == (FRAMES[:1], b'{"a":1}')


def test_the_beginning_of_a_message():
    assert begins(EVENTS[0]) is True
    assert begins(EVENTS[0][:11]) is None
    assert begins(b"") is None
    assert begins(b"data: ") is False
    assert begins(bytes(12)) is False
