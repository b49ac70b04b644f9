"""A provider's API of batches, as Batches uses it: what is common to all of them, and what each does its own way."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, ClassVar, NamedTuple, TypeVar, cast

from ..core.json_codec import loads_or_none, to_compact_json
from ..core.retry import Backoff, RetryPolicy
from ..core.secrets import show_url
from ..core.text import encode
from ..errors import Error, Incomplete, OutputFailed, Unavailable
from ..net.fetch import Fetcher
from ..net.transfer import HttpRequest
from ..providers.target import Target

T = TypeVar("T")
SEND_TIMEOUT_S = 3600.0  # for all requests of a batch to arrive
HTTP_NOT_FOUND = 404
TOO_MANY_REQUESTS = 429  # the HTTP status of a request that may come later, and has done nothing
PAGE = 100  # batches in a page of their list
CLOCK_SKEW_S = 86400  # by which the provider's clock may be behind ours, as where our time zone is wrong


class Batch(NamedTuple):
    """A batch as the provider describes it in `fields`.

    `status` is the provider's word, which stays once the batch has `ended`; `is_cancelled` says that it has been
    cancelled or is about to be. The counts of its requests are 0 while the provider does not count. `error` is why a
    batch that has ended has no answers, where the provider says it.
    """

    id: str
    status: str
    ended: bool
    is_cancelled: bool
    total: int
    done: int
    failed: int
    fields: dict[str, Any]
    error: Error | None = None


class Result(NamedTuple):
    """The result of one request: its custom_id, and the HTTP status and body of the answer, which may be an error.

    `error` is why there is no answer.
    """

    id: str
    status: int
    body: dict[str, Any]
    error: Error | None = None


class Search(NamedTuple):
    """The search for a batch whose id is lost: the batch, or the ids of the candidates."""

    batch: Batch | None = None
    candidates: tuple[str, ...] = ()


class BatchApi:
    """The batches of a target's account. Methods that send requests raise Refused, Unavailable and Incomplete.

    What may be asked twice is tried again after temporary errors, as `policy` says; `create` and `cancel` are not.
    """

    MAX_REQUESTS: ClassVar[int]  # of a batch
    MAX_BYTES: ClassVar[int]
    SEPARATOR: ClassVar[bytes]  # between two requests in a file
    CURSOR: ClassVar[str]  # the parameter of a list that names the last batch of the page before

    def __init__(self, fetcher: Fetcher, target: Target, policy: RetryPolicy) -> None:
        self.target, self.policy, self._fetcher = target, policy, fetcher
        self._batches = self.batches_url(target)
        self.retries = self.throttled = 0  # attempts after the first, and responses with status 429

    @staticmethod
    def batches_url(target: Target) -> str:
        """Returns the URL of the list of batches."""
        raise NotImplementedError

    def request(self, custom_id: str, target: Target, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the object of one request in a file of requests."""
        raise NotImplementedError

    def head(self, nonce: str) -> bytes:
        """Returns what stands before the requests in a file."""
        raise NotImplementedError

    def tail(self, nonce: str) -> bytes:
        """Returns what stands after the requests in a file."""
        raise NotImplementedError

    def prepare(self, parcel: Parcel) -> HttpRequest:
        """Returns the request that makes a batch of requests that are complete."""
        raise NotImplementedError

    def create(self, request: HttpRequest) -> Batch:
        """Makes a batch by a request of `prepare`."""
        return self._batch(self._call(request, SEND_TIMEOUT_S))

    def find(self, nonce: str, since: float, count: int, others: frozenset[str]) -> Search:
        """Looks for the batch with a nonce and so many requests, made after `since`, in Unix seconds.

        `others` are the ids of batches that are not it.
        """
        raise NotImplementedError

    def get(self, id: str) -> Batch:
        """Returns a batch."""
        return self._batch(self._get(f"{self._batches}/{id}"))

    def cancel(self, id: str) -> Batch:
        """Cancels a batch; returns it."""
        return self._batch(self._call(self._post(f"{self._batches}/{id}/cancel", {})))

    def results(self, batch: Batch) -> Iterator[Result]:
        """Yields the results of a batch that has ended, in any order. Raises Incomplete where they are cut."""
        raise NotImplementedError

    def _batch(self, fields: dict[str, Any]) -> Batch:
        """Reads a batch. Raises Incomplete where it is none."""
        raise NotImplementedError

    def _list(self, since: float) -> Iterator[Batch]:
        """Yields the batches made after `since`, the last one first."""
        after = ""
        while True:
            page = self._get(f"{self._batches}?limit={PAGE}{after}")
            for fields in page.get("data") or []:
                batch = self._batch(fields)
                if self._created_at(fields) < since - CLOCK_SKEW_S:
                    return
                yield batch
                after = f"&{self.CURSOR}={batch.id}"
            if not (page.get("data") and page.get("has_more")):
                return

    def _created_at(self, fields: dict[str, Any]) -> float:
        """Returns when a batch was made, in Unix seconds; infinity where the provider does not say it."""
        raise NotImplementedError

    def _lines(self, url: str, name: str) -> Iterator[tuple[dict[str, Any], str]]:
        """Yields the objects of a file of results, each with its custom_id. Raises Incomplete, with the file's name."""
        with tempfile.TemporaryFile() as file:
            self._retried(partial(self._download, url, file))
            file.seek(0)
            for number, line in enumerate(file, 1):
                data = loads_or_none(line)
                if not isinstance(data, dict) or not isinstance(data.get("custom_id"), str):
                    raise Incomplete(f"line {number} of {name} is not a result: the file is cut or damaged")
                yield data, data["custom_id"]

    def _download(self, url: str, file: BinaryIO) -> None:
        file.seek(0)
        file.truncate()
        with file_errors():
            self._fetcher.content(self.target, url, file.write)

    def _get(self, url: str) -> dict[str, Any]:
        request = HttpRequest("GET", url, self.target.headers(), cert=self.target.cert)
        return self._retried(lambda: self._call(request))

    def _post(self, url: str, fields: dict[str, Any]) -> HttpRequest:
        return HttpRequest("POST", url, self.target.headers(), fields, self.target.cert, once=True)

    def _call(self, request: HttpRequest, timeout_s: float | None = None) -> dict[str, Any]:
        """Returns the object that answers a request."""
        data = self._fetcher.call(self.target, request, timeout_s)
        if not isinstance(data, dict):
            raise self._unlike(request.url)
        return data

    def _unlike(self, url: str) -> Incomplete:
        """Returns the error of a response that is not the API's."""
        return Incomplete(f"{show_url(url)} sent an unexpected response: does the server have batches?")

    def _retried(self, call: Callable[[], T]) -> T:
        backoff = Backoff(self.policy)
        while True:
            try:
                return call()
            except Error as error:
                wait = self.wait_after(error, backoff)
                if wait is None:
                    raise
                self._fetcher.sleep(wait)

    def wait_after(self, error: Error, backoff: Backoff) -> float | None:
        """Returns the seconds to wait after an error before the next attempt, None to give up; counts what it was."""
        self.throttled += error.http_status == TOO_MANY_REQUESTS
        wait = backoff.wait(error, {}, time.time(), random.random())
        self.retries += wait is not None
        return wait


class Parcel:
    """The requests of a batch that is to be made, in a temporary file. Raises OutputFailed where that is full.

    `requests` are those in the journal: index, key, digest, and whether the length is limited on purpose.
    """

    def __init__(self, api: BatchApi, target: Target, headers: list[str]) -> None:
        self.nonce, self.target, self.headers = os.urandom(16).hex(), target, headers
        self.requests: list[list[Any]] = []
        self._api, self._bytes = api, 0
        self.file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
        self._write(api.head(self.nonce))

    def add(self, body: dict[str, Any], request: list[Any]) -> bool:
        """Adds a request with its JSON body; returns False where the limits of a batch leave no room."""
        custom_id = f"{self.nonce}-{request[0]}"
        line = encode(to_compact_json(self._api.request(custom_id, self.target, body)))
        if self.requests:
            line = self._api.SEPARATOR + line
        if len(self.requests) >= self._api.MAX_REQUESTS or self._bytes + len(line) > self._api.MAX_BYTES:
            return False
        self._write(line)
        self.requests.append(request)
        self._bytes += len(line)
        return True

    def complete(self) -> Parcel:
        """Returns the parcel, once nothing more is added."""
        self._write(self._api.tail(self.nonce))
        return self

    def close(self) -> None:
        """Deletes the file."""
        self.file.close()

    def _write(self, data: bytes) -> None:
        with file_errors():
            self.file.write(data)
            self.file.flush()


@contextmanager
def file_errors() -> Iterator[None]:
    """Raises OutputFailed where the system refuses to write a temporary file."""
    try:
        yield
    except OSError as error:
        raise OutputFailed(f"cannot write a file in {tempfile.gettempdir()}: {error.strerror}") from None


def unanswered(id: str, word: str) -> Unavailable:
    """Returns the error of a request that its batch has not answered; `word` is what became of it."""
    return Unavailable(f"the batch {id} ended ({word}) before it answered this prompt")


def gone(id: str) -> Unavailable:
    """Returns the error of all requests of a batch whose results the provider no longer has."""
    return Unavailable(f"the results of {id} are no longer there: the next run sends its prompts again")


def counts_of(fields: Mapping[str, Any]) -> dict[str, int]:
    """Returns the counts of a batch's requests, by name."""
    counts = fields.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    return {name: count for name, count in counts.items() if type(count) is int}
