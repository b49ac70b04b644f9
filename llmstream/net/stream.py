"""One generation over the loop: the seam between sockets and the exchange."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from .. import providers
from ..core.events import Event
from ..core.exchange import Exchange
from ..core.request import Request
from ..core.timing import Limits
from ..errors import Error
from .loop import Loop, Transfer

MAX_REDIRECTS = 5


class Stream:
    """A request on its way. `events` yields what arrives, a list per arrival; closing it ends the generation."""

    def __init__(self, target: providers.Target, request: Request, limits: Limits, connect_timeout: float) -> None:
        self._target = target
        self._url = target.url
        self._connect_timeout = connect_timeout
        dialect = providers.dialect(target.api)
        self._body = json.dumps(dialect.body(request, target.fields), ensure_ascii=False).encode("utf-8", "replace")
        decoder = dialect.Decoder(target.provider, target.model)
        self.exchange = Exchange(decoder, limits, time.monotonic(), target.url)

    def events(self) -> Iterator[list[Event]]:
        """Raises what ended the answer before its end mark, after the events that came before."""
        loop = Loop()
        exchange = self.exchange
        try:
            transfer = self._post(loop)
            headed = False
            redirects = 0
            while not exchange.over:
                now = loop.wait(exchange.deadline())
                if not headed and (head := transfer.head()) is not None:
                    if head[0] in (307, 308) and redirects < MAX_REDIRECTS and self._follow(head[1].get("location")):
                        redirects += 1
                        loop.end(transfer)
                        transfer = self._post(loop)
                        continue
                    exchange.head(*head)
                    headed = True
                events = exchange.feed(transfer.take(), now) if transfer.chunks else []
                if transfer.ended:
                    events += exchange.close(now, transfer.reason)
                else:  # also where something came: the whole answer has its limit
                    events += exchange.expire(now)
                if exchange.over:  # before anything else, the provider may stop working
                    loop.end(transfer)
                if events:
                    yield events
                    exchange.resume(time.monotonic())
        finally:
            loop.close()
        if exchange.failure is not None:
            raise self._redacted(exchange.failure)

    def _post(self, loop: Loop) -> Transfer:
        return loop.post(self._url, self._target.headers(), self._body, self._connect_timeout)

    def _redacted(self, error: Error) -> Error:
        """Servers quote the key that they refuse."""
        key, message = self._target.key, str(error)
        return type(error)(message.replace(key, "[key]")) if key and key in message else error

    def _follow(self, location: str | None) -> bool:
        """Takes a redirect that keeps the method, within the same origin: the key is sent to no other."""
        from urllib.parse import urljoin, urlsplit

        url = urljoin(self._url, location or "")
        old, new = urlsplit(self._url), urlsplit(url)
        if not location or (old.scheme, old.netloc) != (new.scheme, new.netloc):
            return False
        self._url = url
        return True
