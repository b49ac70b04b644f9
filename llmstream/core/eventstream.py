"""Parses AWS's binary event stream (`application/vnd.amazon.eventstream`): bytes in, frames out.

Source: AWS documentation, "Event stream encoding": the lengths of the message and of its headers, their CRC-32, the
headers, the payload, the CRC-32 of all.
"""

from __future__ import annotations

import base64
import struct
from zlib import crc32

from ..errors import Incomplete
from .json_codec import loads_or_none, to_compact_json
from .sse import MAX_EVENT_BYTES, Frame

PRELUDE = struct.Struct(">III")  # bytes of the message, bytes of its headers, CRC-32 of these eight bytes
CRC = struct.Struct(">I")
LENGTH = struct.Struct(">H")
MIN_BYTES = PRELUDE.size + CRC.size
STRING, BYTES = 7, 6  # types of a header's value
SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # of the values of the other types
FIRST_BYTES = (0, 1)  # of a message that is not larger than the limit


class Parser:
    """Splits an event stream into frames: the name of each event, and its payload.

    A message with `{"bytes": "..."}`, in which Bedrock wraps the events of a model's own API, becomes the frame within,
    without a name. An exception is a frame `error`, whose data has its type and message. Holds one message. After
    anything else `foreign` is not empty, and nothing more is read.
    """

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._failure = ""
        self.foreign = b""  # what follows the last message and begins no other

    @property
    def held(self) -> int:
        """The bytes of the message that is not complete."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> list[Frame]:
        """Returns the frames that chunk completes.

        Raises Incomplete for a message that is damaged or larger than the limit; if frames precede it in the chunk they
        are returned, and the next call raises.
        """
        rest = self._rest
        rest += chunk
        frames: list[Frame] = []
        start = 0
        while not self._failure and start < len(rest):
            if rest[start] not in FIRST_BYTES:
                self.foreign = bytes(rest[start:])
                start = len(rest)
                break
            if len(rest) - start < PRELUDE.size:
                break
            size, header_size, crc = PRELUDE.unpack_from(rest, start)
            if crc32(rest[start : start + 8]) != crc or size < MIN_BYTES + header_size:
                self._failure = "the event stream is damaged: a wrong checksum"
            elif size > self._limit:
                self._failure = f"one event of the stream is larger than {self._limit} bytes"
            elif len(rest) - start < size:
                break
            elif crc32(rest[start : start + size - 4]) != CRC.unpack_from(rest, start + size - 4)[0]:
                self._failure = "the event stream is damaged: a wrong checksum"
            else:
                headers = start + PRELUDE.size
                payload = headers + header_size
                frames.append(_frame(bytes(rest[headers:payload]), bytes(rest[payload : start + size - 4])))
                start += size
        del rest[:start]
        if self._failure and not frames:
            raise Incomplete(self._failure)
        return frames

    def close(self) -> list[Frame]:
        """Returns no frame: a message that is not complete is lost. Raises Incomplete as `feed` does."""
        if self._failure:
            raise Incomplete(self._failure)
        return []


def begins(data: bytes) -> bool | None:
    """Whether the data begins with the prelude of a message; None if it is too short to tell."""
    if data[:1] and data[0] not in FIRST_BYTES:
        return False
    if len(data) < PRELUDE.size:
        return None
    return bool(crc32(data[:8]) == PRELUDE.unpack_from(data)[2])


def _frame(header_bytes: bytes, payload: bytes) -> Frame:
    headers = _headers(header_bytes)
    kind = headers.get(":message-type", "event")
    if kind == "event":
        wrapped = _wrapped(payload) if headers.get(":event-type") == "chunk" else None
        return (headers.get(":event-type", ""), payload) if wrapped is None else ("", wrapped)
    data = loads_or_none(payload)
    message = data.get("message") or data.get("Message") if isinstance(data, dict) else None
    message = message or headers.get(":error-message") or payload.decode("utf-8", "replace")
    error = {"type": headers.get(":exception-type") or headers.get(":error-code") or kind, "message": message}
    return "error", to_compact_json(error).encode("utf-8", "replace")


def _wrapped(payload: bytes) -> bytes | None:
    """Returns the event within a message of Bedrock's InvokeModelWithResponseStream."""
    data = loads_or_none(payload)
    text = data.get("bytes") if isinstance(data, dict) else None
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        return None


def _headers(data: bytes) -> dict[str, str]:
    """Returns the headers whose values are strings, up to one that is malformed."""
    headers: dict[str, str] = {}
    place = 0
    while place < len(data):
        name_end = place + 1 + data[place]
        name, kind = data[place + 1 : name_end].decode("utf-8", "replace"), data[name_end : name_end + 1]
        place = name_end + 1
        if not kind:
            break
        size = SIZES.get(kind[0])
        if size is None:
            if kind[0] not in (STRING, BYTES) or place + 2 > len(data):
                break
            (size,) = LENGTH.unpack_from(data, place)
            place += 2
        if kind[0] == STRING:
            headers[name] = data[place : place + size].decode("utf-8", "replace")
        place += size
    return headers
