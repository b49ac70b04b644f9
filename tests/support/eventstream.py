"""AWS's event stream: the binary frames in which Bedrock wraps the events of a stream.

Source: AWS documentation, "Event stream encoding": lengths, their CRC-32, headers, payload, CRC-32 of all.
"""

from __future__ import annotations

import base64
import json
import struct
from zlib import crc32


def wrapped(event: dict) -> bytes:
    """Makes the frame of an event of the Messages API, as Bedrock sends it."""
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode()
    return _frame({":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}, payload)


def event(kind: str, data: dict) -> bytes:
    """Makes the frame of an event, as ConverseStream sends it."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return _frame(headers, json.dumps(data).encode())


def exception(kind: str, message: str) -> bytes:
    """Makes the frame of an error inside a stream."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return _frame(headers, json.dumps({"message": message}).encode())


def of_sse(frames: list[bytes]) -> list[bytes]:
    """Converts SSE frames to the frames that Bedrock would send."""
    return [wrapped(json.loads(frame.partition(b"data: ")[2])) for frame in frames]


def _frame(headers: dict[str, str], payload: bytes) -> bytes:
    packed = b"".join(map(_header, headers, headers.values()))
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    message = prelude + struct.pack(">I", crc32(prelude)) + packed + payload
    return message + struct.pack(">I", crc32(message))


def _header(name: str, value: str) -> bytes:
    string = 7  # the type of the value
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", string, len(value)) + value.encode()
