"""Errors of providers: their class, which decides the exit status and whether a retry is worth it, and message."""

from __future__ import annotations

import json

import pytest

from llmstream.core import provider_errors
from llmstream.errors import Incomplete, Refused, Unavailable

URL = "https://host/v1/chat/completions"


@pytest.mark.parametrize(
    ("kind", "event", "data", "message"),
    [
        (Unavailable, "", {"error": {"message": "Oops", "type": "server_error"}}, "Oops (server_error)"),
        (Unavailable, "", {"error": {"message": "Slow down", "type": "rate_limit_error"}}, "Slow down"),
        (Unavailable, "", {"error": {"message": "Busy", "code": 529}}, "Busy (HTTP 529)"),
        (Unavailable, "", {"error": {"message": "Busy", "code": "503"}}, "Busy (HTTP 503)"),
        (Unavailable, "", {"error": {"message": "Busy", "code": 1113}}, "Busy"),  # the provider's own code
        (Unavailable, "", {"error": {"message": "Busy", "code": "\u00b2"}}, "Busy"),
        (Unavailable, "", {"error": "it broke"}, "it broke"),
        (Unavailable, "", {"error": True}, "true"),
        (Unavailable, "", {"error": {"reason": "x"}}, '{"reason": "x"}'),
        (Unavailable, "", {"error": ["x"]}, '["x"]'),
        (Unavailable, "", {"object": "error", "message": "OOM", "code": 500}, "OOM (HTTP 500)"),
        (Unavailable, "", {"type": "error", "message": "Later", "code": "server_error"}, "Later (server_error)"),
        (Unavailable, "", {"type": "error", "error": {"type": "overloaded_error", "message": "Full"}}, "Full"),
        (Unavailable, "error", {"code": 500, "details": "no detector"}, "no detector (HTTP 500)"),
        (Unavailable, "error", "upstream timed out", "upstream timed out"),
        (Refused, "", {"error": {"message": "No", "type": "invalid_request_error"}}, "No (invalid_request_error)"),
        (Refused, "", {"error": {"message": "No", "code": "insufficient_quota"}}, "No (insufficient_quota)"),
        (Refused, "", {"error": {"message": "Long", "code": "context_length_exceeded"}}, "Long"),
        (Refused, "", {"error": {"message": "Who?", "code": 401}}, "Who? (HTTP 401)"),
        (Refused, "", {"error": "Unexpected endpoint or method. (POST /x)"}, "Unexpected endpoint"),
        (Refused, "", {"object": "error", "message": "Too many", "type": "BadRequestError", "code": 400}, "Too many"),
        # A text, and the code beside it.
        (Refused, "", {"code": "invalid-argument", "error": "Wrong key."}, "Wrong key. (invalid-argument)"),
        (Unavailable, "", {"code": "internal", "error": "It broke."}, "It broke. (internal)"),
        (Unavailable, "", {"code": 503, "error": "It broke."}, "It broke. (HTTP 503)"),
        (Refused, "", {"code": 403, "error": "Go away."}, "Go away. (HTTP 403)"),
        (Refused, "", {"error": "model 'x' not found"}, "model 'x' not found"),
        (Refused, "", {"error": "Unauthorized"}, "Unauthorized"),
        (Refused, "", {"error": "No API key was sent"}, "No API key was sent"),
        # Codes of OpenAI's ResponseError that no retry changes.
        *(
            (Refused, "", {"type": "error", "message": "No", "code": code}, f"No ({code})")
            for code in (
                "bio_policy", "misalignment_policy_violation", "data_residency_mismatch", "image_too_small",
                "empty_image_file", "failed_to_download_image", "image_parse_error", "invalid_image_url",
            )
        ),
        (Unavailable, "", {"type": "error", "message": "No", "code": "vector_store_timeout"}, "No"),
        # OpenRouter's own message says only that there was an error.
        (Unavailable, "", {"error": {"code": 429, "message": "Provider returned error", "metadata": {
            "provider_name": "Somebody", "raw": "busy for a minute"}}}, "Somebody: busy for a minute (HTTP 429)"),
        (Refused, "", {"error": {"code": 400, "message": "Provider returned error", "metadata": {
            "raw": '{"error": {"message": "too long", "type": "x"}}'}}}, "too long (HTTP 400)"),
        (Unavailable, "", {"error": {"code": 502, "message": "Oops", "metadata": {"raw": ["?"]}}}, "Oops (HTTP 502)"),
    ],
)  # fmt: skip
def test_error_in_a_stream(kind, event, data, message):
    error = provider_errors.in_event(data, event)
    assert isinstance(error, kind)
    assert f"the provider says: {message}" in str(error)


@pytest.mark.parametrize(
    "data",
    [None, 1, "text", [], {}, {"error": None}, {"error": {}}, {"error": ""}, {"object": "chat.completion.chunk"}],
)
def test_event_that_is_not_an_error(data):
    assert provider_errors.in_event(data, "") is None


OPENAI = {"error": {"message": "Because.", "type": "x", "code": None}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, OPENAI, Refused, "Because. (HTTP 400)"),
        (401, OPENAI, Refused, "Because. (HTTP 401)"),
        (402, OPENAI, Refused, "Because. (HTTP 402)"),
        (403, OPENAI, Refused, "Because. (HTTP 403)"),
        (404, OPENAI, Refused, "Because. (HTTP 404)"),
        (413, OPENAI, Refused, "Because. (HTTP 413)"),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, Refused, "field required"),
        (408, OPENAI, Unavailable, "Because. (HTTP 408)"),
        (409, OPENAI, Unavailable, "Because. (HTTP 409)"),
        (429, OPENAI, Unavailable, "Because. (HTTP 429)"),
        (429, {"error": {"message": "Pay.", "code": "insufficient_quota"}}, Refused, "Pay. (HTTP 429)"),
        (429, {"error": {"message": "Request too large: it must be reduced.", "code": "rate_limit_exceeded"}}, Refused,
            "it must be reduced. (HTTP 429)"),
        (500, OPENAI, Unavailable, "Because. (HTTP 500)"),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Full"}}, Unavailable, "Full"),
        (503, {"error": "invalid upstream"}, Unavailable, "invalid upstream (HTTP 503)"),
        (400, [{"error": {"code": 400, "message": "Key.", "status": "INVALID_ARGUMENT"}}], Refused, "Key. (HTTP 400)"),
        (404, b"<html>nginx</html>", Refused, "does the base URL lack /v1?"),
        (404, b"", Refused, "does the base URL lack /v1?"),
        (401, b"", Refused, f"{URL} answered HTTP 401 (Unauthorized): is the key valid for this server?"),
        (403, b"<html>no", Refused, f"{URL} answered HTTP 403 (Forbidden): is the key valid for this server?"),
        (418, b"", Refused, f"{URL} answered HTTP 418"),
        (429, b"", Unavailable, f"{URL} answered HTTP 429 (Too Many Requests)"),
        (502, b"<html>Bad gateway</html>", Unavailable, f"{URL} answered HTTP 502 (Bad Gateway)"),
        (502, b"[" * 100_000, Unavailable, f"{URL} answered HTTP 502 (Bad Gateway)"),
        (500, b"\xff\xfe", Unavailable, f"{URL} answered HTTP 500 (Internal Server Error)"),
        (500, [], Unavailable, f"{URL} answered HTTP 500 (Internal Server Error)"),
        (500, "text", Unavailable, f"{URL} answered HTTP 500 (Internal Server Error)"),
        (204, b"", Incomplete, f"{URL} answered HTTP 204 (No Content), not 200: is the base URL that of an API?"),
        (
            201,
            {"id": "x"},
            Incomplete,
            f"{URL} answered HTTP 201, not 200: is the base URL that of an API?",
        ),
        (202, {"error": {"message": "Later."}}, Unavailable, "the provider says: Later. (HTTP 202)"),
    ],
)  # fmt: skip
def test_error_instead_of_a_stream(status, body, kind, message):
    error = provider_errors.of_response(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode(), URL)
    assert isinstance(error, kind)
    assert message in str(error)
    assert "<html>" not in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_that_is_not_followed(status):
    error = provider_errors.of_response(status, {"location": "https://login.example.org/"}, b"<html>", URL)
    assert type(error) is Refused
    assert "redirects to https://login.example.org/" in str(error)


def test_a_long_message_is_cut():
    assert len(str(provider_errors.in_event({"error": {"message": "x" * 100_000}}, ""))) < 2100
