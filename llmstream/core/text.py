"""Bytes to text, cut anywhere, and back.

UTF-8 is decoded as it arrives. A byte that is not UTF-8 becomes a lone surrogate (PEP 383), which a grammar can refuse
where it matters.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode

_lone = re.compile("[\ud800-\udfff]").sub

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Utf8Decoder:
    """UTF-8 in, text out. Holds at most the three bytes of an unfinished character."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> str:
        """The characters that chunk completes."""
        if self._rest:
            chunk = self._rest + chunk
        text, used = utf_8_decode(chunk, "surrogateescape", False)
        self._rest = chunk[used:]
        return text

    def close(self) -> str:
        """What an unfinished character at the end has left."""
        rest, self._rest = self._rest, b""
        return rest.decode("utf-8", "surrogateescape")


def original(text: str) -> bytes:
    """The very bytes that `Utf8Decoder` made text of."""
    return text.encode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """UTF-8; a surrogate that stands alone, as JSON's escapes can spell one, is U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _lone("\ufffd", text).encode()


def looks_like_utf16(head: bytes) -> bool:
    """Whether the first bytes of an input are UTF-16: a mark, or a NUL beside an ASCII character."""
    return head[:2] in UTF16_MARKS or (len(head) > 1 and (head[0] == 0) != (head[1] == 0))
