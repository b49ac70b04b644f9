"""ASGI middleware that writes a line for each request to stderr, in the Common Log Format of HTTP servers.

https://httpd.apache.org/docs/2.4/logs.html#common

    127.0.0.1 - - [29/Nov/2026:01:13:28 +0000] "POST /v1/responses HTTP/1.1" 200 1234

The format has no place for durations and tokens, and a line with more would not be read by programs that know it. The
query of a URL is left out: clients put keys there.
"""

from __future__ import annotations

import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import stdio

MAX_PATH_CHARACTERS = 2000
CLIENT_LEFT = 499  # nginx's status of a request whose client left before its response
TO_ESCAPE = re.compile(rb'[^ -~]|["\\]')
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class AccessLog:
    """The middleware. It writes when the response ends, or its client has left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, size, over = time.localtime(), CLIENT_LEFT, 0, False

        def write() -> None:
            nonlocal over
            if not over:
                stdio.write_stderr(line(scope, began, status, size))
            over = True

        async def count(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            size += len(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                write()

        try:
            await self._app(scope, receive, count)
        except Exception:
            status = 500
            raise
        finally:
            write()


def line(scope: Scope, began: time.struct_time, status: int, size: int) -> bytes:
    """Returns the line of a request; `size` are the bytes of the response without its head."""
    host = scope["client"][0] if scope.get("client") else "-"
    at = time.strftime(f"%d/{MONTHS[began.tm_mon - 1]}/%Y:%H:%M:%S %z", began)
    path = scope.get("raw_path") or scope["path"].encode()
    path = TO_ESCAPE.sub(lambda match: b"\\x%02x" % match[0][0], path[:MAX_PATH_CHARACTERS]).decode()
    request = f"{scope['method']} {path} HTTP/{scope['http_version']}"
    return f'{host} - - [{at}] "{request}" {status} {size or "-"}\n'.encode()
