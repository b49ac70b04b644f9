"""One generation over the loop: the seam between sockets and the exchange, and the tries that it takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from .. import providers
from ..core.events import Event, Finish, Text
from ..core.exchange import Exchange
from ..core.request import Request
from ..core.retry import Retries
from ..core.timing import Limits, Timing
from ..errors import Error, Incomplete, Unavailable
from .transfer import Ask, Transfer, Transport

if TYPE_CHECKING:
    from .resume import Resume

MAX_REDIRECTS = 5


class Stream:
    """A request on its way. `events` yields what arrives, a list per arrival; closing it ends the generation.

    `note` is told of each new try, in words for the user.
    """

    def __init__(
        self,
        target: providers.Target,
        request: Request,
        limits: Limits,
        connect_timeout: float,
        retries: Retries,
        note: Callable[[str], None],
        transport: Transport,
        resume: Resume | None = None,
    ) -> None:
        self._target = target
        self._url = target.url
        self._connect_timeout = connect_timeout
        self._retries = retries
        self._limits = limits
        self._note = note
        self._transport = transport
        self._dialect = providers.dialect(target.api)
        self._body: dict[str, Any] = self._dialect.body(request, target.fields)
        self._prefill = request.prefill.text if request.prefill else ""
        self._resume = resume
        self._continued = False
        if resume:
            resume.prepare(self._body)
            self._body.update(request.extra)
        self._redirects = 0
        self._timing = Timing(self._transport.now())
        self.exchange = self._exchange()

    def events(self, wake: Callable[[], float | None] | None = None) -> Generator[list[Event]]:
        """Raises what ended the answer before its end mark, after the events that came before.

        At the time that `wake` tells (monotonic, seconds) a list is yielded even if it is empty.
        """
        events = self._events(wake)
        return begun_with(self._prefill, events) if self._prefill else events

    def _events(self, wake: Callable[[], float | None] | None) -> Generator[list[Event]]:
        transport = self._transport
        try:
            while True:
                yield from self._try(wake)
                failure = self.exchange.failure
                if failure is None:
                    return
                if not self._once_more(failure):
                    raise self._redacted(self._final(failure))
                self.exchange = self._exchange()
        finally:
            self._cancel()
            transport.close()

    def _exchange(self) -> Exchange:
        decoder = self._dialect.Decoder(self._target.provider, self._target.model)
        return Exchange(decoder, self._limits, self._timing, self._transport.now(), providers.shown(self._url))

    def _try(self, wake: Callable[[], float | None] | None) -> Iterator[list[Event]]:
        """Sends the request and yields its events; those before the first output come with it or with the end."""
        exchange, transport = self.exchange, self._transport
        transfer = self._post()
        headed = False
        held: list[Event] = []
        while not exchange.over:
            due = wake() if wake else None
            now = transport.wait(min((at for at in (exchange.deadline(), due) if at is not None), default=None))
            if not headed and (head := transfer.head()) is not None:
                if head[0] in (307, 308) and self._follow(head[1].get("location")):
                    transport.end(transfer)
                    transfer = self._post()
                    continue
                exchange.head(*head)
                headed = True
            events: list[Event] = []
            if transfer.chunks:
                chunk = transfer.take()
                events = exchange.feed(chunk, now)
                if self._resume:
                    self._resume.received(chunk, events)
            if rest := self._settle(transfer, now, events):
                transfer, headed = rest, False
            if exchange.over:  # before anything else, the provider may stop working
                transport.end(transfer)
            if events:
                held += events
                if exchange.timing.first is not None or (exchange.over and exchange.failure is None):
                    yield held
                    held = []
                    exchange.resume(self._transport.now())
            elif due is not None and now >= due:
                yield []

    def _settle(self, transfer: Transfer, now: float, events: list[Event]) -> Transfer | None:
        """Lets the exchange judge, adding to the events; the transfer of the rest, where the answer goes on in one."""
        exchange = self.exchange
        if exchange.cut(now, transfer.ended) and (rest := self._go_on(transfer)):
            return rest
        if not transfer.ended:  # also where something came: the whole answer has its limit
            events += exchange.expire(now)
            return None
        events += exchange.close(now, transfer.reason, transfer.again)
        return self._go_on(transfer) if self._continued and exchange.failure else None

    def _once_more(self, failure: Error) -> bool:
        """Whether to try again; waits as long as that takes."""
        if self._timing.first is not None:
            return False
        if "stream_options" in self._body and "stream_options" in str(failure) and failure.status == 3:
            del self._body["stream_options"]  # a server that does not know it; the usage may come all the same
            return True
        wait = self._retries.wait(failure, self.exchange.headers, time.time(), _dice())
        if wait is None:
            return False
        total = self._limits.total
        if total is not None and self._transport.now() + wait >= self._timing.started + total:
            return False
        self._note(f"{self._redacted(failure)}: trying again in {wait:.1f} s ({self._retries.done})")
        self._pause(wait)
        return True

    def _go_on(self, transfer: Transfer) -> Transfer | None:
        """Asks for the rest of an answer that was cut, where the provider can go on; waits first, as for a try."""
        transport, failure = self._transport, self.exchange.failure
        why = transfer.reason or ("the stream ended" if transfer.ended else "nothing new")
        cause = self._redacted(failure) if failure else Unavailable(why)
        why = str(cause)
        wait = self._retries.wait(cause, self.exchange.headers, time.time(), _dice()) if self._resume else None
        if self._resume is None or wait is None:
            return None
        ask = self._resume.ask(self.exchange, self._body, transport.now() + wait)
        if ask is None:
            return None
        self._note(f"{why} after {self.exchange.characters} characters: asking for the rest in {wait:.1f} s")
        transport.end(transfer)
        self._continued = True
        self._pause(wait)
        return transport.send(ask, self._connect_timeout)

    def _final(self, failure: Error) -> Error:
        """What to raise: where the rest could not be had, the answer is cut, whatever the server said."""
        if not self._continued or isinstance(failure, Incomplete):
            return failure
        return Incomplete(f"{failure}: the answer breaks off after {self.exchange.characters} characters")

    def _cancel(self) -> None:
        """Ends a generation that would go on without us."""
        whole = self.exchange.over and self.exchange.failure is None
        if self._resume and not whole and (ask := self._resume.cancel()):
            self._transport.tell(ask)

    def _pause(self, seconds: float) -> None:
        until = self._transport.now() + seconds
        while self._transport.wait(until) < until:
            pass

    def _post(self) -> Transfer:
        more = self._resume.headers if self._resume else []
        ask = Ask("POST", self._url, [*self._target.headers(), *more], self._body)
        return self._transport.send(ask, self._connect_timeout)

    def _redacted(self, error: Error) -> Error:
        """Servers quote the key that they refuse."""
        key, message = self._target.key, str(error)
        return type(error)(message.replace(key, "[key]"), again=error.again) if key and key in message else error

    def _follow(self, location: str | None) -> bool:
        """Takes a redirect that keeps the method, within the same origin: the key is sent to no other."""
        from urllib.parse import urljoin, urlsplit

        url = urljoin(self._url, location or "")
        old, new = urlsplit(self._url), urlsplit(url)
        if not location or (old.scheme, old.netloc) != (new.scheme, new.netloc) or self._redirects >= MAX_REDIRECTS:
            return False
        self._redirects += 1
        self._url = url
        return True


def begun_with(beginning: str, batches: Generator[list[Event]]) -> Generator[list[Event]]:
    """An answer with its beginning, which the server was given and does not repeat."""
    try:
        for batch in batches:
            at = next((i for i, event in enumerate(batch) if isinstance(event, Text | Finish)), None)
            if at is None or not beginning:
                yield batch
            else:
                yield [*batch[:at], Text(beginning), *batch[at:]]
                beginning = ""
    finally:
        batches.close()


def _dice() -> float:
    """A random number in [0, 1); the random module costs milliseconds to import."""
    return int.from_bytes(os.urandom(6), "big") / 2**48
