"""An input whose framing changes: server-sent events, JSON and AWS's event stream one after the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.framing import Framing
from llmstream.core.pieces import ARRAY, DOCUMENT, ELEMENT, EXCERPT_BYTES, TEXT, Piece
from llmstream.errors import Incomplete

from ..support import eventstream
from ..support.chunks import cut, same

PARTS = {
    b'data: {"a":1}\n\n': [Piece("", "", b'{"a":1}')],
    b"event: e\r\ndata: [x]\r\n\r\n": [Piece("", "e", b"[x]")],
    b"data: [DONE]\n\n": [Piece("", "", b"[DONE]")],
    b"data: no blank line\n": [Piece("", "", b"no blank line")],
    b"error: {}\n\n": [Piece("", "error", b"{}")],
    b": a comment\n\n": [],
    b'{"b": "data: {"}\n': [Piece(DOCUMENT, "", b'{"b":"data: {"}')],
    b'{\n "c": [\n  {\n "d": 1}]}\n': [Piece(DOCUMENT, "", b'{"c":[{"d":1}]}')],
    b'[{"e": 1}\n,\r\n{"f": 2}]\n': [Piece(ARRAY, "", b'{"e":1}'), Piece(ELEMENT, "", b'{"f":2}')],
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
    binary = Piece("", "mine", b'{"g": 1}')
    stream = MESSAGE + b'data: {"a":1}\n\n' + MESSAGE + MESSAGE + b'{"b":2}\n' + MESSAGE
    expected = [binary, Piece("", "", b'{"a":1}'), binary, binary, Piece(DOCUMENT, "", b'{"b":2}'), binary]
    assert same(read, stream) == expected


def test_a_line_of_a_done_mark_is_no_json():
    assert same(read, b'data: {"a":1}\n\n[DONE]\n\ndata: 2\n\n') == [
        Piece("", "", b'{"a":1}'),
        Piece("", "", b"2"),
    ]


def test_a_cut_line_does_not_hide_the_next():
    pieces = read([b'{"type":"text","te\n{"a":1}\n'])
    assert pieces[1:] == [Piece(DOCUMENT, "", b'{"a":1}')]
    assert same(read, b'data: {"id":\n{"a":1}\n')[1:] == [Piece(DOCUMENT, "", b'{"a":1}')]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<html>", b"<html>"),
        (b"dat", b"dat"),
        (b"one line \nand another\n", b"one line"),
        (b"x" * 500, b"x" * EXCERPT_BYTES),
        (b"[WARN] slow\n", b"[WARN] slow"),
        (b"{see below}", b"{see below}"),
        (b"\n\n", None),
        (b"", None),
    ],
)
def test_a_line_of_no_framing_is_text(data, text):
    expected = [] if text is None else [Piece(TEXT, "", text)]
    assert same(read, data) == expected
    event, document = Piece("", "", b"1"), Piece(DOCUMENT, "", b'{"a":1}')
    for before, after in ((b"data: 1\n\n", b'\n{"a":1}\n'), (b'{"a": 1}\n', b"\ndata: 1\n\n"), (b"", b"\ndata: 1\n\n")):
        first = [] if not before else [event] if before[:1] == b"d" else [document]
        last = [document] if after[:2] == b"\n{" else [event]
        assert same(read, before + data + after) == first + expected + last


def test_text_within_an_event_or_an_object_is_left_to_their_parsers():
    assert same(read, b"data: 1\nhello\ndata: 2\n\n") == [Piece("", "", b"1\n2")]
    assert same(read, b"event: e\nhello: x\ndata: 1\n\n") == [Piece("", "e", b"1")]
    assert same(read, b'{"a":\ntrue\n}') == [Piece(DOCUMENT, "", b'{"a":true}')]


def test_objects_tell_where_they_stand():
    array = [Piece(ARRAY, "", b'{"a":1}'), Piece(ELEMENT, "", b'{"a":2}')]
    one = Piece(DOCUMENT, "", b'{"a":3}')
    whole, cut_off, alone = b'[{"a":1},{"a":2}]', b'[{"a":1}\n,\n{"a":2}\n', b'{"a":3}'
    for stream in (whole, cut_off):
        assert same(read, stream + whole + alone + alone + stream + alone) == [*array * 2, one, one, *array, one]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0\0\0\0\0\0\0\0\0\0\0", "wrong checksum"),
        ("\ufeff{".encode("utf-16-be"), "UTF-16"),
        ("data: x".encode("utf-16-le"), "UTF-16"),
    ],
)
def test_an_input_of_another_framing_is_told(data, message):
    for chunks in ([data], [bytes([byte]) for byte in data]):
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
