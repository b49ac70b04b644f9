"""An input whose framing changes: server-sent events, JSON and AWS's event stream one after the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.framing import EXCERPT_BYTES, Framing, Piece
from llmstream.errors import Incomplete

from ..support import eventstream
from ..support.chunks import cut, same

PARTS = {
    b'data: {"a":1}\n\n': [Piece(False, "", b'{"a":1}')],
    b"event: e\r\ndata: [x]\r\n\r\n": [Piece(False, "e", b"[x]")],
    b"data: [DONE]\n\n": [Piece(False, "", b"[DONE]")],
    b"data: no blank line\n": [Piece(False, "", b"no blank line")],
    b"error: {}\n\n": [Piece(False, "error", b"{}")],
    b": a comment\n\n": [],
    b'{"b": "data: {"}\n': [Piece(True, "", b'{"b":"data: {"}')],
    b'{\n "c": [\n  {\n "d": 1}]}\n': [Piece(True, "", b'{"c":[{"d":1}]}')],
    b'[{"e": 1}\n,\r\n{"f": 2}]\n': [Piece(True, "", b'{"e":1}'), Piece(True, "", b'{"f":2}')],
}
MESSAGE = eventstream.event("mine", {"g": 1})


def read(chunks):
    framing = Framing()
    pieces = [piece for chunk in chunks for piece in framing.feed(chunk)]
    return pieces + framing.close()


@given(st.lists(st.sampled_from(sorted(PARTS)), max_size=6), st.lists(st.integers(0, 300), max_size=6))
def test_parts_in_any_order_and_chunks(parts, places):
    expected = [piece for part in parts for piece in PARTS[part]]
    # Two events without a blank line between them are one.
    joined = b"".join(part + (b"\n" if part.startswith(b"data: no") else b"") for part in parts)
    assert read(cut(joined, places)) == expected


def test_binary_messages_among_others():
    binary = Piece(False, "mine", b'{"g": 1}')
    stream = MESSAGE + b'data: {"a":1}\n\n' + MESSAGE + MESSAGE + b'{"b":2}\n' + MESSAGE
    expected = [binary, Piece(False, "", b'{"a":1}'), binary, binary, Piece(True, "", b'{"b":2}'), binary]
    assert same(read, stream) == expected


def test_a_line_of_a_done_mark_is_no_json():
    assert same(read, b'data: {"a":1}\n\n[DONE]\n\ndata: 2\n\n') == [
        Piece(False, "", b'{"a":1}'),
        Piece(False, "", b"2"),
    ]


def test_a_cut_line_does_not_hide_the_next():
    pieces = read([b'{"type":"text","te\n{"a":1}\n'])
    assert pieces[1:] == [Piece(True, "", b'{"a":1}')]
    assert same(read, b'data: {"id":\n{"a":1}\n')[1:] == [Piece(True, "", b'{"a":1}')]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", None),
        (b"\n\n", None),
        (b"<html>", "it begins with <html>"),
        (b"data", "it begins with data"),
        (b"x" * 500, "it begins with " + "x" * EXCERPT_BYTES),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0\0", "wrong checksum"),
        ("\ufeff{".encode("utf-16-be"), "UTF-16"),
        ("data: x".encode("utf-16-le"), "UTF-16"),
    ],
)
def test_an_input_of_another_framing_is_told(data, message):
    for chunks in ([data], [bytes([byte]) for byte in data]):
        if message is None:
            assert read(chunks) == []
            continue
        with pytest.raises(Incomplete, match=message):
            read(chunks)


def test_it_knows_whether_a_frame_is_open():
    for part in (*PARTS, MESSAGE):
        framing = Framing()
        framing.feed(part)
        assert framing.held == part.startswith(b"data: no")
        framing.feed(part[:-3])
        if PARTS.get(part) != []:
            assert framing.held
