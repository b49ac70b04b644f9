"""Decodes the JSON of a request's body.

json takes more than JSON has: NaN, halves of surrogate pairs, which no text can be encoded with, and numbers that
become Infinity. All of them would fail later, as would a value that is nested deeper than the encoder goes. So they are
refused here, once, in any field; and so are fields with more items than their bound.
"""

from __future__ import annotations

import asyncio
import re
import sys
from functools import partial
from json import JSONDecodeError
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..core.json_codec import loads_strict, to_json
from ..net.aio import in_thread
from .body_limits import LARGE_BYTES, check_bounds
from .guard import busy

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # an escape that may be half a pair


class JsonRoute(APIRoute):
    """A route whose endpoint gets the checked body and the request, and returns a response.

    FastAPI describes the body in /openapi.json; reading it here takes a third of FastAPI's time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.body_field:
            self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._response(Request(scope, receive))  # the body is dropped before the answer
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        assert self.body_field
        data: bytes = (await request.receive())["body"]  # all of it: the guard has read it
        if not data:
            raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
        try:
            value = await _value(request, data)
        except JSONDecodeError as error:
            problem = {"type": "json_invalid", "loc": ("body", error.pos), "ctx": {"error": error.msg}}
            raise RequestValidationError([problem]) from None
        body, problems = self.body_field.validate(value, loc=("body",))
        if problems:
            raise RequestValidationError(problems)
        del data, value
        response: Response = await self.endpoint(body, request)
        return response


async def _value(request: Request, data: bytes) -> Any:
    """Returns the value of a body; a large one is decoded in a thread. Raises JSONDecodeError."""
    if len(data) <= LARGE_BYTES:
        value = decode(data)
    else:
        loop = asyncio.get_running_loop()
        async with request.app.state.server.large_body:
            if not request.scope["reservation"].grow(await in_thread(loop, partial(_text_size, data))):
                raise busy()
            value = await in_thread(loop, partial(decode, data))
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
