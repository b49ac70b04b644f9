"""Runs the prompts of map as batches, which the provider answers within a day, at half the price.

The journal makes a request that was sent once never be sent twice. Before a batch is made, its nonce and its requests
are in the journal; after it, its id. A nonce without an id is that of a run that was killed between: the provider's
list of batches says whether there is such a batch. The results of a batch and its end go into the journal together.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..core import provider_errors
from ..core.exchange import Exchange
from ..core.json_codec import to_json
from ..core.retry import Backoff, RetryPolicy
from ..core.secrets import show_url
from ..core.text import encode
from ..core.timing import Timeouts, Timing
from ..dialects import dialect
from ..errors import Error, Refused, Unavailable, UsageError, option
from .journal import Journal
from .openai_batches import ENDED, MAX_BYTES, MAX_REQUESTS, OpenAIBatches, Result, base_url, check, line
from .prompts import Job
from .record_builder import Record, RecordBuilder, with_error
from .totals import Totals

FIRST_WAIT_S, LONGEST_WAIT_S, GROWTH = 5.0, 60.0, 1.5  # between two looks at a batch
SETTLE_S = 10.0  # after which a batch that was asked for is in the list, or is never made
Entry = tuple[str, str]  # the key and the digest of a prompt in the journal


class Answer(NamedTuple):
    """An answer of a batch, as RecordBuilder wants it."""

    exchange: Exchange
    failure: Error | None
    notes: list[str]
    stops: None = None


class Batches:
    """The batches in a journal, and new ones. All methods raise the errors of the provider, and OutputFailed.

    `results` are the records of batches that this process has collected, each with the error of a prompt that failed.
    `note` is called with a sentence for the user.
    """

    def __init__(
        self,
        api: OpenAIBatches,
        journal: Journal,
        totals: Totals,
        policy: RetryPolicy,
        sleep: Callable[[float], object],
        note: Callable[[str], object],
    ) -> None:
        self._api, self._journal, self._totals, self._policy = api, journal, totals, policy
        self._sleep, self._note = sleep, note
        self._shown: dict[str, str] = {}  # what was last noted of a batch, by its id
        self.results: dict[Entry, tuple[Record, Error | None]] = {}
        url = self._url = show_url(base_url(api.target))
        for batch in journal.batches.values():
            if batch.get("url") != url:
                raise UsageError(f"the journal has a batch at {batch.get('url')}, not at {url}: name a model there")

    @property
    def running(self) -> int:
        """How many batches are not collected."""
        return len(self._journal.batches)

    def recover(self) -> None:
        """Finds the batches of a run that ended before it could write their ids; forgets those that were never made."""
        for nonce in [nonce for nonce, batch in self._journal.batches.items() if "id" not in batch]:
            if not self._adopt(nonce):
                self._journal.add_batch(nonce, ended="never made")
        self._journal.commit()

    def _adopt(self, nonce: str) -> bool:
        """Returns whether there is a batch with the nonce; its id is in the journal then."""
        at = self._journal.batches[nonce]["at"]
        batch = self._api.find(nonce, at)
        if batch is None and 0 < (wait := at + SETTLE_S - time.time()) <= SETTLE_S:
            self._sleep(wait)
            batch = self._api.find(nonce, at)
        if batch is not None:
            self._journal.add_batch(nonce, id=batch["id"])
            self._journal.commit()
        return batch is not None

    def send(self, jobs: Iterable[Job]) -> None:
        """Sends the jobs that no batch has, in as many batches as the limits demand; each has one model.

        A job that cannot be in a batch has failed then.
        """
        waiting = {(key, digest) for batch in self._journal.batches.values() for _, key, digest, _ in batch["requests"]}
        waiting |= self.results.keys()
        chunks: dict[tuple[str, str], _Chunk] = {}
        for job in jobs:
            if job.record is None and job.entries[0] not in waiting:
                try:
                    text = self._line(job)
                except Error as error:
                    job.fail(error)
                    continue
                target = job.target
                chunk = chunks.setdefault((target.api, target.model), _Chunk(target.api, target.model))
                if not chunk.has_room(text):
                    self._send(chunk)
                    chunk = chunks[target.api, target.model] = _Chunk(target.api, target.model)
                limited = job.choices[0].request.is_limited
                chunk.add(text, [str(job.row.index), *job.entries[0], limited])
        for chunk in chunks.values():
            self._send(chunk)

    def _line(self, job: Job) -> bytes:
        target, request = job.target, job.choices[0].request
        check(target)
        if len(job.choices) > 1:
            raise UsageError(f"a batch goes to one model: {target.name} has others after it")
        if show_url(base_url(target)) != self._url:
            raise UsageError(f"{target.name} is at another address: the batches of a run go to {self._url}")
        if job.choices[0].check:
            raise UsageError(f"an answer of a batch is not asked again: leave {option('check')} out")
        if request.prefill:
            raise UsageError(f"a batch continues no answer: leave {option('prefill')} out")
        text = line(str(job.row.index), target, request)
        if len(text) > MAX_BYTES:
            raise UsageError(f"the request is longer than a batch may be ({MAX_BYTES / 1e6:g} MB)")
        return text

    def _send(self, chunk: _Chunk) -> None:
        """Makes a batch. After an error that leaves it open whether the batch is there, the list of batches says it."""
        file_id, nonce = self._api.upload(b"".join(chunk.lines)), os.urandom(16).hex()
        backoff = Backoff(self._policy)
        journal = self._journal
        while True:
            journal.add_batch(
                nonce, at=int(time.time()), url=self._url, api=chunk.api, model=chunk.model, requests=chunk.requests
            )
            journal.commit()
            try:
                batch = self._api.create(file_id, chunk.api, nonce)
            except Refused:
                journal.add_batch(nonce, ended="refused")
                journal.commit()
                raise
            except Error as error:
                if self._adopt(nonce):
                    return
                wait = backoff.wait(error, {}, time.time(), random.random())
                if wait is None:
                    raise
                self._sleep(wait)
            else:
                journal.add_batch(nonce, id=batch["id"])
                journal.commit()
                count = len(chunk.requests)
                self._note(f"{batch['id']}: sent {count:,} {'prompt' if count == 1 else 'prompts'}")
                return

    def wait(self) -> None:
        """Waits until all batches are collected."""
        wait = FIRST_WAIT_S
        while self.running:
            self._sleep(wait)
            wait = min(wait * GROWTH, LONGEST_WAIT_S)
            self.collect()

    def collect(self) -> None:
        """Looks at each batch once, and collects those that have ended."""
        for nonce, entry in [*self._journal.batches.items()]:
            if "id" in entry:
                batch = self._api.get(entry["id"])
                if batch["status"] in ENDED:
                    self._collect(nonce, entry, batch)
                else:
                    self._show(batch)

    def cancel(self) -> None:
        """Cancels all batches that have not ended."""
        for entry in self._journal.batches.values():
            if "id" in entry:
                batch = self._api.get(entry["id"])
                if batch["status"] not in (*ENDED, "cancelling"):
                    batch = self._api.cancel(entry["id"])
                self._show(batch)

    def _show(self, batch: dict[str, Any]) -> None:
        """Notes what has become of a batch, if that is new."""
        counts = batch.get("request_counts") or {}
        done, failed = counts.get("completed") or 0, counts.get("failed") or 0
        text = batch["status"].replace("_", " ")
        if total := counts.get("total"):
            text += f", {done:,} of {total:,} done" + (f", {failed:,} failed" if failed else "")
        if self._shown.get(batch["id"]) != text:
            self._shown[batch["id"]] = text
            self._note(f"{batch['id']}: {text}")

    def _collect(self, nonce: str, entry: dict[str, Any], batch: dict[str, Any]) -> None:
        """Takes the results of a batch that has ended; those without one have failed."""
        requests = {id: ((key, digest), limited) for id, key, digest, limited in entry["requests"]}
        for result in self._api.results(batch):
            if result.id in requests:
                name, limited = requests.pop(result.id)
                record, failure = self._record(result, entry, limited)
                self.results[name] = record, failure
                if "finish" in record:
                    self._journal.add(*name, with_error(record, failure) if failure else record)
        if requests:
            error = self._hidden(_whole_error(batch))
            self.results |= {name: ({}, error) for name, _ in requests.values()}
        self._journal.add_batch(nonce, ended=batch["status"])
        self._journal.commit()
        self._show(batch)

    def _record(self, result: Result, entry: dict[str, Any], limited: bool) -> tuple[Record, Error | None]:
        """Reads a result as an answer that is not streamed."""
        target = self._api.target
        decoder = dialect(entry["api"]).Decoder(target.provider, entry["model"])
        exchange = Exchange(decoder, Timeouts(), Timing(0.0), 0.0, f"batch request {result.id}")
        exchange.head(result.status, {"content-type": "application/json"})
        builder = RecordBuilder(limited)
        builder.feed(exchange.feed(encode(to_json(result.body)), 0.0) + exchange.close(0.0))
        failure = self._hidden(exchange.failure) if exchange.failure else None
        self._totals.add_generation(target.provider, entry["model"], exchange)
        return builder.record(Answer(exchange, failure, [exchange.warning] if exchange.warning else []))

    def _hidden(self, error: Error) -> Error:
        """Returns an error with the provider's name, and without the key."""
        target = self._api.target
        return target.secrets.hide_in_error(error, target.naming(error.message))


class _Chunk:
    """The requests of a batch that is to be made."""

    def __init__(self, api: str, model: str) -> None:
        self.api, self.model = api, model
        self.lines: list[bytes] = []
        self.requests: list[list[Any]] = []  # custom_id, key, digest, and whether the length is limited on purpose
        self._bytes = 0

    def has_room(self, text: bytes) -> bool:
        return len(self.lines) < MAX_REQUESTS and self._bytes + len(text) <= MAX_BYTES

    def add(self, text: bytes, request: list[Any]) -> None:
        self.lines.append(text)
        self.requests.append(request)
        self._bytes += len(text)


def _whole_error(batch: dict[str, Any]) -> Error:
    """Returns why a batch that has ended has no answer to some of its requests."""
    errors = (batch.get("errors") or {}).get("data") or [{}]
    if errors[0].get("message") and (error := provider_errors.in_event({"error": errors[0]}, "")):
        return error
    return Unavailable(f"the batch {batch['id']} ended ({batch['status']}) before it answered this prompt")
