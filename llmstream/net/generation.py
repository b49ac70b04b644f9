"""One generation: the seam between transport and exchange, and the conditions that end it.

Nobody waits here. A generation is woken when something of its answer has arrived or its time has come; what it makes
of that waits to be taken. So one loop drives one of them for `gen`, thousands for `map`, and asyncio's any number.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING

from ..core.events import Event, Finish, Text
from ..core.request import Request
from ..core.retry import RetryPolicy
from ..core.timing import Timeouts, Timing
from ..errors import Error
from ..providers.resolve import Target
from .attempts import Attempts, NextAttempt
from .loop import Alarm, Loop
from .transfer import Transfer, Transport

if TYPE_CHECKING:
    from ..core.stop.stops import Stops
    from .resume import Resume


def _nothing(*told: object) -> None:
    pass


class Generation:
    """A request on its way. What `take` returns ends when it is `over`; `failure` is then why it is not whole, or None.

    `note` is told of each new try, in words for the user; `wake` is called when a response has begun, when there is
    something to take, and when it is over. `later(when)`, where given, sees to it that `send` is called for a new try,
    at that time or after it; without it the generation does so by itself.
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
        note: Callable[[str], object] = _nothing,
        wake: Callable[[], object] = _nothing,
        later: Callable[[float], object] | None = None,
    ) -> None:
        self._tries = Attempts(target, request, timeouts, retries, resume)
        self._connect_timeout = timeouts.connect
        self._transport, self._loop = transport, transport.loop
        self._note, self._wake, self._later = note, wake, later
        self._beginning = request.prefill.text if request.prefill else ""  # which the server does not repeat
        self._ask = self._tries.ask()
        self._send_at: float | None = None  # while it waits to be sent
        self._transfer: Transfer | None = None
        self._headed = False
        self._held: list[Event] = []  # until the first output: another try might begin again
        self._arrived: list[Event] = []
        self._paused = False
        self._alarm: Alarm | None = None
        self._alarm_at = 0.0
        self.stops = stops
        self.over = False
        self.failure: Error | None = None
        self.timing = Timing(self._loop.now())
        self.exchange = self._tries.exchange(self.timing, self.timing.started)

    # For whoever drives it.

    def start(self) -> None:
        """Sends the request. The clocks run from here."""
        now = self.timing.started = self._loop.now()
        self.exchange = self._tries.exchange(self.timing, now)
        if self.stops:
            self.stops.begin(now)
        self.send()

    def send(self) -> None:
        """Sends what is to be sent next."""
        self._send_at, self._headed = None, False
        self._transfer = self._transport.send(self._ask, self._connect_timeout, self._step)
        if self._paused:
            self._transfer.hold(True)
        self.caught_up()
        self._arm()

    def take(self) -> list[Event]:
        """The events since the last call."""
        arrived = self._arrived
        if arrived:
            self._arrived = []
        return arrived

    def caught_up(self) -> None:
        """Whoever takes was busy, with a slow reader maybe: the provider's silence counts from now."""
        if self._transfer is not None and not self._paused:
            self.exchange.resume(self._loop.now())

    def pause(self, paused: bool) -> None:
        """Whether the server is to wait, as far as the network's buffers let it notice; the time for it all runs on."""
        if paused is self._paused or self.over:
            return
        self._paused = paused
        if paused:
            self.exchange.suspend()
        if self._transfer is not None:
            self._transfer.hold(paused)
        self.caught_up()
        self._arm()

    def close(self) -> None:
        """Ends it at once, if it is not over. Nothing is called afterwards."""
        if not self.over:
            self._end(None)

    # What arrives.

    def _step(self) -> None:
        """Something has arrived, or a time has come."""
        if self.over:
            return
        now, transfer, headed = self._loop.now(), self._transfer, self._headed
        if transfer is None:
            self._advance(self.exchange.expire(now), now)  # also, a condition's time may have come
            if not self.over and self._send_at is not None and now >= self._send_at and self._later is None:
                self.send()
        elif transfer.fault is not None:
            self._end(self._tries.redacted(transfer.fault))
        else:
            self._receive(transfer, now)
        if not self.over:
            self._arm()
        if self._arrived or self.over or self._headed is not headed:
            self._wake()

    def _receive(self, transfer: Transfer, now: float) -> None:
        exchange = self.exchange
        if not self._headed and (head := transfer.head()) is not None:
            if head[0] in (307, 308) and self._tries.follow(head[1].get("location")):
                self._plan(NextAttempt(self._tries.ask(), now, ""))
                return
            exchange.head(*head)
            self._headed = True
        events: list[Event] = []
        if transfer.chunks:
            chunk = transfer.take()
            events = exchange.feed(chunk, now)
            self._tries.received(chunk, events)
        events += self._settle(transfer, now)
        if exchange.over:  # before anything else, the provider may stop working
            self._hang_up()
        self._advance(events, now)

    def _advance(self, events: list[Event], now: float) -> None:
        """Goes on with what came, and to the end or another try where the exchange is over."""
        exchange = self.exchange
        self._held += events
        if exchange.timing.first is not None or (exchange.over and exchange.failure is None):
            events, self._held = self._held, []
            self._deliver(events, now)
        else:
            self._deliver([], now)
        if exchange.over and not self.over:
            self._judge(now)

    def _settle(self, transfer: Transfer, now: float) -> list[Event]:
        """Lets the exchange judge; asks for the rest where the answer can go on."""
        exchange, tries = self.exchange, self._tries
        if exchange.is_cut(now, transfer.ended) and (continuation := tries.continuation(exchange, transfer, now)):
            self._plan(continuation)
            return []
        if not transfer.ended:  # also where something came: the whole answer has its limit
            return exchange.expire(now)
        events = exchange.close(now, transfer.reason, transfer.max_retries)
        if exchange.failure and tries.continued and (continuation := tries.continuation(exchange, transfer, now)):
            self._plan(continuation)
        return events

    def _deliver(self, events: list[Event], now: float) -> None:
        """Passes on what has come, as far as it is wanted."""
        if self._beginning and events:
            at = next((i for i, event in enumerate(events) if isinstance(event, Text | Finish)), None)
            if at is not None:
                events = [*events[:at], Text(self._beginning), *events[at:]]
                self._beginning = ""
        stops = self.stops
        if stops is None:
            self._arrived += events
            return
        due = stops.deadline()
        if events or (due is not None and now >= due):
            try:
                self._arrived += stops.feed(events, now)
            except Error as error:  # more than may be held
                self._end(error)
                return
            if stops.early:
                self._end(None)

    def _arm(self) -> None:
        """Makes sure that a time to come is noticed; an alarm that is too early by now does no harm."""
        due = self.exchange.deadline()
        if self._send_at is not None and self._later is None:
            due = self._send_at if due is None else min(due, self._send_at)
        if self.stops and (until := self.stops.deadline()) is not None:
            due = until if due is None else min(due, until)
        if due is None or (self._alarm and self._alarm_at <= due):
            return
        if self._alarm:
            self._alarm.cancel()
        self._alarm, self._alarm_at = self._loop.at(due, self._on_alarm), due

    def _on_alarm(self) -> None:
        self._alarm = None
        self._step()

    # How it goes on, or ends.

    def _judge(self, now: float) -> None:
        again = self._tries.once_more(self.exchange, now)
        if again is None:
            failure = self._tries.final(self.exchange)
            if failure is not None and self.stops and not self.stops.met:
                with suppress(Error):  # what is held back is too much; that the answer is cut counts for more
                    self._arrived += self.stops.close()
            self._end(failure)
            return
        self._plan(again)  # first, since what has failed tells of the provider
        self.exchange = self._tries.exchange(self.timing, again.when)
        self.exchange.suspend()
        self._held = []

    def _plan(self, again: NextAttempt) -> None:
        """Sees to another request."""
        self._hang_up()
        self.exchange.suspend()
        self._ask, self._send_at = again.ask, again.when
        if again.note:
            self._note(again.note)
        if self._later is not None:
            self._later(again.when)

    def _end(self, failure: Error | None) -> None:
        self.over, self.failure = True, failure
        self._hang_up()
        if self._alarm:
            self._alarm.cancel()
        if not self._whole() and (ask := self._tries.cancel()):
            self._transport.tell(ask)

    def _hang_up(self) -> None:
        if self._transfer is not None:
            self._transfer.whole = self._whole()
            self._transport.end(self._transfer)
            self._transfer = None

    def _whole(self) -> bool:
        return self.exchange.over and self.exchange.failure is None


def events(generation: Generation, loop: Loop) -> Generator[list[Event]]:
    """The events of one generation that was started, a list per arrival; closing it ends the generation.

    Raises what ended the answer before its end mark, after the events that came before.
    """
    try:
        while True:
            if batch := generation.take():
                yield batch
                generation.caught_up()
            elif generation.over:
                break
            else:
                loop.wait()
        if generation.failure:
            raise generation.failure
    finally:
        generation.close()
