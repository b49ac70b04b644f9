"""The requests of one generation: the first, redirects, retries, and requests for the rest of an answer."""

import os
import re
import time
from typing import Any, NamedTuple

from ..core.events import Event
from ..core.exchange import Exchange
from ..core.native import Collector
from ..core.provider_errors import WHICH_KEY
from ..core.request import Request
from ..core.retry import Backoff, RetryPolicy
from ..core.secrets import show_url
from ..core.timing import Timeouts, Timing
from ..dialects import dialect
from ..errors import Error, Unavailable, followed
from ..providers.registry import CURL, EMBEDDED
from ..providers.target import Target
from .redirects import Redirects
from .transfer import HttpRequest, Transfer

# In a server's refusal: fields of ours without which the answer comes, too. The usage may be missing then.
DISPENSABLE = r"\b(stream_options|store)\b"
ENCRYPTED = r"(?i)\binclude\b|encrypted.?content"  # the request for it
ABOUT_REASONING = r"(?i)reasoning|thinking|thoughts|summar"


class NextAttempt(NamedTuple):
    """The next request, when to send it, and a note for the user ("": no note)."""

    request: HttpRequest
    at: float
    note: str = ""


class Resume:
    """A strategy to resume one answer. This one has no way to: net/resume has those that do."""

    headers: tuple[str, ...] = ()  # further headers of the first request

    def prepare(self, body: dict[str, Any]) -> None:
        """Adds the fields that the strategy needs to the body of the first request, before the user's."""

    def received(self, chunk: bytes, events: list[Event]) -> None:
        """Counts a part of the response and its events."""

    def rest(self, exchange: Exchange, body: dict[str, Any], now: float) -> HttpRequest | None:
        """Returns the request for the rest, the exchange prepared for it; None where the answer cannot be resumed."""
        return None

    def cancel(self) -> HttpRequest | None:
        """Returns the request that ends the generation at the server, None where closing the connection does."""
        return None


class Attempts:
    """Builds the requests of one generation. Times are seconds of the transport's clock."""

    def __init__(
        self,
        target: Target,
        request: Request,
        timeouts: Timeouts,
        policy: RetryPolicy,
        resume: Resume | None = None,
        shows_reasoning: bool = True,
    ) -> None:
        self._target, self._request = target, request
        self._timeouts, self._shows_reasoning = timeouts, shows_reasoning
        self._backoff = Backoff(policy)
        self._dialect = dialect(target.api)
        self.resume = resume or Resume()
        self.can_resume = resume is not None
        self.resumed = False  # whether the response is the rest of an answer
        self._body = target.body(request, self.resume.prepare)
        self._redirects = Redirects(target.url, same_origin=True)

    def request(self) -> HttpRequest:
        """Returns the request for the whole answer."""
        headers = [*self._target.headers(self._body), *self.resume.headers]
        return HttpRequest("POST", self._redirects.url, headers, self._body, self._target.cert)

    def exchange(self, timing: Timing) -> Exchange:
        """Returns an exchange for the response; it begins where `Exchange.resume` says that the request is sent."""
        decoder = self._dialect.Decoder(self._target.provider, self._target.model)
        url = show_url(self._redirects.url)
        return Exchange(
            decoder,
            self._timeouts,
            timing,
            timing.started,
            url,
            shows_reasoning=self._shows_reasoning,
            collector=self._collector(),
            tier=self._request.within or "",
        )

    def _collector(self) -> Collector | None:
        if not self._request.native:
            return None
        from ..dialects.native import COLLECTORS

        return COLLECTORS[self._target.api]()

    def redirect(self, status: int, headers: dict[str, str]) -> bool:
        """Follows a redirect that keeps the method; not of a request for the rest, since it would begin again."""
        return status in (307, 308) and not self.resumed and self._redirects.follow(headers.get("location"))

    def retry(self, exchange: Exchange, now: float) -> NextAttempt | None:
        """Returns another attempt at the whole answer after a failure before the first output, None to give up."""
        failure = exchange.failure
        if failure is None or exchange.has_output:
            return None
        refused = failure.status == 3
        if refused and (name := re.search(DISPENSABLE, failure.message)) and self._body.get(name[0], True) is not True:
            del self._body[name[0]]
            note = followed(self.reported(failure).message, "retrying without store=false")
            return NextAttempt(self.request(), now, note if name[0] == "store" else "")
        if refused and "include" in self._body and re.search(ENCRYPTED, failure.message):
            del self._body["include"]  # a model that does not reason, or a server without it: nothing is lost
            return NextAttempt(self.request(), now)
        if refused and self._request.reasoning and re.search(ABOUT_REASONING, failure.message):
            # The model has no reasoning to send, or OpenAI wants to know who the user is: the answer comes without it.
            self._request = self._request._replace(reasoning=False)
            body = self._target.body(self._request, self.resume.prepare)
            if body != self._body:
                self._body = body
                note = followed(self.reported(failure).message, "retrying without the reasoning")
                return NextAttempt(self.request(), now, note)
        wait = self._wait(failure, exchange, now)
        if wait is None:
            return None
        count = f"{self._backoff.retries} of {self._backoff.limit}"
        message = self.reported(failure).message
        if not exchange.status and message.endswith("?"):  # what to look at, which the last error says
            message = message.rpartition(": ")[0]
        note = followed(message, f"trying again {_after(wait)} ({count})")
        return NextAttempt(self.request(), now + wait, note)

    def rest(self, exchange: Exchange, transfer: Transfer, now: float) -> NextAttempt | None:
        """Returns an attempt at the rest of an answer that was cut, the exchange prepared for it; None to give up."""
        if not self.can_resume:
            return None
        reason = transfer.reason or ("the stream ended" if transfer.ended else "no data")
        so_far = f"{reason} after {exchange.characters} characters"
        cause = self.reported(exchange.failure) if exchange.failure else Unavailable(so_far)
        wait = self._wait(cause, exchange, now)
        if wait is None or (request := self.resume.rest(exchange, self._body, now + wait)) is None:
            return None
        self.resumed = True
        note = followed(cause.message, f"requesting the rest {_after(wait)}")
        return NextAttempt(request, now + wait, note)

    def _wait(self, failure: Error, exchange: Exchange, now: float) -> float | None:
        """Returns the seconds until another request; None to give up, also where it would be after the total limit."""
        wait, total = self._backoff.wait(failure, exchange.headers, time.time(), _random_unit()), self._timeouts.total
        late = wait is not None and total is not None and now + wait >= exchange.timing.started + total
        return None if late else wait

    def final_error(self, exchange: Exchange) -> Error | None:
        """Returns the error of a failed exchange as it is reported."""
        return None if exchange.failure is None else self.reported(exchange.failure)

    def connection_error(self, reason: str) -> str:
        """Returns why no answer came, with the provider's name, and its host once; the SDKs' reasons have it."""
        name = self._target.shown_name
        provider, _, host = name.partition(" at ")
        is_ours = self._target.row.transport in (CURL, EMBEDDED)
        return f"{provider if host and host in reason else name}: {reason}" if reason and is_ours else reason

    def reported(self, error: Error) -> Error:
        """Returns an error as the user may see it: without the key, which servers quote, and with the key's source."""
        target, names = self._target, self._target.row.key_env
        message = target.naming(error)
        if message.endswith(WHICH_KEY):
            if names and not target.key and target.row.transport == CURL:
                message = message.removesuffix(WHICH_KEY) + f"no key was sent: set {' or '.join(names)}"
            elif source := next((name for name in names if os.environ.get(name, "").strip() == target.key), ""):
                message = message.removesuffix(WHICH_KEY) + WHICH_KEY.replace("the key", f"the key in {source}", 1)
        return target.secrets.hide_in_error(error, message)


def _after(wait: float) -> str:
    """Returns when an attempt follows, for a note; `wait` is in seconds."""
    return f"in {wait:.1f} s" if wait >= 0.05 else "now"


def _random_unit() -> float:
    """Returns a random number in [0, 1); the random module takes milliseconds to import."""
    return int.from_bytes(os.urandom(6), "big") / 2**48
