"""OpenAI's background responses that are not streamed: queued by one request, polled until the answer is there.

Source: OpenAI documentation, "Background mode", and the types of OpenAI's SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

from ..core import provider_errors
from ..core.exchange import MAX_ANSWER_BYTES
from ..core.json_codec import loads_or_none
from ..core.provider_errors import RETRIABLE_STATUSES
from ..core.retry import format_wait, retry_after
from ..core.secrets import show_url
from ..errors import UNLIMITED, Error, Unavailable, followed
from ..providers.target import Target
from .loop import Alarm
from .transfer import Head, HttpRequest, Transfer, Transport

FIRST_WAIT_S, LONGEST_WAIT_S, GROWTH = 2.0, 60.0, 1.5  # between two polls of a response
QUEUE_TIMEOUT_S, POLL_TIMEOUT_S = 600.0, 60.0  # of single requests: the first one may have large attachments
GIVE_UP_S = 600.0  # for which polls may fail one after the other
PENDING = ("queued", "in_progress")  # statuses that do not stay
GONE = 404  # the HTTP status of a response that the provider no longer has
WITHOUT_ANSWER = ("failed", "cancelled")


def _ignore(text: str) -> None:
    pass


class Polling(Transport):
    """A Transport that queues background responses over another one, and fetches their answers.

    A transfer ends with the whole response; its head is there as soon as the response is queued. `on_queued` is called
    with the id of each response, and with "" where it ends without an answer; `note` with a sentence for the user where
    something goes wrong. `id` is a response that an earlier run has queued: the first request is sent only if that has
    no answer. A transfer that is ended before cancels its response, unless `keeps`, because a later run collects it.
    """

    def __init__(
        self,
        inner: Transport,
        target: Target,
        *,
        on_queued: Callable[[str], object] = _ignore,
        note: Callable[[str], object] = _ignore,
        id: str = "",
        keeps: bool = False,
    ) -> None:
        self.inner, self.target, self.loop = inner, target, inner.loop
        self.on_queued, self.note, self.keeps = on_queued, note, keeps
        self._id = id

    def send(self, request: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]) -> Transfer:
        transfer = PolledTransfer(self, request._replace(once=True), connect_timeout, wake)
        id, self._id = self._id, ""
        transfer.adopt(id) if id else transfer.post()
        return transfer

    def send_and_forget(self, request: HttpRequest) -> None:
        self.inner.send_and_forget(request)

    def end(self, transfer: Transfer) -> None:
        assert isinstance(transfer, PolledTransfer)
        if not transfer.ended:
            transfer.leave()

    def settle(self) -> None:
        self.inner.settle()

    def close(self) -> None:
        self.inner.close()

    def abandon(self) -> None:
        self.inner.abandon()


class PolledTransfer(Transfer):
    """One background response, from the request that queues it to its end."""

    def __init__(
        self, polling: Polling, request: HttpRequest, connect_timeout: float | None, wake: Callable[[], object]
    ) -> None:
        super().__init__()
        self._polling, self._loop = polling, polling.loop
        self._request, self._connect_timeout, self._wake = request, connect_timeout, wake
        self._id = ""
        self._adopted = self._left = False
        self._transfer: Transfer | None = None  # of the request that is under way
        self._body = bytearray()
        self._alarm: Alarm | None = None
        self._wait_s = FIRST_WAIT_S
        self._failing_since: float | None = None  # the time of the first of the polls that failed in a row

    def post(self) -> None:
        """Sends the request that queues the response."""
        self._id, self._adopted, self._failing_since = "", False, None
        self._send(self._request)

    def adopt(self, id: str) -> None:
        """Polls a response that was queued before."""
        self._id, self._adopted = id, True
        self._poll()

    def leave(self) -> None:
        """Ends the transfer before the response has ended."""
        self.ended = self._left = True
        self._cancel_alarm()
        if self._transfer and not self._id:  # it may be queued already, and only its answer says as what
            self._polling.inner.finish(self._transfer)
            return
        if self._transfer:
            self._polling.inner.end(self._transfer)
            self._transfer = None
        self._cancel()

    def _cancel_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None  # a cycle of references: garbage collection would come too late

    def _cancel(self) -> None:
        """Cancels the response at the provider, unless a later run collects it."""
        if self._id and not self._polling.keeps:
            target = self._polling.target
            self._polling.send_and_forget(
                HttpRequest("POST", f"{self._url()}/cancel", target.headers(), {}, target.cert)
            )

    def _url(self) -> str:
        return f"{self._request.url}/{quote(self._id, safe='')}"

    def _poll(self) -> None:
        target = self._polling.target
        self._send(HttpRequest("GET", self._url(), target.headers(), cert=target.cert))

    def _send(self, request: HttpRequest) -> None:
        self._body.clear()
        self._transfer = self._polling.inner.send(request, self._connect_timeout, self._step)
        limit = POLL_TIMEOUT_S if self._id else QUEUE_TIMEOUT_S
        self._alarm = self._loop.call_at(self._loop.now() + limit, partial(self._time_out, limit))

    def _time_out(self, limit: float) -> None:
        self._settle(f"no answer within {limit:g} s", UNLIMITED, None)

    def _step(self) -> None:
        """Reads what has arrived of the response to the request that is under way."""
        transfer = self._transfer
        if transfer is None:
            return
        self._body += transfer.take()
        if transfer.ended or len(self._body) > MAX_ANSWER_BYTES:
            self._settle(transfer.reason, transfer.max_retries, transfer.error)

    def _settle(self, reason: str, max_retries: int, error: Error | None) -> None:
        """Reads the whole response to a request, or why there is none."""
        transfer, self._transfer = self._transfer, None
        assert transfer
        head = transfer.head()
        self._polling.inner.end(transfer)
        self._cancel_alarm()
        if error:
            self._end(error)
        elif self._id:
            self._polled(reason, head)
        else:
            self._posted(reason, max_retries, head)

    def _end(self, error: Error | None = None) -> None:
        self.ended, self.error = True, error
        if not self._left:
            self._wake()

    def _posted(self, reason: str, max_retries: int, head: Head | None) -> None:
        """Handles the response to the request that queues."""
        data = loads_or_none(bytes(self._body)) if head and head[0] == 200 and not reason else None
        if head and isinstance(data, dict) and data.get("status") in PENDING and isinstance(data.get("id"), str):
            self._queued(data["id"], head)
        elif not reason:
            self._pass_on(head)
        elif head or max_retries == UNLIMITED:  # it may have arrived: sent again, it might be paid for twice
            name = self._polling.target.shown_name
            self._end(Unavailable(f"{name}: {reason}: the request may have arrived, and is not sent again"))
        else:
            self.reason, self.max_retries = reason, max_retries
            self._end()

    def _queued(self, id: str, head: Head) -> None:
        self._id = id
        if self._left:
            self._cancel()
        if not self._left or self._polling.keeps:
            self._polling.on_queued(id)
        if not self._left:
            self.response_head = head
            self._wait(head)
            self._wake()

    def _pass_on(self, head: Head | None) -> None:
        """Ends with the response as it came."""
        self.response_head = self.response_head or head
        self.chunks.append(bytes(self._body))
        self._end()

    def _polled(self, reason: str, head: Head | None) -> None:
        """Handles the response to a poll."""
        status = head[0] if head and not reason else 0
        data: Any = loads_or_none(bytes(self._body)) if status == 200 else None
        state = data.get("status") if isinstance(data, dict) else None
        if self._adopted and (status == GONE or state in WITHOUT_ANSWER):
            self._polling.note(f"{self._id} has no answer: sending the request again")
            self.post()
        elif state in PENDING and head:
            self._failing_since = None
            self.response_head = self.response_head or head
            self._wait(head)
        elif isinstance(state, str):
            if state in WITHOUT_ANSWER:
                self._polling.on_queued("")
            self._pass_on(head)
        elif head and 400 <= status < 500 and status not in RETRIABLE_STATUSES:
            if status == GONE:
                self._polling.on_queued("")
            self._end(provider_errors.of_response(*head, bytes(self._body), show_url(self._url())))
        else:
            self._poll_again(reason or self._unexpected(status), head)

    def _unexpected(self, status: int) -> str:
        return f"{show_url(self._url())} answered HTTP {status}" + ("" if status != 200 else ", but not a response")

    def _poll_again(self, reason: str, head: Head | None) -> None:
        """Polls again after a poll that failed, or gives up."""
        message = f"{self._polling.target.shown_name}: {reason}"
        now = self._loop.now()
        self._failing_since = now if self._failing_since is None else self._failing_since
        lost_s = now - self._failing_since
        if lost_s >= GIVE_UP_S:
            self._cancel()
            self._end(Unavailable(f"{message}: {self._id} could not be polled for {format_wait(lost_s)}"))
            return
        wait = self._wait(head)
        self._polling.note(followed(message, f"polling again in {wait:.1f} s"))

    def _wait(self, head: Head | None) -> float:
        """Schedules the next poll; returns in how many seconds."""
        wait = min((head and retry_after(head[1], 0.0)) or self._wait_s, LONGEST_WAIT_S)
        self._wait_s = min(self._wait_s * GROWTH, LONGEST_WAIT_S)
        self._alarm = self._loop.call_at(self._loop.now() + wait, self._poll)
        return wait
