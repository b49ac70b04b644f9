"""The JSON of a stream's frames, as far as servers keep to it."""

from __future__ import annotations

import json
from typing import Any

from ..errors import Error, Incomplete
from . import provider_errors

DONE_STARTS = (b"[", b" ", b"\t")  # first bytes of `[DONE]`, which a server may put blanks around
NOT_JSON = object()


def is_done(data: bytes) -> bool:
    """Whether a frame is `[DONE]`, the end mark of chat."""
    return data[:1] in DONE_STARTS and data.strip()[:6] == b"[DONE]"


def decode_invalid(data: bytes) -> Any:
    """Decodes JSON with invalid UTF-8; returns NOT_JSON where that is not all that is wrong."""
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return NOT_JSON


def not_json_error(name: str, data: bytes, number: int) -> Error:
    """Returns the error of a frame whose data is not JSON: the provider's, in a frame named `error`, or ours.

    `number` is that of the frame, from 1.
    """
    text = data.decode("utf-8", "replace")
    message = f"event {number} of the stream is not JSON ({data[:80].decode('utf-8', 'replace')})"
    return provider_errors.in_event(text, name) or Incomplete(f"{message}: the answer breaks off there")
