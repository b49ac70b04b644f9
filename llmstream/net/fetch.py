"""A small JSON document from a provider, whole: with the errors that a generation has."""

from __future__ import annotations

import json
from typing import Any

from ..core import faults
from ..errors import Error, Incomplete, Unavailable
from ..providers import Target, shown
from .transfer import Ask, Transport

CONNECT_TIMEOUT, TIMEOUT = 10.0, 60.0  # seconds
LARGEST = 64 << 20  # bytes


def get(transport: Transport, target: Target, url: str) -> Any:
    """The JSON at a URL of the target's. Raises what a generation would: Refused, Unavailable, Incomplete."""
    try:
        return _get(transport, target, url)
    except Error as error:  # servers quote the key that they refuse
        if target.key and target.key in str(error):
            raise type(error)(str(error).replace(target.key, "[key]")) from None
        raise


def _get(transport: Transport, target: Target, url: str) -> Any:
    deadline = transport.now() + TIMEOUT
    transfer = transport.send(Ask("GET", url, target.headers()), CONNECT_TIMEOUT)
    body = bytearray()
    try:
        while not transfer.ended:
            if transport.wait(deadline) >= deadline:
                raise Unavailable(f"{shown(url)} did not answer within {TIMEOUT:g} s")
            body += transfer.take()
            if len(body) > LARGEST:
                raise Incomplete(f"{shown(url)} sends more than {LARGEST >> 20} MiB: is it the API's address?")
        body += transfer.take()
        head = transfer.head()
    finally:
        transport.end(transfer)
    if transfer.reason or head is None:
        raise Unavailable(transfer.reason or "the connection ended without an answer")
    status, headers = head
    if status != 200:
        raise faults.of_response(status, headers, bytes(body), shown(url))
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        kind = headers.get("content-type", "no content type")
        raise Incomplete(f"{shown(url)} answered {kind}, not JSON: is the base URL that of an API?") from None
