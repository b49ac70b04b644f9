"""Types of files, told by their first bytes.

The types that providers accept are few and their signatures never change, so a table of them needs no library; file
extensions and Content-Type headers are ignored.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import NamedTuple

from .request import Attachment


class Signature(NamedTuple):
    """The first bytes of a file type, and those at byte 8."""

    start: bytes
    kind: str
    media_type: str
    at_byte_8: bytes = b""


SIGNATURES = (
    Signature(b"\x89PNG\r\n\x1a\n", "image", "image/png"),  # RFC 2083
    Signature(b"\xff\xd8\xff", "image", "image/jpeg"),  # ITU T.81
    Signature(b"GIF87a", "image", "image/gif"),
    Signature(b"GIF89a", "image", "image/gif"),
    Signature(b"RIFF", "image", "image/webp", b"WEBP"),  # RFC 9649
    Signature(b"%PDF-", "pdf", "application/pdf"),  # ISO 32000
    Signature(b"RIFF", "audio", "audio/wav", b"WAVE"),
    *(Signature(b"ID3" + bytes([version]), "audio", "audio/mpeg") for version in (2, 3, 4)),  # "ID3" may begin a text
)
DESCRIPTIONS = {
    "image": "images (PNG, JPEG, GIF, WebP)",
    "pdf": "PDF",
    "audio": "audio (WAV, MP3)",
    "text": "text (UTF-8)",
}


MAX_GARBLED = 0.1  # of the characters of a text, which may be cut within one, or have a few of another encoding


def attachment(name: str, data: bytes) -> Attachment:
    """Returns a file; `kind` and `media_type` are "" where the content is of an unknown type."""
    kind, media_type = sniff(data) or ("", "")
    text = data.decode("utf-8-sig") if kind == "text" else b2a_base64(data, newline=False).decode()
    return Attachment(kind, media_type, name, text)


def sniff(data: bytes) -> tuple[str, str] | None:
    """Returns kind and media type of a file with this content; None if no provider accepts it."""
    for signature in SIGNATURES:
        if data.startswith(signature.start) and data.startswith(signature.at_byte_8, 8):
            return signature.kind, signature.media_type
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:  # a frame of MPEG layer III without a tag
        return "audio", "audio/mpeg"
    if b"\0" in data:
        return None
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return "text", "text/plain"


def read_text(data: bytes | bytearray) -> str | None:
    """Returns a program's output as text, bytes that are not UTF-8 replaced; None where it is binary."""
    text = data.decode("utf-8", "replace")
    garbled = text.count("\N{REPLACEMENT CHARACTER}")
    return None if b"\0" in data or garbled > max(1, MAX_GARBLED * len(text)) else text
