"""What stands before the routes: who may ask, from where, and how much.

A page of another site can let its visitor's browser send requests here. Host tells it by the name that it resolved to
this address (DNS rebinding), Origin by where it came from; a form cannot send application/json. An address as Host
cannot be rebound.

Bodies are read here, with a bound on size and time, before anything looks into them.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import refusal
from .answer import Serving

OPEN = ("/", "/healthz")  # without a token: the page has to ask for one
LINGER = 2.0  # seconds for which the rest of a body that is too large is read, so that the client sees the answer
CLOSE = {"connection": "close"}


class _Refused(Exception):
    def __init__(self, http: int, message: str, headers: dict[str, str] | None = None) -> None:
        self.http, self.message, self.headers = http, message, headers or {}


class _Gone(Exception):
    """The client left."""


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, serving: Serving, takers: frozenset[str]) -> None:
        """`takers` are the paths to which something is posted."""
        self._app, self._serving, self._settings, self._takers = app, serving, serving.settings, takers
        self._token = serving.settings.token.encode()
        self._hosts = {"localhost", *map(str.lower, serving.settings.hosts)} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._admit(scope)
            if (length := self._expected(scope)) != 0:
                receive = _replayed(await self._body(receive, length), receive)
        except _Refused as refused:
            answer = refusal.response(scope["path"], refused.http, refused.message, refused.headers)
            if _has_body(scope) and not _header(scope, b"expect"):  # who waits for a word sends nothing
                await _linger(answer, receive, send)
            else:
                await answer(scope, receive, send)
            return
        except _Gone:
            return
        await self._app(scope, receive, send)

    # Who.

    def _admit(self, scope: Scope) -> None:
        host = _single(scope, b"host")
        if not self._known(host):
            raise _Refused(421, f"the host {host!r} is not served here: allow it with --allow-host")
        origin = _header(scope, b"origin")
        if origin and not self._welcome(origin, host):
            raise _Refused(403, f"pages of {origin} may not ask: allow them with --allow-origin")
        if self._token and scope["path"] not in OPEN:
            kind, _, token = _header(scope, b"authorization").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(token.strip().encode("latin-1"), self._token):
                raise _Refused(401, "a token is needed: Authorization: Bearer ...", {"www-authenticate": "Bearer"})
        if self._serving.closing:
            raise _Refused(503, "the server is shutting down", {"retry-after": refusal.RETRY_AFTER, **CLOSE})

    def _known(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, _ = parts.hostname or "", parts.port
        except ValueError:
            return False
        return parts.netloc == host and "@" not in host and (name in self._hosts or _is_address(name))

    def _welcome(self, origin: str, host: str) -> bool:
        allowed = self._settings.allow_origin
        return origin.partition("://")[2].lower() == host.lower() or origin in allowed or "*" in allowed

    # How much.

    def _expected(self, scope: Scope) -> int:
        """The bytes of the body that is to come; -1 is not known."""
        chunked = _header(scope, b"transfer-encoding")
        length = -1 if chunked else int(_header(scope, b"content-length") or 0)  # digits, as the parser has seen to it
        if length > self._settings.max_body:
            raise self._too_large()
        if scope["method"] == "POST" and scope["path"] in self._takers:
            kind = _header(scope, b"content-type").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise _Refused(415, "the body is not application/json: send it with this Content-Type", CLOSE)
        return length

    def _too_large(self) -> _Refused:
        return _Refused(413, f"the body is larger than {self._settings.max_body} bytes: see --max-body", CLOSE)

    async def _body(self, receive: Receive, length: int) -> bytes:
        pieces: list[bytes] = []
        held = 0
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    pieces.append(message.get("body", b""))
                    held += len(pieces[-1])
                    if held > self._settings.max_body:
                        raise self._too_large()
                    if not message.get("more_body"):
                        return b"".join(pieces)
        except TimeoutError:
            raise _Refused(408, f"the body took longer than {self._settings.body_timeout:g} s", CLOSE) from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Tells the body at once, and then whatever comes."""
    told = False

    async def replay() -> Message:
        nonlocal told, body
        if told:
            return await receive()
        told, whole, body = True, body, b""
        return {"type": "http.request", "body": whole, "more_body": False}

    return replay


def _has_body(scope: Scope) -> bool:
    return bool(_header(scope, b"transfer-encoding")) or _header(scope, b"content-length") not in ("", "0")


async def _linger(answer: Response, receive: Receive, send: Send) -> None:
    """Answers, and drops what still comes: a connection closed over unread bytes is reset, and the answer lost."""
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": bytes(answer.body), "more_body": True})
    try:
        async with asyncio.timeout(LINGER):
            while (message := await receive())["type"] != "http.disconnect" and message.get("more_body"):
                pass
    except TimeoutError:
        pass
    await send({"type": "http.response.body"})


def _header(scope: Scope, name: bytes) -> str:
    """A header's value, "" where there is none; of several the first."""
    return next(iter(_all(scope, name)), "")


def _all(scope: Scope, name: bytes) -> list[str]:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1") for key, value in headers if key == name]


def _single(scope: Scope, name: bytes) -> str:
    values = _all(scope, name)
    if len(values) != 1:
        raise _Refused(400, f"{len(values)} {name.decode()} headers: send one", CLOSE)
    return values[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
