"""Decoding and encoding UTF-8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.text import Utf8Decoder, encode, looks_like_utf16

from ..support.chunks import FEW, same


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


@pytest.mark.parametrize("head", [b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{"])
def test_utf16(head):
    assert looks_like_utf16(head)


@pytest.mark.parametrize("head", [b"", b"{", b"{}", b"\0\0", b"\xef\xbb"])
def test_not_utf16(head):
    assert not looks_like_utf16(head)
