"""What a generation asks for, and asks for again: the request, redirects, retries, and the rest of a cut answer."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.exchange import Exchange
from ..core.provider_errors import WHICH_KEY
from ..core.request import Request
from ..core.retry import Backoff, RetryPolicy
from ..core.timing import Timeouts, Timing
from ..dialects import dialect
from ..errors import Error, Incomplete, Unavailable
from ..providers.registry import CURL
from ..providers.resolve import Target, shown
from .redirects import Redirects
from .transfer import HttpRequest, Transfer

if TYPE_CHECKING:
    from .resume import Resume


class NextAttempt(NamedTuple):
    """Another request: what, when, and the user's word of it, "" where it is not worth one."""

    ask: HttpRequest
    when: float
    note: str


class Attempts:
    """The requests of one generation. Times are seconds of the transport's clock."""

    def __init__(
        self, target: Target, request: Request, timeouts: Timeouts, policy: RetryPolicy, resume: Resume | None = None
    ) -> None:
        self._target = target
        self._timeouts = timeouts
        self._backoff = Backoff(policy)
        self._dialect = dialect(target.api)
        self._body: dict[str, Any] = target.body(request)
        self._resume = resume
        self._continued = False
        if resume:
            resume.prepare(self._body)
            self._body.update(request.extra)
        self._redirects = Redirects(target.url, same_origin=True)

    def ask(self) -> HttpRequest:
        """The request."""
        more = self._resume.headers if self._resume else []
        return HttpRequest("POST", self._redirects.url, [*self._target.headers(), *more], self._body)

    def exchange(self, timing: Timing, begun: float) -> Exchange:
        """What reads the answer to a request that goes out at `begun`."""
        decoder = self._dialect.Decoder(self._target.provider, self._target.model)
        return Exchange(decoder, self._timeouts, timing, begun, shown(self._redirects.url))

    def follow(self, location: str | None) -> bool:
        """Follows a redirect that keeps the method; not of a request for the rest, since it would begin again."""
        return not self._continued and self._redirects.follow(location)

    def once_more(self, exchange: Exchange, now: float) -> NextAttempt | None:
        """Another try after a failure before the first output, if it is worth one."""
        failure, timing = exchange.failure, exchange.timing
        if failure is None or timing.first is not None:
            return None
        if "stream_options" in self._body and "stream_options" in str(failure) and failure.status == 3:
            del self._body["stream_options"]  # a server that does not know it; the usage may come all the same
            return NextAttempt(self.ask(), now, "")
        wait = self._wait(failure, exchange, now)
        if wait is None:
            return None
        why = f"{self.redacted(failure).message}: trying again in {wait:.1f} s ({self._backoff.retries})"
        return NextAttempt(self.ask(), now + wait, why)

    def received(self, chunk: bytes, events: list[Any]) -> None:
        """A part of the answer came."""
        if self._resume:
            self._resume.received(chunk, events)

    def continuation(self, exchange: Exchange, transfer: Transfer, now: float) -> NextAttempt | None:
        """The rest of an answer that was cut, where the provider can go on; the exchange is made ready for it."""
        if self._resume is None:
            return None
        why = transfer.reason or ("the stream ended" if transfer.ended else "nothing new")
        cause = self.redacted(exchange.failure) if exchange.failure else Unavailable(why)
        wait = self._wait(cause, exchange, now)
        if wait is None or (ask := self._resume.ask(exchange, self._body, now + wait)) is None:
            return None
        self._continued = True
        why = f"{cause.message} after {exchange.characters} characters: asking for the rest in {wait:.1f} s"
        return NextAttempt(ask, now + wait, why)

    def _wait(self, failure: Error, exchange: Exchange, now: float) -> float | None:
        """Seconds until another request, None where it is not worth one or the whole answer's time would be over."""
        wait, total = self._backoff.wait(failure, exchange.headers, time.time(), _dice()), self._timeouts.total
        late = wait is not None and total is not None and now + wait >= exchange.timing.started + total
        return None if late else wait

    @property
    def continued(self) -> bool:
        """Whether what comes is the rest of an answer."""
        return self._continued

    def cancel(self) -> HttpRequest | None:
        """The request that ends a generation which goes on without us."""
        return self._resume.cancel() if self._resume else None

    def final(self, exchange: Exchange) -> Error | None:
        """What to tell: where the rest could not be had, the answer is cut, whatever the server said."""
        failure = exchange.failure
        if failure is None:
            return None
        if self._continued and not isinstance(failure, Incomplete):
            failure = Incomplete(f"{failure.message}: the answer breaks off after {exchange.characters} characters")
        return self.redacted(failure)

    def redacted(self, error: Error) -> Error:
        """Servers quote the key that they refuse, or say nothing, and then it is told where the key is from."""
        if error.message.endswith(WHICH_KEY):
            message = error.message.removesuffix(WHICH_KEY) + self._which_key()
            error = type(error)(message, max_retries=error.max_retries, hint=error.hint)
        return self._target.secrets.hide_in_error(error)

    def _which_key(self) -> str:
        row = self._target.row
        names = row.key_env
        if names and not self._target.key and row.transport == CURL:
            return f"no key was sent: set {' or '.join(names)}"
        source = next((name for name in names if os.environ.get(name) == self._target.key), "")
        return WHICH_KEY.replace("the key", f"the key in {source}", 1) if source else WHICH_KEY


def _dice() -> float:
    """A random number in [0, 1); the random module costs milliseconds to import."""
    return int.from_bytes(os.urandom(6), "big") / 2**48
