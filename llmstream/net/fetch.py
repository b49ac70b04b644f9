"""A small document, whole: a provider's JSON, with the errors that a generation has, or any file by its URL."""

from __future__ import annotations

import json
from typing import Any

from ..core import provider_errors
from ..errors import Error, Incomplete, Unavailable, UsageError
from ..providers.resolve import Target, shown
from .curl import Curl
from .loop import Loop
from .redirects import MAX_REDIRECTS, Redirects
from .transfer import HttpRequest

CONNECT_TIMEOUT, TIMEOUT = 10.0, 60.0  # seconds
LARGEST = 64 << 20  # bytes


class Fetcher:
    """A connection or two, kept for several documents."""

    def __init__(self) -> None:
        self._loop = Loop()
        self._curl = Curl(self._loop)

    def close(self) -> None:
        self._curl.close()
        self._loop.close()

    def json(self, target: Target, url: str) -> Any:
        """The JSON at a URL of the target's. Raises what a generation would: Refused, Unavailable, Incomplete."""
        try:
            return self._json(target, url)
        except Error as error:  # servers quote the key that they refuse
            raise target.secrets.hide_in_error(error) from None

    def file(self, url: str, limit: int) -> bytes:
        """What stands at a URL. Redirects are followed anywhere, since no key is sent.

        Raises UsageError for what is not there or is more than `limit` bytes, Unavailable for what cannot be reached.
        """
        name = url.partition("?")[0]  # what follows may be a signature
        redirects = Redirects(url, same_origin=False)
        while True:
            response = self._get(HttpRequest("GET", redirects.url, ["Accept: */*"]), limit)
            if response is None:
                raise UsageError(f"{name} is too large: more than {limit / 1e6:g} MB")
            status, headers, data, reason = response
            if reason:
                raise Unavailable(f"cannot fetch {name}: {reason}")
            if status == 200:
                return data
            if status // 100 == 3:
                if redirects.follow(headers.get("location")):
                    continue
                if redirects.exhausted:
                    raise UsageError(f"cannot fetch {name}: more than {MAX_REDIRECTS} redirects")
            kind = Unavailable if status >= 500 or status == 429 else UsageError
            raise kind(f"cannot fetch {name}: HTTP {status}")

    def _json(self, target: Target, url: str) -> Any:
        response = self._get(HttpRequest("GET", url, target.headers()), LARGEST)
        if response is None:
            raise Incomplete(f"{shown(url)} sends more than {LARGEST >> 20} MiB: is it the API's address?")
        status, headers, body, reason = response
        if reason:
            raise Unavailable(reason)
        if status != 200:
            raise provider_errors.of_response(status, headers, body, shown(url))
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            kind = headers.get("content-type", "no content type")
            raise Incomplete(f"{shown(url)} answered {kind}, not JSON: is the base URL that of an API?") from None

    def _get(self, ask: HttpRequest, limit: int) -> tuple[int, dict[str, str], bytes, str] | None:
        """Status, headers and body of a response, and why it is not whole; None where it is more than `limit`."""
        transfer = self._curl.send(ask, CONNECT_TIMEOUT, lambda: None)
        deadline = self._loop.now() + TIMEOUT
        body = bytearray()
        try:
            while not transfer.ended:
                if self._loop.wait(deadline) >= deadline:
                    return 0, {}, b"", f"not complete after {TIMEOUT:g} s"
                body += transfer.take()
                if len(body) > limit:
                    return None
            head = transfer.head()
        finally:
            self._curl.end(transfer)
        if transfer.reason or head is None:
            return 0, {}, b"", transfer.reason or "the connection ended without an answer"
        return *head, bytes(body), ""
