"""Reasoning that models send on request only: the doors that ask, the fields that do, and a server that refuses."""

from __future__ import annotations

import pytest

import llmstream
from llmstream.core.request import Request
from llmstream.providers.registry import PROVIDERS
from llmstream.providers.resolve import resolve

from ..conftest import at
from ..support.loopback import Provider, chat, head, reply
from ..support.sdk_types import unlike

KEYS = {key: "sk-test-key" for row in PROVIDERS.values() for key in row.key_env}
AUTO = {"reasoning": {"summary": "auto"}}
INCLUDED = {"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}}
GROQ = "groq/qwen/qwen3-32b"
THINKER = "openai/gpt-6-luna"


def body(model: str, api: str | None = None, **fields: object) -> dict:
    target = resolve(model, api, KEYS | {"AZURE_OPENAI_ENDPOINT": "https://example.com"})
    return target.body(Request(target.model, "Hi", **fields))


@pytest.mark.parametrize(
    ("model", "added"),
    [
        (THINKER, AUTO),
        ("openai/gpt-5-nano", AUTO),
        ("openai/o3", AUTO),
        ("azure/gpt-5.1", AUTO),
        ("openai/gpt-4o", {}),
        ("openai/gpt-4.1-mini", {}),
        ("openai/gpt-5-chat-latest", {}),
        ("azure/our-deployment", {}),
        ("gemini/gemini-flash-latest", INCLUDED),
        ("gemini/gemini-2.5-pro", INCLUDED),
        ("gemini/gemini-2.0-flash", {}),
        ("gemini/gemini-2.5-flash-image", {}),
        ("groq/qwen/qwen3-32b", {"reasoning_format": "parsed"}),
        ("groq/openai/gpt-oss-20b", {}),
        ("groq/llama-3.3-70b-versatile", {}),
        ("ollama/m", {}),
    ],
)
def test_only_models_that_take_it_are_asked(model, added):
    plain = body(model)
    assert body(model, reasoning=True) == plain | added


def test_another_dialect_of_the_provider_is_not_asked():
    assert body(THINKER, "chat", reasoning=True) == body(THINKER, "chat")


def test_an_effort_stands_beside_it():
    request = body(THINKER, reasoning=True, effort="low")
    assert request["reasoning"] == {"effort": "low", "summary": "auto"}
    assert unlike("responses", request) == []


def test_the_user_s_field_counts():
    request = body(THINKER, reasoning=True, extra=(("reasoning", {"summary": "detailed"}),))
    assert request["reasoning"] == {"summary": "detailed"}


@pytest.mark.parametrize(
    ("flags", "asks"),
    [([], False), (["-u"], False), (["--reasoning"], True), (["--events"], True), (["--timing"], True)],
)
def test_gen_asks_where_it_shows_reasoning(invoke, flags, asks):
    done = invoke("gen", "-n", "--dry-run", "-m", THINKER, *flags, "Hi", env=at("") | {"OPENAI_BASE_URL": ""})
    assert ('"summary": "auto"' in done.stdout.decode()) is asks


@pytest.mark.parametrize("asks", [True, False])
def test_the_library_asks(asks):
    with Provider([head(), *chat("Hello")]) as provider:
        with llmstream.stream("Hi", model=GROQ, base_url=provider.url, reasoning=asks) as stream:
            assert list(stream)
        assert ("reasoning_format" in provider.requests[0].json) is asks


def test_a_client_of_serve_asks():
    bodies = pytest.importorskip("llmstream.serve.bodies", reason="the extra `serve` is not installed")
    prompt = bodies.Prompt.model_validate({"prompt": "Hi", "reasoning": True})
    assert prompt.request(bodies.Settings()).options == {"reasoning": True}


# A server that refuses: OpenAI does so until it knows who the customer is.

REFUSAL = b'{"error": {"message": "Verify your organization to get reasoning summaries."}}'


def test_a_server_that_refuses_is_asked_without(run):
    with Provider(reply("400 Bad Request", REFUSAL), [head(), *chat("Hello")]) as provider:
        done = run("gen", "--reasoning", "-m", GROQ, "Hi", env=at(provider.url, GROQ_BASE_URL=provider.url))
    assert (done.returncode, done.stdout) == (0, b"Hello\n")
    [line] = done.stderr.decode().splitlines()
    assert line.endswith("get reasoning summaries. (HTTP 400): retrying without the reasoning")
    assert ["reasoning_format" in request.json for request in provider.requests] == [True, False]


@pytest.mark.parametrize("flags", [[], ["-o", 'reasoning_format="parsed"']])
def test_a_server_that_refuses_something_else_is_not_asked_again(run, flags):
    with Provider(reply("400 Bad Request", REFUSAL)) as provider:
        done = run("gen", *flags, "-m", GROQ, "Hi", env=at(provider.url, GROQ_BASE_URL=provider.url))
    assert (done.returncode, len(provider.requests)) == (3, 1)
