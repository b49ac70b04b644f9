"""Decodes UTF-8 that arrives in chunks, and encodes it.

A byte that is not UTF-8 becomes a lone surrogate (PEP 383), so that no byte is lost; a grammar can refuse it.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode

LONE = re.compile("[\ud800-\udfff]")

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Utf8Decoder:
    """Decodes chunks of UTF-8. Holds at most 3 bytes: the beginning of a character."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> str:
        """Returns the characters that chunk completes."""
        if self._rest:
            chunk = self._rest + chunk
        text, used = utf_8_decode(chunk, "surrogateescape", False)
        self._rest = chunk[used:]
        return text

    def close(self) -> str:
        """Returns the bytes of an incomplete character at the end, as surrogates."""
        rest, self._rest = self._rest, b""
        return rest.decode("utf-8", "surrogateescape")


def original(text: str) -> bytes:
    """Returns the bytes that `Utf8Decoder` decoded to this text."""
    return text.encode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Encodes text as UTF-8; a lone surrogate, which escapes in JSON can write, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return LONE.sub("\ufffd", text).encode()


def is_utf8(text: str) -> bool:
    """Whether a text can be encoded: it has no lone surrogates, as which bytes stand that are not UTF-8."""
    return text.isascii() or not LONE.search(text)


def looks_like_utf16(head: bytes) -> bool:
    """Whether an input seems to be UTF-16: it begins with a byte order mark, or with a NUL beside another byte."""
    return head[:2] in UTF16_MARKS or (len(head) > 1 and (head[0] == 0) != (head[1] == 0))
