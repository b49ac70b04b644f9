"""Runs the prompts of map as batches, which the provider answers within a day, at half the price.

The journal makes a request that was sent once never be sent twice. Before a batch is made, its nonce and its requests
are in the journal; after it, its id. A nonce without an id is that of a run that was killed between: the provider's
list of batches says whether there is such a batch, at once or when the batches that may be it have ended. The results
of a batch and its end go into the journal together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from ..core.retry import Backoff
from ..core.secrets import show_url
from ..errors import Error, Refused, UsageError, option
from .batch_answer import LIMITED_JSON, read
from .batch_api import (
    HTTP_NOT_FOUND,
    SEND_TIMEOUT_S,
    TOO_MANY_REQUESTS,
    Batch,
    BatchApi,
    Parcel,
    Result,
    gone,
    unanswered,
)
from .batch_apis import api_of
from .journal import Entry, Journal
from .prompts import Job
from .record_builder import Record, with_error
from .totals import Totals

FIRST_WAIT_S, LONGEST_WAIT_S, GROWTH = 5.0, 60.0, 1.5  # between two looks at a batch
SETTLE_S = 10.0  # after its request has ended, for a batch to be in the list; one that is not there was never made
RETENTION_S = 30 * 86400  # after which no provider has a batch's results


class Batches:
    """The batches in a journal, and new ones. All methods raise the errors of the provider, and OutputFailed.

    `results` are the records of batches that this process has collected, each with the error of a prompt that failed.
    `note` is called with a sentence for the user.
    """

    def __init__(
        self,
        api: BatchApi,
        journal: Journal,
        totals: Totals,
        sleep: Callable[[float], object],
        note: Callable[[str], object],
    ) -> None:
        self._api, self._journal, self._totals = api, journal, totals
        self._sleep, self._note = sleep, note
        self._shown: dict[str, str] = {}  # what was last noted of a batch, by its id or nonce
        self._unknown: set[str] = set()  # the nonces of batches that the provider does not know
        self.results: dict[Entry, tuple[Record, Error | None]] = {}
        url = self._url = show_url(api.batches_url(api.target))
        for batch in journal.batches.values():
            if batch["url"] != url:
                raise UsageError(f"the journal has a batch at {batch['url']}, not at {url}: name a model there")

    @property
    def running(self) -> int:
        """How many batches are not collected."""
        return len(self._journal.batches.keys() - self._unknown)

    @property
    def unfinished(self) -> int:
        """How many prompts are in batches that are not collected."""
        return sum(
            len(batch["requests"]) for nonce, batch in self._journal.batches.items() if nonce not in self._unknown
        )

    @property
    def retries(self) -> int:
        """How often a request to the provider was tried again."""
        return self._api.retries

    @property
    def throttled(self) -> int:
        """How many responses were 429."""
        return self._api.throttled

    def recover(self) -> None:
        """Finds the batches of a run that ended before it could write their ids; forgets those that were never made."""
        for nonce in [nonce for nonce, batch in self._journal.batches.items() if "id" not in batch]:
            if not self._look_for(nonce):
                self._end(nonce, "never made")

    def _look_for(self, nonce: str) -> bool:
        """Returns whether there is or may be a batch with the nonce; its id is in the journal where it is certain."""
        entry = self._journal.batches[nonce]
        others = frozenset(batch["id"] for batch in self._journal.batches.values() if "id" in batch)
        at, count = entry["at"], len(entry["requests"])
        search = self._api.find(nonce, at, count, others)
        now = time.time()
        wait = min(now, at + SEND_TIMEOUT_S) + SETTLE_S - now  # its request may have ended only now
        if search == (None, ()) and wait > 0:
            self._sleep(wait)
            search = self._api.find(nonce, at, count, others)
        if search.batch:
            self._journal.add_batch(nonce, id=search.batch.id)
            self._journal.commit()
        elif search.candidates:
            names = " or ".join(search.candidates)
            self._show(nonce, f"{names} may be the batch of a run that was stopped: its results show whether it is")
        return bool(search.batch or search.candidates)

    def unsent(self, jobs: Iterable[Job]) -> list[Job]:
        """Returns the jobs that are to be sent: those without a record that are in no batch."""
        elsewhere = self._journal.in_batches() | self.results.keys()
        return [job for job in jobs if job.record is None and job.entries[0] not in elsewhere]

    def send(self, jobs: Iterable[Job]) -> None:
        """Sends the jobs that no batch has, in as many batches as the limits demand; each has one model.

        A job that cannot be in a batch has failed then.
        """
        parcels: dict[tuple[str, ...], Parcel] = {}
        try:
            for job in self.unsent(jobs):
                self._add(job, parcels)
            for parcel in parcels.values():
                self._send(parcel)
        finally:
            for parcel in parcels.values():
                parcel.close()

    def _add(self, job: Job, parcels: dict[tuple[str, ...], Parcel]) -> None:
        """Adds a job to the parcel of those like it, and sends that where it is full. A wrong job has failed then."""
        try:
            body = self._body(job)
        except UsageError as error:
            job.fail(error)
            return
        target, headers = job.target, job.target.headers(body)
        limited: bool | str = job.choices[0].request.is_limited
        if limited and job.choices[0].request.wants_json:
            limited = LIMITED_JSON
        request = [str(job.row.index), *job.entries[0], limited]
        kind = target.api, target.model, *headers
        if (full := parcels.get(kind)) and full.add(body, request):
            return
        if full:
            self._send(full)
            full.close()
        parcel = parcels[kind] = Parcel(self._api, target, headers)
        if not parcel.add(body, request):
            longest = f"{self._api.MAX_BYTES / 1e6:g} MB"
            job.fail(UsageError(f"the request is longer than a batch may be ({longest})"))

    def _body(self, job: Job) -> dict[str, Any]:
        """Returns the body of a job's request. Raises UsageError for what a batch does not have."""
        target, request = job.target, job.choices[0].request
        if len(job.choices) > 1:
            raise UsageError(f"a batch goes to one model: {target.name} has others after it")
        if api_of(target) is not type(self._api) or show_url(self._api.batches_url(target)) != self._url:
            raise UsageError(f"{target.name} is at another address: the batches of a run go to {self._url}")
        if job.choices[0].check:
            raise UsageError(f"an answer of a batch is not asked again: leave {option('check')} out")
        if request.prefill:
            raise UsageError(f"a batch continues no answer: leave {option('prefill')} out")
        body = target.body(request)
        return {name: value for name, value in body.items() if name not in ("stream", "stream_options")}

    def _send(self, parcel: Parcel) -> None:
        """Makes a batch. After an error that leaves it open whether the batch is there, the list of batches says it."""
        count = len(parcel.requests)
        if not count:
            return
        request = self._api.prepare(parcel.complete())
        backoff = Backoff(self._api.policy)
        nonce, journal, target = parcel.nonce, self._journal, parcel.target
        while True:
            journal.add_batch(
                nonce, at=int(time.time()), url=self._url, api=target.api, model=target.model, requests=parcel.requests
            )
            journal.commit()
            try:
                batch = self._api.create(request)
            except Error as error:
                refused = isinstance(error, Refused) or error.http_status == TOO_MANY_REQUESTS
                if not refused and self._look_for(nonce):
                    return
                wait = self._api.wait_after(error, backoff)
                if wait is None:
                    self._end(nonce, "refused" if refused else "never made")
                    raise
                self._sleep(wait)
            else:
                journal.add_batch(nonce, id=batch.id)
                journal.commit()
                self._note(f"{batch.id}: sent {count:,} {'prompt' if count == 1 else 'prompts'}")
                return

    def _end(self, nonce: str, word: str) -> None:
        """Writes the end of a batch into the journal."""
        self._journal.add_batch(nonce, ended=word)
        self._journal.commit()

    def wait(self, jobs: Iterable[Job]) -> None:
        """Waits until all batches are collected, and sends those of the jobs again that turn out not to be in one."""
        wait = FIRST_WAIT_S
        while self.running:
            self._sleep(wait)
            wait = min(wait * GROWTH, LONGEST_WAIT_S)
            if self.collect():
                self.send(jobs)

    def collect(self) -> bool:
        """Looks at each batch once, and collects those that have ended.

        Returns whether one that might have been made is not there, so that its prompts are to be sent again.
        """
        lost = False
        for nonce, entry in [*self._journal.batches.items()]:
            if "id" not in entry and not self._look_for(nonce):
                self._end(nonce, "never made")
                lost = True
            elif "id" in entry and nonce not in self._unknown:
                if (batch := self._get(entry["id"])) is None:
                    self._miss(nonce, entry)
                elif batch.ended:
                    self._collect(nonce, entry, batch)
                else:
                    self._show_batch(batch)
        return lost

    def cancel(self) -> None:
        """Cancels all batches that have not ended, and forgets those that the provider does not know."""
        for nonce, entry in [*self._journal.batches.items()]:
            if "id" in entry:
                batch = self._get(entry["id"])
                if batch is None:
                    self._end(nonce, "forgotten")
                    self._show(entry["id"], f"{entry['id']}: removed from the journal, the provider does not know it")
                    continue
                if not (batch.ended or batch.is_cancelled):
                    batch = self._api.cancel(batch.id)
                self._show_batch(batch)

    def _get(self, id: str) -> Batch | None:
        """Returns a batch, None where the provider does not know it."""
        try:
            return self._api.get(id)
        except Refused as error:
            if error.http_status != HTTP_NOT_FOUND:
                raise
            return None

    def _miss(self, nonce: str, entry: dict[str, Any]) -> None:
        """Fails the prompts of a batch that the provider does not know: old, deleted, or of another account.

        Only one that is too old to have results is forgotten: with another key the others may be there.
        """
        self._unknown.add(nonce)
        id, then = entry["id"], "the next run sends its prompts again"
        if entry["at"] + RETENTION_S < time.time():
            self._end(nonce, "forgotten")
        else:
            then = f"use the key of its account, or {option('cancel_batch')} to forget it and send its prompts again"
        message = f"{self._api.target.shown_name} does not know the batch {id} (HTTP {HTTP_NOT_FOUND}): {then}"
        self._show(id, message)
        self._fail(entry["requests"], Refused(message))

    def _fail(self, requests: Iterable[list[Any]], error: Error) -> None:
        """Fails the prompts of requests."""
        error = self._hidden(error)
        self.results |= {(key, digest): ({}, error) for _, key, digest, _ in requests}

    def _show_batch(self, batch: Batch) -> None:
        """Notes what has become of a batch, if that is new."""
        text = batch.status.replace("_", " ")
        if batch.total:
            text += f", {batch.done:,} of {batch.total:,} done" + (f", {batch.failed:,} failed" if batch.failed else "")
        self._show(batch.id, f"{batch.id}: {text}")

    def _show(self, name: str, text: str) -> None:
        """Notes a sentence about a batch, if it is new."""
        if self._shown.get(name) != text:
            self._shown[name] = text
            self._note(text)

    def _collect(self, nonce: str, entry: dict[str, Any], batch: Batch) -> None:
        """Takes the results of a batch that has ended; those without one have failed."""
        requests = {request[0]: request for request in entry["requests"]}
        error = batch.error or unanswered(batch.id, batch.status)
        try:
            for result in self._api.results(batch):
                if request := requests.pop(result.id.removeprefix(f"{nonce}-"), None):
                    self._add_result(result, request, entry)
        except Refused as refused:
            if refused.http_status != HTTP_NOT_FOUND:
                raise
            error = gone(batch.id)
        self._fail(requests.values(), error)
        self._end(nonce, batch.status)
        self._show_batch(batch)

    def _add_result(self, result: Result, request: list[Any], entry: dict[str, Any]) -> None:
        """Adds the record of a result, an answer to the journal, too."""
        _, key, digest, limited = request
        if result.error:
            self._fail([request], result.error)
            return
        record, failure = read(result, self._api.target, entry, limited, self._totals)
        self.results[key, digest] = record, failure
        if "finish" in record:
            self._journal.add(key, digest, with_error(record, failure) if failure else record)

    def _hidden(self, error: Error) -> Error:
        """Returns an error with the provider's name, and without the key."""
        target = self._api.target
        return target.secrets.hide_in_error(error, target.naming(error))
