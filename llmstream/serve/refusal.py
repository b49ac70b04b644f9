"""A request that gets no answer: one shape of JSON for all, and OpenAI's below /v1."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping

from starlette.responses import Response

from .. import stdio
from ..core.text import encode
from ..errors import Error, Incomplete, Refused, Unavailable, UsageError, spell

COMPATIBLE = "/v1/"
RETRY_AFTER = "1"

_HTTP = {UsageError.status: 400, Refused.status: 502, Unavailable.status: 503, Incomplete.status: 502}
_STATUS = {502: Incomplete.status, 503: Unavailable.status, 500: Incomplete.status}  # of ours; all others are 2
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


def bug(error: Exception) -> Incomplete:
    """What a client is told of it; who runs the server has the rest on standard error."""
    stdio.write_stderr("".join(traceback.format_exception(error)).encode("utf-8", "replace"))
    return Incomplete("this is a bug of the server: its standard error has the details")


def told(error: Error) -> str:
    """The message, and the advice after it."""
    return f"{error}\n{spell(error.hint)}" if error.hint else str(error)


def response(path: str, http: int, message: str, headers: Mapping[str, str] | None = None, status: int = 0) -> Response:
    """The whole response. `status` is ours, an exit status; 0 is the one that fits `http`."""
    status = status or _STATUS.get(http, UsageError.status)
    body: dict[str, object] = {"status": status, "message": message}
    if path.startswith(COMPATIBLE):
        body = {"error": {"message": message, "type": kind(http), "param": None, "code": None}}
    fixed = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    text = json.dumps(body, ensure_ascii=False)
    return Response(encode(text), http, {**fixed, **(headers or {})}, "application/json")


def kind(http: int) -> str:
    """OpenAI's word for it."""
    return _TYPES.get(http, "invalid_request_error" if http < 500 else "server_error")


def of(path: str, error: Error) -> Response:
    """The response to a request that fails before there is anything of an answer.

    What the provider has refused is not to be tried again; OpenAI's clients, who would, are told so in their way.
    """
    http = _HTTP.get(error.status, 500)
    headers = {}
    if http == 503:
        headers["retry-after"] = RETRY_AFTER
    elif error.status == Refused.status:
        headers["x-should-retry"] = "false"
    return response(path, http, told(error), headers, error.status)
