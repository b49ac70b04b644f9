"""Decoding and encoding UTF-8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.text import InputDecoder, Utf8Decoder, encode, looks_like_utf16

from ..support.chunks import FEW, chunkings, same


def decode(chunks: list[bytes]) -> str:
    decoder = Utf8Decoder()
    return "".join(map(decoder.feed, chunks)) + decoder.close()


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_no_byte_is_lost_whatever_the_chunks(data):
    assert same(decode, data, FEW).encode("utf-8", "surrogateescape") == data


def test_character_is_decoded_with_its_last_byte():
    decoder = Utf8Decoder()
    assert [decoder.feed(bytes([byte])) for byte in "é☺".encode()] == ["", "é", "", "", "☺"]


def test_lone_surrogates_become_replacement_characters():
    assert encode("a\ud800b\udc80é") == "a\ufffdb\ufffdé".encode()


@pytest.mark.parametrize(
    "text", ["", "a", "\ufeff", "\ufeffa", "\ufeff\ufeff", "a\ufeff", "\U0001f600\ufeff", "\ufeff5\n"]
)
def test_a_byte_order_mark_is_no_part_of_an_input(text):
    for chunks in chunkings(text.encode()):
        decoder = InputDecoder()
        assert "".join(map(decoder.feed, chunks)) == text.removeprefix("\ufeff")
        assert (decoder.had_mark, decoder.is_utf16) == (text.startswith("\ufeff"), False)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_told_whatever_the_chunks(encoding):
    for chunks in chunkings('{"a":1}'.encode(encoding)):
        decoder = InputDecoder()
        for chunk in chunks:
            decoder.feed(chunk)
        assert decoder.is_utf16


@pytest.mark.parametrize("head", [b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{"])
def test_utf16(head):
    assert looks_like_utf16(head)


@pytest.mark.parametrize("head", [b"", b"{", b"{}", b"\0\0", b"\xef\xbb"])
def test_not_utf16(head):
    assert not looks_like_utf16(head)
