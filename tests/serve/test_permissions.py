"""What a client's words may not do: choose a model that is not served, a file, or fields that cost or store."""

from __future__ import annotations

import json

import pytest

from llmstream.serve.bodies import PASSED_FIELDS

from ..support.serving import ScriptedServer, ask, get

CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Hi"}]}
SERVED = {"model": "openai/m", "models": ("fast",), "allow_models": ("groq/llama-*", "mistral/small")}


def message(answer: bytes) -> str:
    body = json.loads(answer)
    return body["error"]["message"] if "error" in body else body["message"]


# Models.


@pytest.mark.parametrize(
    ("model", "served"),
    [
        (None, True),
        ("default", True),
        ("openai/m", True),
        ("fast", True),
        ("groq/llama-3", True),
        ("mistral/small", True),
        ("openai/o", False),
        ("local", False),
        ("local/a", False),
        ("Fast", False),
        ("groq/other", False),
        ("mistral/small2", False),
        ("m" * 1_000_000, False),
        ("/any.gguf", False),
        ("replay:/dev/zero", False),
        ("groq/llama-x.gguf", False),
    ],
)
def test_models(model, served):
    with ScriptedServer(**SERVED) as server:
        for path, body in (("/chat/stream", {"prompt": "Hi"}), (CHAT, HELLO)):
            status, _, answer = ask(server, path, body | {"model": model})
            if served:
                assert status == 200
            else:
                assert status == (400 if model.endswith(".gguf") or ":" in model or len(model) > 256 else 404)
                assert len(answer) < 400
        assert len(server.generations) == (2 if served else 0)


@pytest.mark.parametrize(
    ("served", "name", "model"),
    [
        ({"model": "openai/fast"}, "fast", "openai/fast"),
        ({"model": "openai/fast"}, "fas", None),
        ({"model": "openai/fast"}, "", None),
        ({"model": "openrouter/meta/llama"}, "meta/llama", "openrouter/meta/llama"),
        ({"model": "openrouter/meta/llama"}, "llama", None),
        ({"model": "fast", "models": ("mine/fast",)}, "fast", "fast"),  # a name of its own
        ({"models": ("openai/m", "groq/m")}, "m", None),  # ambiguous
        ({"model": "openai/m", "models": ("openai/m",)}, "m", "openai/m"),
        ({"model": "openai/m", "allow_models": ("groq/*",)}, "m", "openai/m"),
        ({"model": "openai/m", "allow_models": ("groq/*",)}, "llama", "groq/llama"),
        ({"allow_models": ("groq/*", "groq/l*")}, "llama", "groq/llama"),
        ({"allow_models": ("groq/*", "mistral/l*")}, "llama", None),
        ({"allow_models": ("gro?/llama",)}, "llama", None),  # no provider is called so
        ({"model": "/models/a.gguf"}, "models/a.gguf", None),
        ({"model": "replay:/recordings/a"}, "recordings/a", "replay:/recordings/a"),
    ],
)
def test_a_model_may_be_named_without_its_provider(served, name, model):
    """OpenAI's clients send what their users put after `openai/`."""
    with ScriptedServer(**{"allow_models": (), **served}) as server:
        status = ask(server, CHAT, HELLO | {"model": name})[0]
        assert (status == 200) == (model is not None)
        assert [generation.request.options["model"] for generation in server.generations] == ([model] if model else [])


def test_a_model_that_is_not_served_is_answered_with_the_list():
    with ScriptedServer(**SERVED) as server:
        answer = ask(server, CHAT, HELLO | {"model": "x/y"})[2]
        names = [model["id"] for model in json.loads(get(server, "/v1/models")[2])["data"]]
    listed = "default, openai/m, fast, groq/llama-*, mistral/small"
    assert message(answer) == f'the server does not serve the model "x/y", but {listed}: see --allow-model'
    assert names == ["openai/m", "fast", "mistral/small", "default"]
    with ScriptedServer(models=tuple(f"alias{number}" for number in range(1000))) as server:
        assert len(ask(server, CHAT, HELLO | {"model": "replay"})[2]) < 2000


# Fields.


@pytest.mark.parametrize(
    "name",
    [
        *("background", "store", "previous_response_id", "conversation", "mcp_servers", "service_tier", "metadata"),
        *(
            "webhook",
            "input",
            "web_search_options",
            "plugins",
            "models",
            "provider",
            "contents",
            "n_probs\n",
            "k" * 10**6,
        ),
    ],
)
def test_a_field_that_costs_stores_or_calls_is_refused(name):
    with ScriptedServer() as server:
        status, _, answer = ask(server, CHAT, HELLO | {name: True})
        assert (status, "--allow-field" in message(answer)) == (400, True)
        assert len(answer) < 400
        assert ask(server, CHAT, HELLO | {name: None})[0] == 200
        assert "options" not in server.generations[0].request.options
    with ScriptedServer(allow_fields=(name,)) as server:
        assert ask(server, CHAT, HELLO | {name: True})[0] == 200
        assert server.generations[0].request.options["options"] == {name: True}


@pytest.mark.parametrize("name", sorted(PASSED_FIELDS))
def test_fields_of_sampling_go_to_the_provider(name):
    with ScriptedServer() as server:
        assert ask(server, CHAT, HELLO | {name: {"a": 1}})[0] == 200
        assert server.generations[0].request.options["options"] == {name: {"a": 1}}


@pytest.mark.parametrize("kind", ["web_search_20250305", "mcp", "code_interpreter", "computer_use", 7, {}])
def test_tools_that_the_provider_runs_are_refused(kind):
    tool = {"type": kind, "name": "web_search", "function": {"name": "f", "parameters": {"type": "object"}}}
    with ScriptedServer() as server:
        assert ask(server, CHAT, HELLO | {"tools": [tool]})[0] == 400
        assert ask(server, CHAT, HELLO | {"tools": [tool | {"type": "function"}]})[0] == 200


# A server whose model's address is the server itself.


@pytest.mark.parametrize(("hops", "status"), [("", 200), ("b c", 200), ("b a c", 403), ("b c d e f g h i", 403)])
def test_a_request_that_has_come_round_is_refused(hops, status):
    with ScriptedServer(hop="a") as server:
        for path, body in (("/chat/stream", {"prompt": "Hi"}), (CHAT, HELLO)):
            code, headers, _ = ask(server, path, body, llmstream_hop=hops)
            assert code == status
            assert (headers.get("connection") == "close") is (status == 403)
        assert [generation.request.hops for generation in server.generations] == ([hops] * 2 if status == 200 else [])
