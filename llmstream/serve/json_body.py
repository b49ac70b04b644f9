"""Decodes the JSON of a request's body.

json takes more than JSON has: NaN, halves of surrogate pairs, which no text can be encoded with, and numbers that
become Infinity. All of them would fail later, as would a value that is nested deeper than the encoder goes. So they are
refused here, once, in any field; and so are fields with more items than their bound.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from json import JSONDecodeError
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..core.json_codec import loads_strict, to_json
from ..net.aio import in_thread
from .body_limits import LARGE_BYTES, check_bounds
from .guard import busy

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # an escape that may be half a pair


class JsonRoute(APIRoute):
    """A route whose request's body is decoded by `decode`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


class _JsonRequest(Request):
    async def json(self) -> Any:
        """Returns the value of the body, whose bytes are dropped; a large one is decoded in a thread."""
        body, state = await self.body(), self.app.state.server
        del self._body
        if len(body) <= LARGE_BYTES:
            value = decode(body)
        else:
            loop = asyncio.get_running_loop()
            async with state.large_body:
                if not self.scope["reservation"].grow(await in_thread(loop, partial(_text_size, body))):
                    raise busy()
                value = await in_thread(loop, partial(decode, body))
        try:
            check_bounds(value)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return value


def _text_size(body: bytes) -> int:
    """Returns the bytes that the text of a body takes: one wide character makes all others wide."""
    return sys.getsizeof(body.decode(errors="replace"))


def decode(body: bytes) -> Any:
    """Returns the value of a body. Raises JSONDecodeError."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise JSONDecodeError("not UTF-8", "", error.start) from None
    try:
        value = loads_strict(text)
        if SURROGATE.search(text):
            to_json(value).encode()
    except JSONDecodeError:
        raise
    except UnicodeEncodeError:
        raise JSONDecodeError("half a surrogate pair", text, 0) from None
    except RecursionError:
        raise JSONDecodeError("nested too deeply", text, 0) from None
    except ValueError as error:
        raise JSONDecodeError(str(error), text, 0) from None
    return value
