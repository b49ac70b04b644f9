"""Bodies whose JSON would fail later are refused at once, in any field; no client's value is an error of the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.json_codec import MAX_DEPTH
from llmstream.serve.json_body import decode

from ..commands.test_serve import RunningServer, serving
from ..conftest import environment
from ..support.loopback import Provider, Request, chat, head, messages, ollama, responses

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.booleans())
def test_json_is_decoded(value, ascii_only):
    assert decode(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"{", b"NaN", b"[Infinity]", b'{"a": -Infinity}', b"1e400", b"[-1e999]", b"9" * 5000,
        b'"\\ud800"', b'"\\uDFFF"', b'{"\\ud83d": 1}', b'["\\ude00\\ud83d"]', b'"\xed\xa0\x80"',
        b"[" * 100_000, b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), b'{"a":' * 900 + b"1" + b"}" * 900,
        b'[{"a":' * 150 + b"1" + b"}]" * 150,
    ],
)  # fmt: skip
def test_what_cannot_be_sent_on_is_refused(body):
    with pytest.raises(JSONDecodeError):
        decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b'"\\ud83d\\ude00"', b'"\\\\ud800"', b"1e308", b"123456789012345678901234567890",
        b"[[]," * 100 + b"1" + b"]" * 100,
        b"[" + b"[]," * 1000 + b"1]", b'"' + b"[" * 1000 + b'"', b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    ],
)  # fmt: skip
def test_what_can_be_sent_on_is_decoded(body):
    assert decode(body) == json.loads(body)


# The whole way: a server whose provider puts all that it gets into its answer.

FIELDS = (
    "model", "messages", "temperature", "top_p", "seed", "max_tokens", "stop", "stream", "stream_options", "n", "tools",
    "tool_choice", "response_format", "reasoning_effort", "logprobs", "user", "metadata", "service_tier", "logit_bias",
    "modalities", "thinking", "options", "input", "extra_body", "",
)  # fmt: skip
VALUES = (
    "null", "true", "-1", "0", "1e308", "1e400", "NaN", "123456789012345678901234567890", '""', '"ultra"', '"\\ud800"',
    '"\\u0000"', '"\\r\\n"', "[]", "{}", "[null]", "[{}]", '{"":1}', '{"\\udc00":1}', '{"a":NaN}', '["\\ud800"]',
    "[" * 150 + "]" * 150, "[" * 900 + "]" * 900, '{"a":' * 150 + "1" + "}" * 150, '{"type":"json_object"}',
    '{"type":"json_schema","json_schema":{"schema":{"$ref":"#/x"}}}', '[{"type":"function","function":{"name":"f"}}]',
    '[{"type":"function","function":{"name":"f","parameters":{"type":1}}}]', '[{"role":"wizard","content":"x"}]',
    '[{"role":"user","content":[]}]', '[{"role":"user","content":[{"type":"text","text":1}]}]',
    '[{"role":"user","content":"x","name":"\\ud800"}]', '[{"role":"user","content":"x","tool_calls":1}]',
    '"replay:x"', '"a/b.gguf"', '"nope/x"', '"openai/\\u0000"', '"/"', '"sdk:"',
)  # fmt: skip
MODELS = ("openai/m", "anthropic/m", "ollama/m", "llamacpp/m")


def echo(request: Request) -> list[bytes]:
    """Answers with the body, in the request's dialect and, in chat, in the fields beside the text."""
    body, path = request.json, request.line.split()[1]
    text = json.dumps(body)
    if path.endswith("/messages"):
        return [head(), *messages(text)]
    if path.endswith("/responses"):
        return [head(), *responses(text)]
    if path.endswith("/api/chat"):
        return [head(content_type="application/x-ndjson"), *ollama(text)]
    first, *rest = chat(text)
    fields = {"id": body.get("user"), "model": body.get("metadata"), "service_tier": body.get("service_tier")}
    usage = {"prompt_tokens": body.get("seed"), "completion_tokens": body.get("max_tokens"), "cost": body.get("top_p")}
    own = {**fields, "usage": usage, "choices": [{"index": 0, "delta": {"content": body.get("user")}}]}
    return [head(), first, b"data: %s\n\n" % json.dumps(own).encode(), *rest]


@contextmanager
def echoing_server(model: str) -> Iterator[RunningServer]:
    """Runs a server whose provider is `echo`."""
    with Provider(echo) as provider:
        addresses = {"OPENAI_BASE_URL": f"{provider.url}/v1", "LLAMACPP_BASE_URL": f"{provider.url}/v1"}
        addresses |= {"ANTHROPIC_BASE_URL": provider.url, "OLLAMA_HOST": provider.url}
        keys = {"OPENAI_API_KEY": "a-test-key", "ANTHROPIC_API_KEY": "a-test-key"}
        args = ["--allow-model", "*", *(part for name in FIELDS for part in ("--allow-field", name))]
        with serving("-m", model, "--retries", "0", *args, **environment(**addresses, **keys)) as server:
            yield server


@pytest.fixture(scope="module")
def echoing():
    with echoing_server("openai/m") as server:
        yield server


def _post(server: RunningServer, path: str, fields: dict[str, str]) -> tuple[int, str]:
    """Posts a body of which the values are JSON; returns status and body of the response."""
    text = "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in fields.items()) + "}"
    response = server.post(path, None, raw=text.encode())
    status, body = response.status, response.read().decode()
    server.disconnect()
    return status, body


def _is_bug(status: int, body: str) -> bool:
    return status >= 500 or "internal error" in body or "server_error" in body or "event: error" in body


@pytest.mark.parametrize("field", FIELDS)
def test_no_value_of_a_conversation_is_an_error_of_the_server(echoing, field):
    bugs = []
    for number, value in enumerate(VALUES):
        fields = {
            "model": f'"{MODELS[(number + len(field)) % len(MODELS)]}"',
            "messages": '[{"role":"user","content":"Hi"}]',
            "stream": "true",
        }
        status, body = _post(echoing, "/v1/chat/completions", fields | {field: value})
        if _is_bug(status, body):
            bugs.append((value[:60], status, body[-200:]))
    assert bugs == []


@pytest.mark.parametrize("field", ["prompt", "system", "model", "until", "schema", "max_tokens", "stop", "effort", "x"])
def test_no_value_of_a_prompt_is_an_error_of_the_server(echoing, field):
    bugs = []
    for value in VALUES:
        status, body = _post(echoing, "/chat/stream", {"prompt": '"Hi"', field: value})
        if _is_bug(status, body) and '"status": 2' not in body:
            bugs.append((value[:60], status, body[-200:]))
    assert bugs == []
