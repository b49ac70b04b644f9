"""HTTP responses for requests that fail before their answer has begun, in our JSON and below /v1 in OpenAI's."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Mapping

from starlette.responses import Response

from .. import stdio
from ..core.json_codec import to_json
from ..core.text import encode
from ..errors import BadRequest, Error, Incomplete, Refused, Unavailable, UsageError, spell

OPENAI_PREFIX = "/v1/"
RETRY_AFTER_S = "1"
CLOSE = {"connection": "close"}

NAME = "serve"  # of the command, in lines on stderr
_HTTP_STATUS = {UsageError.status: 400, Refused.status: 502, Unavailable.status: 503, Incomplete.status: 502}
_EXIT_STATUS = {500: Incomplete.status, 502: Incomplete.status, 503: Unavailable.status}  # others: UsageError's
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


def internal_error(error: Exception) -> Incomplete:
    """Logs the traceback to stderr; returns a generic error for the client."""
    stdio.write_stderr_lines("".join(traceback.format_exception(error)).rstrip())
    return Incomplete("internal error of the server: its standard error has the details")


def note_failure(path: str, message: str) -> None:
    """Writes a line to stderr about a request that failed."""
    stdio.note(NAME, f"{path}: {message}")


def http_status_of(error: Error) -> int:
    """Returns the HTTP status of one of our errors.

    A fault of the client's own request is 400, also where the provider finds it. What the provider refuses to this
    server, as its key, is 502.
    """
    return 400 if isinstance(error, BadRequest) else _HTTP_STATUS.get(error.status, 500)


def message_with_hint(error: Error) -> str:
    """Returns an error's message and, on lines of their own, its hint."""
    return f"{error}\n{spell(error.hint)}" if error.hint else str(error)


BUSY = "the server is busy: try again later"
SHUTTING_DOWN = "the server is shutting down"


@functools.lru_cache(4)
def _unavailable_response(is_openai: bool, message: str) -> bytes:
    response = _response(OPENAI_PREFIX if is_openai else "/", 503, message, {"retry-after": RETRY_AFTER_S, **CLOSE})
    head = b"".join(b"%s: %s\r\n" % line for line in response.raw_headers)
    return b"HTTP/1.1 503 Service Unavailable\r\n%s\r\n%s" % (head, response.body)


def unavailable_response(path: str, message: str) -> bytes:
    """Returns the response to a request that the server takes no more, as bytes."""
    return _unavailable_response(path.startswith(OPENAI_PREFIX), message)


def error_response(
    path: str, http_status: int, message: str, headers: Mapping[str, str] | None = None, exit_status: int = 0
) -> Response:
    """Returns the response in the format of `path`; `exit_status` 0 is derived from `http_status`.

    A failure of the server, not of the client, is a line on stderr.
    """
    if http_status >= 500:
        note_failure(path, message)
    return _response(path, http_status, message, headers or {}, exit_status)


def _response(path: str, http_status: int, message: str, headers: Mapping[str, str], exit_status: int = 0) -> Response:
    if path.startswith(OPENAI_PREFIX):
        body: object = {"error": openai_error(http_status, message)}
    else:
        body = {"status": exit_status or _EXIT_STATUS.get(http_status, UsageError.status), "message": message}
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff", **headers}
    return Response(encode(to_json(body)), http_status, headers, "application/json")


def openai_error(http_status: int, message: str) -> dict[str, object]:
    """Returns OpenAI's error object."""
    kind = _OPENAI_TYPES.get(http_status, "invalid_request_error" if http_status < 500 else "server_error")
    return {"message": message, "type": kind, "param": None, "code": None}


def response_to(path: str, error: Error) -> Response:
    """Returns the response for one of our errors.

    OpenAI's SDKs retry every 5xx; `x-should-retry: false` keeps them from repeating what the provider has refused.
    """
    http_status = http_status_of(error)
    headers = {}
    if http_status == 503:
        headers["retry-after"] = RETRY_AFTER_S
    elif http_status == 502 and error.status == Refused.status:
        headers["x-should-retry"] = "false"
    elif isinstance(error, BadRequest):
        note_failure(path, message_with_hint(error))
    return error_response(path, http_status, message_with_hint(error), headers, error.status)
