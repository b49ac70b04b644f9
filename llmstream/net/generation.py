"""One generation: connects a transport, an exchange and the conditions that end it.

Nothing blocks here. The transport and the loop's alarms call a generation when data has arrived or a time has come; its
events are queued until `take`. So one loop drives one generation for `gen`, thousands for `map`, and asyncio's loop
any number.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from ..core.events import Event, Finish, Text
from ..core.report import verdict
from ..core.request import Request
from ..core.retry import RetryPolicy
from ..core.timing import Timeouts, Timing
from ..errors import Error
from ..providers.target import Target
from .attempts import Attempts, NextAttempt, Resume
from .loop import Alarm, Loop
from .transfer import Transfer, Transport

if TYPE_CHECKING:
    from ..core.stop.stops import Stops

SLOW_WRITE_S = 0.1  # a write that blocks for longer restarts the clock of the provider's silence


def _ignore(note: str) -> None:
    pass


class Generation:
    """A request to a model, its retries, and the events of its answer.

    `over` says that no event follows those that `take` returns; `failure` is then why the answer is not whole, or None.

    `on_text`, where given, is called with a text in place of an event, for which `wake` is not called: while the answer
    flows, once all events before it were taken. It is called within the transport's work: it must not end anything.

    `note` is called with a sentence for the user on each retry; `wake` when a response's head has arrived, when there
    are events to take, and when the generation is over. `on_retry(at)`, where given, is called with the time of the
    next attempt; its owner then calls `send` at that time or later. Without it the generation sends by itself.
    `shows_reasoning` says that the reasoning is output; without it, an attempt that fails before the first text is
    repeated.
    """

    def __init__(
        self,
        target: Target,
        request: Request,
        timeouts: Timeouts,
        retries: RetryPolicy,
        transport: Transport,
        *,
        stops: Stops | None = None,
        resume: Resume | None = None,
        note: Callable[[str], object] = _ignore,
        wake: Callable[[], object] | None = None,
        on_retry: Callable[[float], object] | None = None,
        on_text: Callable[[str], object] | None = None,
        shows_reasoning: bool = True,
    ) -> None:
        self._attempts = Attempts(target, request, timeouts, retries, resume, shows_reasoning)
        self._connect_timeout = timeouts.connect
        self._transport, self._loop = transport, transport.loop
        self._note, self._wake, self._on_retry, self._on_text = note, wake, on_retry, on_text
        self._prefill = request.prefill.text if request.prefill else ""  # which the server does not repeat
        self._request = self._attempts.request()
        self._send_at: float | None = None  # when to send it, while it waits and its owner does not send it
        self._transfer: Transfer | None = None
        self._has_head = False
        self._pending: list[Event] = []  # those before the first output: a retry drops them
        self._events: list[Event] = []  # not yet taken
        self._paused = False
        self._alarm: Alarm | None = None
        self._alarm_at = 0.0  # inf where there is no deadline
        self._unsettled: list[Event] = []  # those that `_on_chunk` leaves to `_step`
        self._has_flowed = False  # `_on_chunk` has queued events, and nothing else has come
        self.stops = stops
        self.over = False
        self.failure: Error | None = None
        self.timing = Timing(self._loop.now())
        self.exchange = self._attempts.exchange(self.timing)

    # For the caller.

    def start(self) -> None:
        """Starts the clocks and sends the request."""
        self.timing.started = self._loop.now()
        if self.stops:
            self.stops.begin(self.timing.started)
        self.send()

    def send(self) -> None:
        """Sends the next request."""
        self._send_at, self._has_head = None, False
        self._transfer = self._transport.send(self._request, self._connect_timeout, self._step)
        if self._paused:
            self._transfer.pause(True)
        self.restart_stall_clock()
        self._arm()

    @property
    def notes(self) -> list[str]:
        """Sentences for the user about the answer, once it is over."""
        notes = [self.exchange.warning, *(self.stops.notes if self.stops else [])]
        return [note for note in notes if note]

    @property
    def early_failure(self) -> Error | None:
        """Why the answer failed before any output, once it has: an error, or the reason that ended an empty answer."""
        if not self.over or self.exchange.has_output:
            return None
        return self.failure or verdict(self.exchange.finish, limited=True)

    @property
    def has_news(self) -> bool:
        """Whether there are events to take, or the generation is over."""
        return self.over or bool(self._events)

    def take(self) -> list[Event]:
        """Returns the events since the last call."""
        events = self._events
        if events:
            self._events = []
        return events

    def restart_stall_clock(self) -> None:
        """Restarts the stall clock, after the consumer was blocked, for example by a slow reader."""
        if self._transfer is not None and not self._paused:
            self.exchange.resume(self._loop.now())

    def pause(self, paused: bool) -> None:
        """Pauses or resumes reading: back-pressure on the server. The total time-out goes on."""
        if paused is self._paused or self.over:
            return
        self._paused = paused
        if paused:
            self.exchange.suspend()
        if self._transfer is not None:
            self._transfer.pause(paused)
        self.restart_stall_clock()
        self._arm()

    def close(self) -> None:
        """Ends the generation at once, if it is not over. No callback follows."""
        if not self.over:
            self._end(None)

    # Data and times.

    def _step(self) -> None:
        """Handles data that has arrived, or a time that has come."""
        if self.over:
            return
        transfer, has_flowed, self._has_flowed = self._transfer, self._has_flowed, False
        if has_flowed and self._wake and transfer and not transfer.ended:  # no time has come, and the alarm is set
            self._wake()
            return
        now, has_head = self._loop.now(), self._has_head
        events, self._unsettled = self._unsettled, []
        if transfer is None:
            self._advance(self.exchange.expire(now), now)  # a condition's time may have come, too
            if not self.over and self._send_at is not None and now >= self._send_at:
                self.send()
        elif transfer.error is not None:
            self._end(self._attempts.reported(transfer.error))
        else:
            self._receive(transfer, now, events)
        if not self.over:
            self._arm()
            if self._transfer is not None and self._transport.calls_on_chunk:
                self._transfer.on_chunk = self._on_chunk if self._flows() else None
        if self._wake and (self._events or self.over or self._has_head is not has_head):
            self._wake()

    def _on_chunk(self, chunk: bytes) -> bool:
        """Takes a part of the body while the answer flows; returns whether `_step` is to be called."""
        exchange, now = self.exchange, self._loop.now()
        text = exchange.feed_repeat(chunk, now)
        if text and self._on_text and not (self._events or self._unsettled):
            self._on_text(text)
            return False
        events: list[Event] = [Text(text)] if text else exchange.feed(chunk, now)
        if self._unsettled or not exchange.flows or exchange.over:
            self._unsettled += events
            self._has_flowed = False
            return True
        self._events += events
        self._has_flowed = bool(events and self._wake)
        return self._has_flowed

    def _flows(self) -> bool:
        """Whether only the next part of the answer is awaited, with the alarm set, and its events are passed on."""
        return self.exchange.flows and not self._prefill and self.stops is None and not self._attempts.can_resume

    def _receive(self, transfer: Transfer, now: float, events: list[Event]) -> None:
        """Feeds what the transfer has received into the exchange, after `events` of an earlier part."""
        exchange = self.exchange
        if not self._has_head and (head := transfer.head()) is not None:
            if self._attempts.redirect(*head):
                self._schedule(NextAttempt(self._attempts.request(), now))
                return
            exchange.head(*head)
            self._has_head = True
        if transfer.chunks:
            chunk = transfer.take()
            events += (new := exchange.feed(chunk, now))
            self._attempts.resume.received(chunk, new)
        events += self._settle(transfer, now)
        if exchange.over:  # first, so that the provider stops working
            self._hang_up()
        self._advance(events, now)

    def _advance(self, events: list[Event], now: float) -> None:
        """Delivers events; where the exchange is over, ends the generation or retries."""
        exchange = self.exchange
        self._pending += events
        events = []
        if exchange.has_output or self._is_complete():
            events, self._pending = self._pending, []
        self._deliver(events, now)
        if exchange.over and not self.over:
            self._conclude(now)

    def _settle(self, transfer: Transfer, now: float) -> list[Event]:
        """Returns the last events, where the exchange is over; schedules a request for the rest, where it is cut."""
        exchange, attempts = self.exchange, self._attempts
        if exchange.is_cut(now, transfer.ended) and (rest := attempts.rest(exchange, transfer, now)):
            self._schedule(rest)
            return []
        if not transfer.ended:  # even where data came: the whole answer has its limit
            return exchange.expire(now)
        reason = transfer.reason if exchange.status else attempts.connection_error(transfer.reason)
        events = exchange.close(now, reason, transfer.max_retries)
        if exchange.failure and attempts.resumed and (rest := attempts.rest(exchange, transfer, now)):
            self._schedule(rest)
        return events

    def _deliver(self, events: list[Event], now: float) -> None:
        """Queues events, as far as the conditions let them through."""
        if self._prefill and events:
            at = next((i for i, event in enumerate(events) if isinstance(event, Text | Finish)), None)
            if at is not None:
                events = [*events[:at], Text(self._prefill), *events[at:]]
                self._prefill = ""
        stops = self.stops
        if stops is None:
            self._events += events
            return
        due = stops.deadline()
        if events or (due is not None and now >= due):
            try:
                self._events += stops.feed(events, now)
            except Error as error:  # the conditions hold back too much
                self._end(error)
                return
            if stops.early:
                self._end(None)

    def _arm(self) -> None:
        """Sets an alarm for the next deadline, unless one rings earlier; an alarm that rings too early does no harm."""
        due = self.exchange.deadline()
        if self._send_at is not None:
            due = self._send_at if due is None else min(due, self._send_at)
        if self.stops and (until := self.stops.deadline()) is not None:
            due = until if due is None else min(due, until)
        if due is None:
            self._alarm_at = self._alarm_at if self._alarm else inf
            return
        if self._alarm and self._alarm_at <= due:
            return
        if self._alarm:
            self._alarm.cancel()
        self._alarm, self._alarm_at = self._loop.call_at(due, self._on_alarm), due

    def _on_alarm(self) -> None:
        self._alarm, self._alarm_at = None, 0.0
        self._has_flowed = False
        self._step()

    # Retries and the end.

    def _conclude(self, now: float) -> None:
        """Retries after an exchange that is over, or ends the generation."""
        attempt = self._attempts.retry(self.exchange, now)
        if attempt is None:
            failure = self._attempts.final_error(self.exchange)
            if failure is not None and self.stops and not self.stops.met:
                with suppress(Error):  # too much is held back, but the cut matters more
                    self._events += self.stops.close()
            self._end(failure)
            return
        self._schedule(attempt)  # before the exchange is replaced: on_retry looks at the one that failed
        self.timing.first = self.timing.last = None  # of reasoning that was not shown
        self.exchange = self._attempts.exchange(self.timing)
        self.exchange.suspend()
        self._pending = []

    def _schedule(self, attempt: NextAttempt) -> None:
        """Schedules another request."""
        self._hang_up()
        self.exchange.suspend()
        self._request = attempt.request
        if attempt.note:
            self._note(attempt.note)
        if self._on_retry is None:
            self._send_at = attempt.at
        else:
            self._on_retry(attempt.at)

    def _end(self, failure: Error | None) -> None:
        self.over, self.failure = True, failure
        self._hang_up()
        if self._alarm:
            self._alarm.cancel()
        if not self._is_complete() and (request := self._attempts.resume.cancel()):
            self._transport.send_and_forget(request)

    def _hang_up(self) -> None:
        if self._transfer is not None:
            self._transfer.on_chunk = None
            self._transfer.complete = self._is_complete()
            self._transport.end(self._transfer)
            self._transfer = None

    def _is_complete(self) -> bool:
        return self.exchange.over and self.exchange.failure is None


def events(generation: Generation, loop: Loop) -> Generator[list[Event]]:
    """Yields the events of a generation that was started, a list for each arrival; closing this ends the generation.

    After the events, raises the error that ended the answer before its end mark, if any.
    """
    try:
        came = loop.now()
        while True:
            if batch := generation._events:  # `take`, without a call for each chunk
                generation._events = []
                yield batch
                if loop.now() - came > SLOW_WRITE_S:
                    generation.restart_stall_clock()
            elif generation.over:
                break
            else:
                came = loop.wait()
        if generation.failure:
            raise generation.failure
    finally:
        generation.close()
