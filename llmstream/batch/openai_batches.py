"""OpenAI's Batch API, as it is spoken at a target's address: files of requests, batches, and files of results.

Source: OpenAI API reference, "Batch" and "Files", and the types of OpenAI's SDK.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..core.json_codec import loads_or_none, to_compact_json
from ..core.request import Request
from ..core.retry import Backoff, RetryPolicy
from ..core.secrets import show_url
from ..core.text import encode
from ..dialects import CHAT, RESPONSES, dialect
from ..errors import Error, Incomplete, UsageError
from ..net.fetch import Fetcher
from ..net.transfer import HttpRequest
from ..providers.registry import CURL
from ..providers.resolve import Target

T = TypeVar("T")
MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000  # of a batch
UPLOAD_TIMEOUT_S = 3600.0
PAGE = 100  # batches in a page of their list
CLOCK_SKEW_S = 3600  # by which the provider's clock may be behind
ENDED = ("completed", "failed", "expired", "cancelled")  # statuses that stay
BATCH: dict[str, type] = {"id": str, "status": str}
NONCE = "llmstream"  # the name of the nonce in a batch's metadata


class Result(NamedTuple):
    """A line of a file of results: the request's custom_id, HTTP status and body; a body with an error is none's."""

    id: str
    status: int
    body: dict[str, Any]


def check(target: Target) -> None:
    """Raises UsageError for a target without this API."""
    if not target.row.batches:
        raise UsageError(f"{target.provider} does not have OpenAI's batches: name a model of openai, azure or groq")
    if target.row.transport != CURL or target.api not in (CHAT, RESPONSES):
        raise UsageError(f"{target.name} has no batches: name a model of OpenAI, or of a server of its protocol")


def line(custom_id: str, target: Target, request: Request) -> bytes:
    """Returns the line of one request in a file of requests. Raises UsageError for what the API does not have."""
    body = target.body(request)
    for name in ("stream", "stream_options"):
        body.pop(name, None)
    fields = {"custom_id": custom_id, "method": "POST", "url": endpoint(target.api), "body": body}
    return encode(to_compact_json(fields)) + b"\n"


def endpoint(api: str) -> str:
    """Returns the name of a dialect's endpoint in requests and batches, whatever the base URL."""
    return f"/v1{dialect(api).PATH}"


def base_url(target: Target) -> str:
    """Returns the URL that the paths of the API are appended to."""
    return target.url.removesuffix(dialect(target.api).PATH)


class OpenAIBatches:
    """The batches of a target's account. All methods raise Refused, Unavailable and Incomplete.

    What may be asked twice is tried again after temporary errors, as `policy` says; `create` and `cancel` are not.
    """

    def __init__(self, fetcher: Fetcher, target: Target, policy: RetryPolicy) -> None:
        self.target, self._fetcher, self._policy = target, fetcher, policy
        self._base = base_url(target)

    def upload(self, requests: bytes) -> str:
        """Uploads a file of requests; returns its id."""
        boundary = os.urandom(16).hex()
        headers = [*self.target.headers(), f"Content-Type: multipart/form-data; boundary={boundary}"]
        form = _form(boundary, requests)
        request = HttpRequest("POST", f"{self._base}/files", headers, None, self.target.cert, form)
        file = self._retried(lambda: self._call(request, {"id": str}, UPLOAD_TIMEOUT_S))
        return str(file["id"])

    def create(self, file_id: str, api: str, nonce: str) -> dict[str, Any]:
        """Makes a batch of an uploaded file; returns it."""
        fields = {
            "input_file_id": file_id,
            "endpoint": endpoint(api),
            "completion_window": "24h",
            "metadata": {NONCE: nonce},
        }
        return self._post("/batches", fields)

    def find(self, nonce: str, since: float) -> dict[str, Any] | None:
        """Returns the batch that has the nonce, made after `since`, in Unix seconds; None where there is none."""
        after = ""
        while True:
            page = self._get(f"/batches?limit={PAGE}{after}", {"data": list})
            batches = page["data"]
            for batch in batches:
                if (batch.get("metadata") or {}).get(NONCE) == nonce:
                    return dict(batch)
            if not (batches and page.get("has_more")) or batches[-1].get("created_at", since) < since - CLOCK_SKEW_S:
                return None
            after = f"&after={batches[-1]['id']}"

    def get(self, id: str) -> dict[str, Any]:
        """Returns a batch."""
        return self._get(f"/batches/{id}", BATCH)

    def cancel(self, id: str) -> dict[str, Any]:
        """Cancels a batch; returns it."""
        return self._post(f"/batches/{id}/cancel", {})

    def results(self, batch: dict[str, Any]) -> Iterator[Result]:
        """Yields the results of a batch that has ended, in any order. Raises Incomplete where they are cut."""
        count, completed = 0, (batch.get("request_counts") or {}).get("completed") or 0
        for name in ("output_file_id", "error_file_id"):
            if id := batch.get(name):
                with tempfile.TemporaryFile() as file:
                    self._retried(partial(self._download, f"{self._base}/files/{id}/content", file))
                    file.seek(0)
                    for number, line in enumerate(file, 1):
                        yield _result(line, f"line {number} of {id}, results of {batch['id']},")
                        count += 1
        if count < completed:
            raise Incomplete(f"the results of {batch['id']} are cut: {count:,} lines, and {completed:,} are answered")

    def _download(self, url: str, file: Any) -> None:
        file.seek(0)
        file.truncate()
        self._fetcher.content(self.target, url, file.write)

    def _get(self, path: str, types: dict[str, type]) -> dict[str, Any]:
        request = HttpRequest("GET", self._base + path, self.target.headers(), cert=self.target.cert)
        return self._retried(lambda: self._call(request, types))

    def _post(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        request = HttpRequest("POST", self._base + path, self.target.headers(), fields, self.target.cert, once=True)
        return self._call(request, BATCH)

    def _call(self, request: HttpRequest, types: dict[str, type], timeout_s: float | None = None) -> dict[str, Any]:
        """Returns the object that answers a request; it has members of these types."""
        data = self._fetcher.call(self.target, request, timeout_s)
        if not isinstance(data, dict) or any(not isinstance(data.get(name), types[name]) for name in types):
            raise Incomplete(f"{show_url(request.url)} answered another object: does the server have OpenAI's batches?")
        return data

    def _retried(self, call: Callable[[], T]) -> T:
        backoff = Backoff(self._policy)
        while True:
            try:
                return call()
            except Error as error:
                wait = backoff.wait(error, {}, time.time(), random.random())
                if wait is None:
                    raise
                self._fetcher.sleep(wait)


def _form(boundary: str, requests: bytes) -> bytes:
    """Returns the body of an upload (RFC 7578): the purpose, and the file."""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="requests.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    return b"".join([head.encode(), requests, f"\r\n--{boundary}--\r\n".encode()])


def _result(line: bytes, name: str) -> Result:
    """Parses a line of a file of results. Raises Incomplete, with the line's name, for one that is not."""
    data = loads_or_none(line)
    if not isinstance(data, dict) or not isinstance(data.get("custom_id"), str):
        raise Incomplete(f"{name} is not a result: the file is cut or damaged")
    response = data.get("response") or {}
    body = response.get("body")
    if not isinstance(body, dict):
        body = {"error": data.get("error") or {"message": "the batch has neither answer nor error for this request"}}
    return Result(data["custom_id"], response.get("status_code") or 200, body)
