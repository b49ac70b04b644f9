"""ASGI middleware before the routes: checks host, origin and token, and reads the body within its bounds.

A page of another site can make its visitor's browser send requests to this server. Three checks refuse them: Host names
the site if its name was made to resolve to this address (DNS rebinding), which an IP address as Host cannot be; Origin
names the site that the page came from; and a form cannot send application/json.

Bodies are read here, bounded in size and time, before any other code sees them. A refusal closes the connection: the
rest of the request is discarded, within bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answer_response import ServerState
from .body_limits import MAX_VALUES, UNCOUNTED_BYTES, VALUE_BYTES, Reservation, ValueCounter
from .error_responses import BUSY, CLOSE, RETRY_AFTER_S, SHUTTING_DOWN, error_response
from .request import HOP_HEADER

TOKENLESS_PATHS = ("/", "/healthz")  # the page has to be there to ask for the token
DRAIN_TIMEOUT_S = 2.0  # for the rest of a refused body, so that the client reads the response
DRAIN_BYTES = 16 * 1024 * 1024  # likewise
MAX_DRAINS = 8  # at once, so that the others are not held up; the rest waits, within its time
MAX_HOPS = 8  # servers of this kind, one behind the other


class Guard:
    """The middleware. `post_paths` are the paths that accept a POST request."""

    def __init__(self, app: ASGIApp, state: ServerState, post_paths: frozenset[str]) -> None:
        self._app, self._state, self._settings, self._post_paths = app, state, state.settings, post_paths
        self._drains = asyncio.Semaphore(MAX_DRAINS)
        self._token = state.settings.token.encode()
        self._hosts = {"localhost", *map(str.lower, state.settings.allow_hosts)} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reservation = self._state.memory.reserve()
        try:
            await self._serve(scope, receive, send, headers, reservation)
        finally:
            reservation.release()

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, reservation: Reservation
    ) -> None:
        refusal: Response | None = None
        try:
            self._check_client(scope, headers)
            self._check_body_headers(scope, headers)
            if _has_body(headers):
                body = await self._read_body(receive, reservation)
                scope["body_size"], scope["reservation"] = len(body), reservation
                receive = _replay(body, receive)
                del body
        except HTTPException as error:
            refusal = error_response(scope["path"], error.status_code, error.detail, {**(error.headers or {}), **CLOSE})
        except ClientDisconnect:
            return
        if refusal is None:
            await self._admit(scope, receive, send)
            return
        reservation.release()  # the exception, and the bytes that were read, are gone
        if _has_body(headers) and "expect" not in headers:  # a client that waits for 100 Continue sends nothing
            await self._respond_and_drain(refusal, receive, send)
        else:
            await refusal(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a complete request on; one more than may run and wait is refused here, where it costs little."""
        state = self._state
        if scope["method"] != "POST" or scope["path"] not in self._post_paths:
            await self._app(scope, receive, send)
        elif state.is_full:
            headers = {"retry-after": RETRY_AFTER_S, **CLOSE}
            await error_response(scope["path"], 503, BUSY, headers)(scope, receive, send)
        else:
            state.requests += 1
            try:
                await state.turns.wait()
                await self._app(scope, receive, send)
            finally:
                state.requests -= 1

    # The client.

    def _check_client(self, scope: Scope, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise HTTPException(400, f"{len(hosts)} host headers: send one")
        host = hosts[0]
        if not self._is_own_host(host):
            raise HTTPException(421, f"unknown host {host!r}: start the server with --allow-host to serve it")
        origin = headers.get("origin")
        if origin and not self._is_allowed_origin(origin, host):
            message = f"requests from pages of {origin} are blocked: start the server with --allow-origin"
            raise HTTPException(403, message)
        if self._token and scope["path"] not in TOKENLESS_PATHS:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode("latin-1"), self._token):
                message = "missing or wrong token: send Authorization: Bearer ..."
                raise HTTPException(401, message, {"www-authenticate": "Bearer"})
        hops = headers.get(HOP_HEADER, "").split()
        if self._settings.hop in hops or len(hops) >= MAX_HOPS:
            raise HTTPException(403, "request loop: the model's address leads back to this server")
        if self._state.closing:
            raise HTTPException(503, SHUTTING_DOWN, {"retry-after": RETRY_AFTER_S})

    def _is_own_host(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, _ = parts.hostname or "", parts.port
            if name not in self._hosts:
                ipaddress.ip_address(name)
        except ValueError:
            return False
        return parts.netloc == host and "@" not in host

    def _is_allowed_origin(self, origin: str, host: str) -> bool:
        allowed = self._settings.allow_origins
        return origin.partition("://")[2].lower() == host.lower() or origin in allowed or "*" in allowed

    # The body.

    def _check_body_headers(self, scope: Scope, headers: Headers) -> None:
        if not headers.get("transfer-encoding"):
            length = int(headers.get("content-length") or 0)  # the HTTP parser has refused what is not digits
            if length > self._settings.max_body_bytes:
                raise self._too_large()
            if length > UNCOUNTED_BYTES and not self._state.memory.has(length):
                raise busy()
        if scope["method"] == "POST" and scope["path"] in self._post_paths:
            media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                raise HTTPException(415, "the body is not application/json: send it with this Content-Type")

    def _too_large(self) -> HTTPException:
        limit = self._settings.max_body_bytes
        return HTTPException(413, f"the body is larger than {limit} bytes: see --max-body")

    async def _read_body(self, receive: Receive, reservation: Reservation) -> bytes:
        body, counter = bytearray(), ValueCounter()
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunk = message.get("body", b"")
                    if len(body) + len(chunk) > self._settings.max_body_bytes:
                        raise self._too_large()
                    counter.feed(chunk)
                    if counter.count > MAX_VALUES:
                        raise HTTPException(413, f"the body has more than {MAX_VALUES} values")
                    if not reservation.grow(len(body) + len(chunk) + VALUE_BYTES * counter.count):
                        raise busy()
                    body += chunk
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise HTTPException(408, f"the body took longer than {self._settings.body_timeout_s:g} s") from None

    async def _respond_and_drain(self, response: Response, receive: Receive, send: Send) -> None:
        """Sends the response, and discards the rest of the body before the connection is closed.

        A connection that is closed with unread bytes is reset, and the reset discards the response.
        """
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": bytes(response.body), "more_body": True})
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S), self._drains:
                while (message := await receive())["type"] != "http.disconnect" and message.get("more_body"):
                    size += len(message["body"])
                    if size > DRAIN_BYTES:
                        break
        await send({"type": "http.response.body"})


def busy() -> HTTPException:
    """Returns the error for a body for which there is no memory now."""
    message = "the server is busy with large requests: try again later"
    return HTTPException(503, message, {"retry-after": RETRY_AFTER_S})


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns a `receive` that gives the whole body at once, and then what `receive` gives."""
    bodies = [body]

    async def replay() -> Message:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        return await receive()

    return replay


def _has_body(headers: Headers) -> bool:
    return bool(headers.get("transfer-encoding")) or headers.get("content-length", "") not in ("", "0")
