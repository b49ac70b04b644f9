"""HTTP responses for requests that fail before their answer has begun, in our JSON and below /v1 in OpenAI's."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

from starlette.responses import Response

from .. import stdio
from ..core.json_codec import to_json
from ..core.text import encode
from ..errors import Error, Incomplete, Refused, Unavailable, UsageError, spell

OPENAI_PREFIX = "/v1/"
RETRY_AFTER_S = "1"

_HTTP_STATUS = {UsageError.status: 400, Refused.status: 502, Unavailable.status: 503, Incomplete.status: 502}
_EXIT_STATUS = {500: Incomplete.status, 502: Incomplete.status, 503: Unavailable.status}  # others: UsageError's
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


def internal_error(error: Exception) -> Incomplete:
    """Logs the traceback to stderr; returns a generic error for the client."""
    stdio.write_stderr_lines("".join(traceback.format_exception(error)).rstrip())
    return Incomplete("internal error of the server: its standard error has the details")


def message_with_hint(error: Error) -> str:
    """Returns an error's message and, on lines of their own, its hint."""
    return f"{error}\n{spell(error.hint)}" if error.hint else str(error)


def error_response(
    path: str, http_status: int, message: str, headers: Mapping[str, str] | None = None, exit_status: int = 0
) -> Response:
    """Returns the response in the format of `path`; `exit_status` 0 is derived from `http_status`."""
    if path.startswith(OPENAI_PREFIX):
        body: object = {"error": openai_error(http_status, message)}
    else:
        body = {"status": exit_status or _EXIT_STATUS.get(http_status, UsageError.status), "message": message}
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
    return Response(encode(to_json(body)), http_status, headers, "application/json")


def openai_error(http_status: int, message: str) -> dict[str, object]:
    """Returns OpenAI's error object."""
    kind = _OPENAI_TYPES.get(http_status, "invalid_request_error" if http_status < 500 else "server_error")
    return {"message": message, "type": kind, "param": None, "code": None}


def response_to(path: str, error: Error) -> Response:
    """Returns the response for one of our errors.

    OpenAI's SDKs retry every 5xx; `x-should-retry: false` keeps them from repeating what the provider has refused.
    """
    http_status = _HTTP_STATUS.get(error.status, 500)
    headers = {}
    if http_status == 503:
        headers["retry-after"] = RETRY_AFTER_S
    elif error.status == Refused.status:
        headers["x-should-retry"] = "false"
    return error_response(path, http_status, message_with_hint(error), headers, error.status)
