"""Downloads whole documents: a provider's JSON, with the errors of a generation, or a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf, isfinite
from typing import Any, NamedTuple

from .. import stdio
from ..core import provider_errors
from ..core.secrets import show_url
from ..errors import Error, Incomplete, Unavailable, UsageError
from ..providers.target import Target
from .curl import Curl
from .loop import Loop
from .redirects import MAX_REDIRECTS, Redirects
from .transfer import HttpRequest

CONNECT_TIMEOUT_S, TIMEOUT_S = 10.0, 60.0
MAX_JSON_BYTES = 64 << 20


class Document(NamedTuple):
    """A response: its status, the URL that redirects led to, headers, and the body, None where it is too large."""

    status: int
    url: str
    headers: dict[str, str]
    data: bytes | None


class Fetcher:
    """Downloads documents one after the other over the same connections."""

    def __init__(self) -> None:
        self._loop = Loop(watch_stdout=stdio.is_command_line)
        self._curl = Curl(self._loop)

    def close(self) -> None:
        """Closes the connections."""
        self._curl.close()
        self._loop.close()

    def json(self, target: Target, url: str) -> Any:
        """Returns the JSON at a URL of the target. Raises Refused, Unavailable and Incomplete, as a generation does."""
        return self.call(target, HttpRequest("GET", url, target.headers(), cert=target.cert))

    def call(self, target: Target, request: HttpRequest, timeout_s: float | None = None) -> Any:
        """Returns the JSON of a response of the target, as `json` does."""
        headers, body = self._answer(target, request, timeout_s=timeout_s)
        try:
            return json.loads(body, parse_float=_finite, parse_constant=_finite)
        except (ValueError, RecursionError):
            kind, shown = headers.get("content-type", "no content type"), show_url(request.url)
            raise Incomplete(f"{shown} answered {kind}, not JSON: is the base URL that of an API?") from None

    def content(self, target: Target, url: str, write: Callable[[bytes], object]) -> None:
        """Writes the document at a URL of the target by `write`, part by part. Raises the errors of `json`."""
        self._answer(target, HttpRequest("GET", url, target.headers(), cert=target.cert), write)

    def sleep(self, seconds: float) -> None:
        """Waits. Raises ReaderGone as soon as stdout's reader leaves."""
        deadline = self._loop.now() + seconds
        while self._loop.wait(deadline) < deadline:
            pass

    def _answer(
        self,
        target: Target,
        request: HttpRequest,
        write: Callable[[bytes], object] | None = None,
        timeout_s: float | None = None,
    ) -> tuple[dict[str, str], bytes]:
        """Returns the headers and the body of a target's response with status 200, or raises its error."""
        shown = show_url(request.url)
        try:
            status, headers, body = self._get(request, inf if write else MAX_JSON_BYTES, write, timeout_s)
            if body is None:
                raise Incomplete(f"{shown} sends more than {MAX_JSON_BYTES >> 20} MiB: is it the API's address?")
            if status != 200:
                raise provider_errors.of_response(status, headers, body, shown)
            return headers, body
        except Error as error:  # servers quote the key that they refuse
            raise target.secrets.hide_in_error(error, target.naming(error)) from None

    def file(self, url: str, limit: int) -> bytes:
        """Returns the file at a URL. Redirects are followed to any host, since no key is sent.

        Raises UsageError where the file is missing or has more than `limit` bytes, Unavailable where the server fails.
        """
        name = show_url(url)
        try:
            document = self.get(url, limit)
        except Error as error:
            raise type(error)(f"cannot fetch {name}: {error.message}") from None
        if document.data is None:
            raise UsageError(f"{name} is too large: more than {limit / 1e6:g} MB")
        if document.status == 200:
            return document.data
        kind = Unavailable if document.status >= 500 or document.status == 429 else UsageError
        raise kind(f"cannot fetch {name}: HTTP {document.status}")

    def get(
        self,
        url: str,
        limit: int,
        headers: Callable[[str], list[str]] = lambda url: ["Accept: */*"],
        write: Callable[[bytes], object] | None = None,
    ) -> Document:
        """Returns the document at a URL, after redirects to any host; `headers` are those for each URL on the way.

        With `write`, the parts of a document with status 200 go there as they arrive. Raises UsageError and
        Unavailable, and what `write` raises.
        """
        redirects = Redirects(url, same_origin=False)
        while True:
            request = HttpRequest("GET", redirects.url, headers(redirects.url))
            status, fields, data = self._get(request, limit, write)
            if status // 100 == 3:
                if redirects.follow(fields.get("location")):
                    continue
                if redirects.exhausted:
                    raise UsageError(f"more than {MAX_REDIRECTS} redirects")
                if location := fields.get("location"):
                    raise UsageError(f"it redirects to {show_url(location)}, which is not a URL")
            return Document(status, redirects.url, fields, data)

    def _get(
        self,
        request: HttpRequest,
        limit: float,
        write: Callable[[bytes], object] | None = None,
        timeout_s: float | None = None,
    ) -> tuple[int, dict[str, str], bytes | None]:
        """Returns status, headers and body, None for one of more than `limit` bytes.

        `timeout_s` is for the whole body or, with `write`, for each part. Raises Unavailable, and UsageError for a bad
        URL or variables that cannot be used.
        """
        timeout_s = timeout_s or TIMEOUT_S
        transfer = self._curl.send(request, CONNECT_TIMEOUT_S, lambda: None)
        deadline = self._loop.now() + timeout_s
        body = bytearray()
        size, head = 0, None
        try:
            while not transfer.ended:
                now = self._loop.wait(deadline)
                data = transfer.take()
                if now >= deadline and not transfer.ended and not (write and data):
                    raise Unavailable(f"{'no data for' if write else 'not complete after'} {timeout_s:g} s")
                size += len(data)
                if size > limit:
                    return 0, {}, None
                if write and data and (head := head or transfer.head()) and head[0] == 200:
                    deadline = now + timeout_s
                    write(data)
                else:
                    body += data
            head = transfer.head()
        finally:
            self._curl.end(transfer)
        if transfer.error:
            raise transfer.error
        if transfer.reason or head is None:
            raise Unavailable(transfer.reason or "the connection ended without an answer")
        return *head, bytes(body)


def _finite(text: str) -> float | None:
    """Returns a number of JSON, None for what is no number there: NaN, Infinity, and one beyond the largest."""
    value = float(text)
    return value if isfinite(value) else None
