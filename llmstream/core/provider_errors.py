"""Maps providers' error payloads, in all their shapes, and HTTP statuses to our exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import BadRequest, Error, Incomplete, Refused, Unavailable
from .decoder import as_json, member, string
from .json_codec import loads_or_none
from .secrets import show_url

# Parts of the codes of errors that a retry does not help; any other error in a stream counts as temporary.
REFUSAL_CODES = (
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
    "policy",  # content_policy, bio_policy, misalignment_policy_violation
    "mismatch",  # data_residency_mismatch
    "unsupported",
    "too_large",
    "too_small",
    "image_",  # image_parse_error, empty_image_file
    "_image",  # failed_to_download_image
    "parse_error",
)
# Parts of messages that mean the same where there is no code, or where the code says otherwise.
REFUSAL_TEXTS = (
    "not found",
    "unauthorized",
    "api key",
    "must be reduced",  # OpenAI's 429 "Request too large ... must be reduced": no wait makes it smaller
    "unexpected endpoint",  # LM Studio's answer to a wrong path, with status 200
)
# Parts of messages that mean the same whatever the code: Ollama's prompt that does not fit is a 400 or a 500.
TOO_LONG_TEXTS = ("exceeds the context length", "exceeds the available context size")
# Parts of codes and messages of refusals that no other request would escape: the key, the account, the address.
ACCOUNT_TEXTS = (
    *("authentication", "permission", "unauthorized", "forbidden", "api key", "api_key", "not found", "not_found"),
    *("billing", "quota", "credit", "residency", "unexpected endpoint"),
)
BAD_REQUEST_STATUSES = frozenset((0, 400, 413, 422, 429, 500))  # of refusals by their words, too; 0 within a stream
MAX_MESSAGE = 2000  # characters of a provider's message that are shown
RETRIABLE_STATUSES = frozenset((408, 409, 425, 429))  # of 4xx
WHICH_KEY = "is the key valid for this server?"  # the sender of the key replaces it by the key's source
PROXY_REFUSES = "the proxy requires a user name and a password (HTTP 407): {}=http://NAME:PASSWORD@HOST:PORT"
PHRASES = {  # RFC 9110, section 15; 529 is Anthropic's own
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
PROVIDER_SAYS = "the provider says"  # before its own words; where a target is known, its name replaces this
HTTP_ERROR_CODES = frozenset(map(str, range(400, 600)))  # codes of errors in a stream that are HTTP statuses


def in_event(data: Any, event: str) -> Error | None:
    """Returns the error in a frame of a stream whose HTTP status is 200, or None.

    Shapes: `{"error": {...}}` (OpenAI, OpenRouter, vLLM), `{"error": "..."}` (Ollama, LM Studio), `{"object": "error",
    "message"}` (older vLLM), `{"type": "error", ...}` (Responses at top level, Messages nested), and a frame named
    `error` (guardrail proxies), whose data may be plain text.
    """
    if isinstance(data, str) and event == "error":
        return _from_payload(data, 0)
    if not isinstance(data, dict):
        return None
    if payload := data.get("error"):
        return _from_payload(_with_code(payload, data), 0)
    if event == "error" or data.get("object") == "error" or data.get("type") == "error":
        return _from_payload(data, 0)
    return None


def of_response(status: int, headers: Mapping[str, str], body: bytes, url: str) -> Error:
    """Returns the error of a response that has no stream of events. `url` must be fit to be shown."""
    error = _of_response(status, headers, body, url)
    error.http_status = status
    return error


def _of_response(status: int, headers: Mapping[str, str], body: bytes, url: str) -> Error:
    data = loads_or_none(body)
    if isinstance(data, list) and data:  # Gemini answers HTTP errors with an array
        data = data[0]
    payload = _with_code(data.get("error") or data.get("detail") or data, data) if isinstance(data, dict) else None
    if 300 <= status < 400:
        where = show_url(headers.get("location", "elsewhere"))
        return Refused(f"{url} redirects to {where} (HTTP {status}): set the base URL to where the API is")
    if status == 407:
        return Refused(PROXY_REFUSES.format("http_proxy"))
    if 200 <= status < 300 and not (isinstance(data, dict) and data.get("error")):  # a success: not worth a retry
        return Incomplete(f"{_answered(status, url)}, not 200: is the base URL that of an API?")
    if payload:
        return _from_payload(payload, status)
    if status == 404:
        return Refused(f"{url} was not found (HTTP 404): does the base URL lack /v1?")
    hint = f": {WHICH_KEY}" if status in (401, 403) else ""
    return _error_class(status, "")(_answered(status, url) + hint)


def _answered(status: int, url: str) -> str:
    phrase = PHRASES.get(status)
    return f"{url} answered HTTP {status}" + (f" ({phrase})" if phrase else "")


def _with_code(payload: Any, data: dict[str, Any]) -> Any:
    """Returns an error that is a mere text together with the code beside it, if there is one."""
    code = data.get("code") or data.get("type")
    return {"message": payload, "code": code} if isinstance(payload, str) and code else payload


def _from_payload(payload: Any, status: int) -> Error:
    """Returns the error of an error object, or of a mere text; `status` is the HTTP status, 0 within a stream."""
    if isinstance(payload, str) and payload.startswith("{"):  # Ollama: the whole error of its own llama.cpp
        payload = member(loads_or_none(payload.encode("utf-8", "replace")), "error") or payload
    code, message = "", payload
    if isinstance(payload, dict):
        words = [payload[k] for k in ("type", "code", "status") if isinstance(payload.get(k), str)]
        code = " ".join(word for word in words if word not in ("error", "None"))
        message = payload.get("message") or payload.get("detail") or payload.get("details") or code or payload
        message = _upstream(payload) or message
        size, room = payload.get("n_prompt_tokens"), payload.get("n_ctx")  # llama.cpp's
        if isinstance(size, int) and isinstance(room, int):
            return BadRequest(f"the prompt has {size} tokens, and the model takes at most {room}: shorten it")
        if explanation := string(payload, "misalignment", "detailed_explanation"):  # OpenAI, for the user
            message = f"{message} {explanation}"
        if not status and str(payload.get("code")) in HTTP_ERROR_CODES:
            status = int(payload["code"])
    if not isinstance(message, str):
        message = as_json(message)
    source = f"HTTP {status}" if status else code
    text = f"{PROVIDER_SAYS}: {message[:MAX_MESSAGE].strip()}" + (f" ({source})" if source else "")
    if isinstance(payload, str) and not status:  # the text itself is all there is to classify the error by
        code = message
    return _error_class(status, code, message)(text)


def _upstream(payload: dict[str, Any]) -> str:
    """Returns what the provider behind OpenRouter says, whose own message is only that there was an error."""
    raw = member(payload, "metadata", "raw")
    if isinstance(raw, str):
        data = loads_or_none(raw.encode("utf-8", "replace"))
        error = member(data, "error")
        raw = string(error, "message") or string(data, "message") or (error if isinstance(error, str) else raw)
    name = string(payload, "metadata", "provider_name")
    return f"{name}: {raw}" if raw and isinstance(raw, str) and name else raw if isinstance(raw, str) else ""


def _error_class(status: int, code: str, message: str = "") -> type[Error]:
    refused = any(part in code.lower() for part in REFUSAL_CODES)
    refused |= 400 <= status < 500 and status not in RETRIABLE_STATUSES
    if status in (0, 429):
        refused |= any(part in message.lower() for part in REFUSAL_TEXTS)
    refused |= any(part in message.lower() for part in TOO_LONG_TEXTS)
    if not refused:
        return Unavailable
    words = f"{code} {message}".lower()
    is_account = status not in BAD_REQUEST_STATUSES or any(part in words for part in ACCOUNT_TEXTS)
    return Refused if is_account else BadRequest
