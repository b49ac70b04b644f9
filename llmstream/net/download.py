"""A file by its URL, over the same loop as all else: proxies, certificates and signals are dealt with there."""

from __future__ import annotations

from ..errors import Unavailable, UsageError
from .loop import Loop
from .transfer import Ask

CONNECT_TIMEOUT = 10.0  # seconds
TIMEOUT = 60.0  # seconds for the whole file
MAX_REDIRECTS = 5


def download(url: str, limit: int) -> bytes:
    """What stands at a URL. Redirects are followed anywhere, since no key is sent.

    Raises UsageError for what is not there or is more than `limit` bytes, Unavailable for what cannot be reached.
    """
    shown = url.partition("?")[0]  # what follows may be a signature
    loop = Loop()
    try:
        deadline = loop.now() + TIMEOUT
        for _ in range(MAX_REDIRECTS + 1):
            status, location, data = _get(loop, url, limit, deadline, shown)
            if status == 200:
                return data
            if status // 100 == 3 and location:
                from urllib.parse import urljoin

                url = urljoin(url, location)
                continue
            kind = Unavailable if status >= 500 or status == 429 else UsageError
            raise kind(f"cannot fetch {shown}: HTTP {status}")
        raise UsageError(f"cannot fetch {shown}: more than {MAX_REDIRECTS} redirects")
    finally:
        loop.close()


def _get(loop: Loop, url: str, limit: int, deadline: float, shown: str) -> tuple[int, str, bytes]:
    """Status, where a redirect leads to, and body of one response."""
    transfer = loop.send(Ask("GET", url, ["Accept: */*"]), CONNECT_TIMEOUT)
    chunks, size = [], 0
    while not transfer.ended or transfer.chunks:
        if loop.wait(deadline) >= deadline:
            raise Unavailable(f"cannot fetch {shown}: not complete after {TIMEOUT:g} s")
        if transfer.chunks:
            chunks.append(transfer.take())
            size += len(chunks[-1])
        if size > limit:
            raise UsageError(f"{shown} is too large: more than {limit / 1e6:g} MB")
    head = transfer.head()
    if transfer.reason or head is None:
        raise Unavailable(f"cannot fetch {shown}: {transfer.reason or 'no answer'}")
    loop.end(transfer)
    return head[0], head[1].get("location", ""), b"".join(chunks)
