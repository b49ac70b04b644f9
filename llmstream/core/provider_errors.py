"""A provider's word for what went wrong, in all the shapes that providers have for it, as one of our errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import Error, Incomplete, Refused, Unavailable
from .decoder import as_json

# What will not heal by itself; everything else that a stream reports is taken for passing trouble.
REFUSALS = (
    "invalid",
    "validation",  # Bedrock's validationException
    "authentication",
    "permission",
    "not_found",
    "billing",
    "quota",
    "context_length",
    "exceed_context_size",
    "content_filter",
    "content_policy",
    "unsupported",
    "too_large",
    "unexpected endpoint",  # LM Studio, of a wrong path, in a 200
)
RETRY_LATER = frozenset((408, 409, 425, 429))
WHICH_KEY = "is the key right, and that of this server?"  # who has sent it can say where it is from
PHRASES = {  # RFC 9110, section 15; 529 is Anthropic's
    204: "No Content",
    401: "Unauthorized",
    403: "Forbidden",
    408: "Request Timeout",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}
HTTP_ERRORS = frozenset(map(str, range(400, 600)))  # codes of errors inside a stream that mean what a status means


def in_event(data: Any, event: str) -> Error | None:
    """The error that a frame of a 200 stream carries, if it does.

    Seen: `{"error": {...}}` (OpenAI, OpenRouter, vLLM), `{"error": "..."}` (Ollama, LM Studio), `{"object": "error",
    "message"}` (older vLLM), `{"type": "error", ...}` (Responses at top level, Messages nested), and a frame named
    `error` (guardrail proxies), whose data may be no JSON but a text.
    """
    if isinstance(data, str) and event == "error":
        return _from(data, 0)
    if not isinstance(data, dict):
        return None
    fault = data.get("error")
    if fault:
        return _from(fault, 0)
    if event == "error" or data.get("object") == "error" or data.get("type") == "error":
        return _from(data, 0)
    return None


def of_response(status: int, headers: Mapping[str, str], body: bytes, url: str) -> Error:
    """The error that a response without a stream stands for."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, list) and data:  # Gemini answers HTTP errors with an array
        data = data[0]
    fault = (data.get("error") or data.get("detail") or data) if isinstance(data, dict) else None
    if 300 <= status < 400:
        where = headers.get("location", "elsewhere")
        return Refused(f"{url} redirects to {where} (HTTP {status}): set the base URL to where the API is")
    if status == 407:
        return Refused("the proxy wants a name and a password (HTTP 407): http_proxy=http://NAME:PASSWORD@HOST:PORT")
    if 200 <= status < 300 and not (
        isinstance(data, dict) and data.get("error")
    ):  # done, it says: not to be asked again
        return Incomplete(f"{_answered(status, url)}, not 200: is the base URL that of an API?")
    if fault:
        return _from(fault, status)
    if status == 404:
        return Refused(f"nothing is at {url} (HTTP 404): does the base URL lack /v1?")
    hint = f": {WHICH_KEY}" if status in (401, 403) else ""
    return _kind(status, "")(_answered(status, url) + hint)


def _answered(status: int, url: str) -> str:
    phrase = PHRASES.get(status)
    return f"{url} answered HTTP {status}" + (f" ({phrase})" if phrase else "")


def _from(fault: Any, status: int) -> Error:
    if isinstance(fault, dict):
        code = str(fault.get("code"))
        words = [fault[k] for k in ("type", "code", "status") if isinstance(fault.get(k), str)]
        word = " ".join(word for word in words if word not in ("error", "None"))
        message = fault.get("message") or fault.get("detail") or fault.get("details") or word or fault
        if not status and code in HTTP_ERRORS:
            status = int(code)
    elif isinstance(fault, str) and not status:  # there is no other word to judge by
        return _kind(0, fault)(f"the provider says: {fault[:2000].strip()}")
    else:
        word, message = "", fault
    if not isinstance(message, str):
        message = as_json(message)
    said = f"HTTP {status}" if status else word
    return _kind(status, word)(f"the provider says: {message[:2000].strip()}" + (f" ({said})" if said else ""))


def _kind(status: int, word: str) -> type[Error]:
    word = word.lower()
    if any(refusal in word for refusal in REFUSALS):
        return Refused
    if 400 <= status < 500 and status not in RETRY_LATER:
        return Refused
    return Unavailable
