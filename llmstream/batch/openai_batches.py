"""OpenAI's Batch API, as it is spoken at a target's address: files of requests, batches, and files of results.

Source: OpenAI API reference, "Batch" and "Files", and the types of OpenAI's SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

from ..core import provider_errors
from ..dialects import dialect
from ..errors import Incomplete
from ..net.transfer import HttpRequest
from ..providers.target import Target
from .batch_api import SEND_TIMEOUT_S, Batch, BatchApi, Parcel, Result, Search, counts_of

ENDED = ("completed", "failed", "expired", "cancelled")  # statuses that stay
NONCE = "llmstream"  # the name of the nonce in a batch's metadata


class OpenAIBatches(BatchApi):
    """OpenAI's batches. A file of requests is uploaded as a form (RFC 7578), and a batch is made of it."""

    MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000
    SEPARATOR, CURSOR = b"\n", "after"

    @staticmethod
    def batches_url(target: Target) -> str:
        return f"{_base_url(target)}/batches"

    def request(self, custom_id: str, target: Target, body: dict[str, Any]) -> dict[str, Any]:
        return {"custom_id": custom_id, "method": "POST", "url": _endpoint(target.api), "body": body}

    def head(self, nonce: str) -> bytes:
        return (
            f'--{nonce}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{nonce}\r\nContent-Disposition: form-data; name="file"; filename="requests.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()

    def tail(self, nonce: str) -> bytes:
        return f"\n\r\n--{nonce}--\r\n".encode()

    def prepare(self, parcel: Parcel) -> HttpRequest:
        headers = [*parcel.headers, f"Content-Type: multipart/form-data; boundary={parcel.nonce}"]
        url = f"{_base_url(self.target)}/files"
        request = HttpRequest("POST", url, headers, cert=self.target.cert, upload=parcel.file)
        file = self._retried(lambda: self._call(request, SEND_TIMEOUT_S))
        if not isinstance(file.get("id"), str):
            raise self._unlike(url)
        fields = {
            "input_file_id": file["id"],
            "endpoint": _endpoint(parcel.target.api),
            "completion_window": "24h",
            "metadata": {NONCE: parcel.nonce},
        }
        return self._post(self._batches, fields)

    def find(self, nonce: str, since: float, count: int, others: frozenset[str]) -> Search:
        for batch in self._list(since):
            if (batch.fields.get("metadata") or {}).get(NONCE) == nonce:
                return Search(batch)
        return Search()

    def results(self, batch: Batch) -> Iterator[Result]:
        count = 0
        for name in ("output_file_id", "error_file_id"):
            if id := batch.fields.get(name):
                url = f"{_base_url(self.target)}/files/{id}/content"
                for data, custom_id in self._lines(url, f"{id}, results of {batch.id},"):
                    yield _result(data, custom_id)
                    count += 1
        if count < batch.done:
            raise Incomplete(f"the results of {batch.id} are cut: {count:,} lines, and {batch.done:,} are answered")

    def _batch(self, fields: dict[str, Any]) -> Batch:
        id, status = fields.get("id"), fields.get("status")
        if not isinstance(id, str) or not isinstance(status, str):
            raise self._unlike(self._batches)
        counts = counts_of(fields)
        total, done, failed = (counts.get(name, 0) for name in ("total", "completed", "failed"))
        errors = (fields.get("errors") or {}).get("data") or [{}]
        error = provider_errors.in_event({"error": errors[0]}, "") if errors[0].get("message") else None
        is_cancelled = status in ("cancelling", "cancelled")
        return Batch(id, status, status in ENDED, is_cancelled, total, done, failed, fields, error)

    def _created_at(self, fields: dict[str, Any]) -> float:
        created_at = fields.get("created_at")
        return created_at if isinstance(created_at, int | float) else inf


def _endpoint(api: str) -> str:
    """Returns the name of a dialect's endpoint in requests and batches, whatever the base URL."""
    return f"/v1{dialect(api).PATH}"


def _base_url(target: Target) -> str:
    """Returns the URL that the paths of the API are appended to."""
    return target.url.removesuffix(dialect(target.api).PATH)


def _result(data: dict[str, Any], custom_id: str) -> Result:
    """Reads a line of a file of results."""
    response = data.get("response") or {}
    body = response.get("body")
    if not isinstance(body, dict):
        body = {"error": data.get("error") or {"message": "the batch has neither answer nor error for this request"}}
    return Result(custom_id, response.get("status_code") or 200, body)
