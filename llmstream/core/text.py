"""Decodes UTF-8 that arrives in chunks, and encodes it.

A byte that is not UTF-8 becomes a lone surrogate (PEP 383), so that no byte is lost; a grammar can refuse it.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode

LONE = "[\ud800-\udfff]"  # compiled where it is used, which is seldom

BOM = "\ufeff"
HEAD = 5  # bytes: more than the mark has, so that the text has begun with them
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Utf8Decoder:
    """Decodes chunks of UTF-8. Holds at most 3 bytes: the beginning of a character."""

    head = b""  # the first bytes, where the start of the input matters
    had_mark = False

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


class InputDecoder(Utf8Decoder):
    """Decodes one input, without the byte order mark at its start.

    `had_mark` tells whether there was one, `is_utf16` whether the input seems to be UTF-16.
    """

    def __init__(self) -> None:
        super().__init__()
        self._at_start = True  # of the text

    def feed(self, chunk: bytes) -> str:
        text = super().feed(chunk)
        self.head += chunk[: HEAD - len(self.head)]
        if len(self.head) == HEAD:
            self.feed = super().feed  # type: ignore[method-assign]  # what follows costs no more than elsewhere
        if self._at_start and text:
            self._at_start = False
            self.had_mark = text[0] == BOM
            return text.removeprefix(BOM)
        return text

    @property
    def is_utf16(self) -> bool:
        return looks_like_utf16(self.head)


def original(text: str) -> bytes:
    """Returns the bytes that `Utf8Decoder` decoded to this text."""
    return text.encode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Encodes text as UTF-8; a lone surrogate, which escapes in JSON can write, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return re.sub(LONE, "\ufffd", text).encode()


def is_utf8(text: str) -> bool:
    """Whether a text can be encoded: it has no lone surrogates, as which bytes stand that are not UTF-8."""
    return text.isascii() or not re.search(LONE, text)


UTF16 = "the input looks like UTF-16: iconv -f UTF-16 -t UTF-8 converts it"


def looks_like_utf16(head: bytes) -> bool:
    """Whether an input seems to be UTF-16: it begins with a byte order mark, or with a NUL beside another byte."""
    return head[:2] in UTF16_MARKS or (len(head) > 1 and (head[0] == 0) != (head[1] == 0))
