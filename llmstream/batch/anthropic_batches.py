"""Anthropic's Message Batches API: a batch is made of its requests in one body, and results are lines of JSON.

Source: Anthropic API reference, "Message Batches", the guide "Batch processing", and the types of Anthropic's SDK.

A batch has no field for a nonce, and the API has no idempotency key; a batch that is at work shows nothing of its
requests but their number. So the nonce begins each custom_id, which the results show at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from math import inf
from typing import Any
from urllib.parse import urlsplit

from ..core.decoder import string
from ..core.json_codec import loads_or_none
from ..core.retry import RetryPolicy
from ..errors import Incomplete, Refused
from ..net.fetch import Fetcher
from ..net.transfer import HttpRequest
from ..providers.target import Target
from .batch_api import HTTP_NOT_FOUND, Batch, BatchApi, Parcel, Result, Search, counts_of, gone, unanswered

FAILED = ("errored", "canceled", "expired")  # counts, and types of results


class AnthropicBatches(BatchApi):
    """Anthropic's batches."""

    MAX_REQUESTS, MAX_BYTES = 100_000, 256_000_000
    SEPARATOR, CURSOR = b",\n", "after_id"

    def __init__(self, fetcher: Fetcher, target: Target, policy: RetryPolicy) -> None:
        super().__init__(fetcher, target, policy)
        self._custom_ids: dict[str, str] = {}  # of the first result, by the id of a batch that has ended

    @staticmethod
    def batches_url(target: Target) -> str:
        return f"{target.url}/batches"

    def request(self, custom_id: str, target: Target, body: dict[str, Any]) -> dict[str, Any]:
        return {"custom_id": custom_id, "params": body}

    def head(self, nonce: str) -> bytes:
        return b'{"requests": [\n'

    def tail(self, nonce: str) -> bytes:
        return b"\n]}"

    def prepare(self, parcel: Parcel) -> HttpRequest:
        headers = [*parcel.headers, "Content-Type: application/json"]
        return HttpRequest("POST", self._batches, headers, cert=self.target.cert, upload=parcel.file, once=True)

    def find(self, nonce: str, since: float, count: int, others: frozenset[str]) -> Search:
        candidates = []
        for batch in self._list(since):
            if batch.id in others or batch.total != count:
                continue
            if not batch.ended:
                candidates.append(batch.id)
                continue
            if batch.id not in self._custom_ids:
                self._custom_ids[batch.id] = self._retried(partial(self._custom_id, batch))
            if self._custom_ids[batch.id].startswith(nonce):
                return Search(batch)
        return Search(None, tuple(candidates))

    def _custom_id(self, batch: Batch) -> str:
        """Returns the custom_id of the first result, "" where the batch has no results any more."""
        line = bytearray()

        def write(data: bytes) -> None:
            line.extend(data)
            if b"\n" in data:
                raise _LineComplete

        try:
            if batch.fields.get("results_url"):
                self._fetcher.content(self.target, self._results_url(batch), write)
        except _LineComplete:
            pass
        except Refused as error:
            if error.http_status != HTTP_NOT_FOUND:
                raise
        data = loads_or_none(bytes(line).partition(b"\n")[0])
        return str(data.get("custom_id", "")) if isinstance(data, dict) else ""

    def results(self, batch: Batch) -> Iterator[Result]:
        count = 0
        if batch.fields.get("results_url"):
            for data, custom_id in self._lines(self._results_url(batch), f"the results of {batch.id}"):
                yield _result(batch, data, custom_id)
                count += 1
            if count < batch.total:
                raise Incomplete(f"the results of {batch.id} are cut: {count:,} lines of {batch.total:,}")

    def _results_url(self, batch: Batch) -> str:
        """Returns the URL of the results: the batch's own where it is at the target's address, which gets the key."""
        url = str(batch.fields["results_url"])
        is_at_target = urlsplit(url)[:2] == urlsplit(self._batches)[:2]
        return url if is_at_target else f"{self._batches}/{batch.id}/results"

    def _batch(self, fields: dict[str, Any]) -> Batch:
        id, status = fields.get("id"), fields.get("processing_status")
        if not isinstance(id, str) or not isinstance(status, str):
            raise self._unlike(self._batches)
        counts = counts_of(fields)
        failed = sum(counts.get(name, 0) for name in FAILED)
        is_cancelled = bool(fields.get("cancel_initiated_at"))
        ended, done = status == "ended", counts.get("succeeded", 0)
        error = gone(id) if ended and not fields.get("results_url") else None
        return Batch(id, status, ended, is_cancelled, sum(counts.values()), done, failed, fields, error)

    def _created_at(self, fields: dict[str, Any]) -> float:
        try:
            return datetime.fromisoformat(fields["created_at"]).timestamp()
        except (LookupError, TypeError, ValueError):
            return inf


class _LineComplete(Exception):
    """Ends a download after its first line."""


def _result(batch: Batch, data: dict[str, Any], custom_id: str) -> Result:
    """Reads a line of the results."""
    result = data.get("result")
    if not isinstance(result, dict):
        raise Incomplete(f"the results of {batch.id} are damaged: one has no result")
    for name in ("message", "error"):
        if isinstance(body := result.get(name), dict):
            return Result(custom_id, 200, body)
    return Result(custom_id, 0, {}, unanswered(batch.id, string(result, "type")))
