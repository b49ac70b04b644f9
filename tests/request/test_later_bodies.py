"""The bodies of later turns, batches, background responses and other addresses: the SDKs' types describe each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.messages.batch_create_params import BatchCreateParams

from ..conftest import at, environment
from ..support import anthropic_batches, background, batches, needs, option_bodies
from ..support.invoking import invoke
from ..support.loopback import NDJSON, Provider, Request, Step, reply
from ..support.option_bodies import APIS, MODELS
from ..support.sdk_types import fits, unlike

CALL = {"name": "weather", "arguments": '{"city":"Basel"}'}
TEXTS = {
    "chat": {"message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop", "index": 0},
    "responses": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "{}"}]},
    "messages": {"type": "text", "text": "{}"},
    "ollama": {"role": "assistant", "content": "{}"},
}
CALLS = {
    "chat": {"message": {"tool_calls": [{"id": "c1", "function": CALL}]}, "finish_reason": "tool_calls", "index": 0},
    "responses": {"type": "function_call", "id": "f1", "call_id": "c1", **CALL},
    "messages": {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Basel"}},
    "ollama": {"role": "assistant", "tool_calls": [{"function": {**CALL, "arguments": {"city": "Basel"}}}]},
}
TOOL = "#!/bin/sh\necho Rain\n"
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather in Basel?"},
    {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": CALL}]},
    {"role": "tool", "tool_call_id": "c1", "content": "Rain"},
    {"role": "assistant", "content": "It rains."},
]


def whole(api: str, part: dict[str, Any]) -> list[Step]:
    """Makes an answer that is not streamed, of one part."""
    if api == "ollama":
        answer = {"model": "m", "message": part, "done": True, "done_reason": "stop"}
        return reply("200 OK", json.dumps(answer).encode() + b"\n", NDJSON)
    answers = {
        "chat": {"object": "chat.completion", "choices": [part]},
        "responses": {"object": "response", "status": "completed", "output": [part]},
        "messages": {"type": "message", "role": "assistant", "content": [part], "stop_reason": "end_turn"},
    }
    return reply("200 OK", json.dumps({"id": "a1", "model": "m", **answers[api]}).encode())


def gen(folder: Path, api: str, *args: str, first: dict[str, Any] | None = None) -> list[Request]:
    """Runs `gen`; returns its requests. The first answer is `first`, all others have a text."""
    for name, data in option_bodies.FILES.items():
        (folder / name).write_bytes(data)
    text = whole(api, TEXTS[api])
    with Provider(whole(api, first) if first else text, text) as server:
        more = {"LLAMACPP_BASE_URL": f"{server.url}/v1", "OLLAMA_HOST": server.url}
        command = ["gen", "-n", "--api", api, "-m", MODELS[api], *args, "And now?"]
        done = invoke(command, at(server.url, **more), cwd=folder)
        assert done.returncode in (0, 5), done.stderr
        return server.requests


@pytest.mark.parametrize("api", APIS)
def test_a_conversation_in_a_file_with_calls(tmp_path, api):
    (tmp_path / "talk").write_text("".join(json.dumps(line) + "\n" for line in TALK))
    (request,) = gen(tmp_path, api, "--chat", "talk", "--tools", "tools.json")
    assert unlike(api, request.json) == []
    assert all(text in request.body for text in (b"Basel", b"Rain", b"It rains.", b"And now?"))


@pytest.mark.parametrize("api", APIS)
def test_the_turn_after_the_results_of_tools(tmp_path, api):
    (tmp_path / "tool").write_text(TOOL)
    (tmp_path / "tool").chmod(0o755)
    first, second = gen(tmp_path, api, "--tools", "tools.json", "--run-tools", "./tool", first=CALLS[api])
    assert unlike(api, first.json) == unlike(api, second.json) == []
    assert b"Basel" in second.body and b"Rain" in second.body


@needs.package("jsonschema", "check")
@pytest.mark.parametrize("api", APIS)
def test_the_question_after_a_wrong_answer(tmp_path, api):
    first, second = gen(tmp_path, api, "--schema", "name", "--check", "-O", "out")
    assert unlike(api, first.json) == unlike(api, second.json) == []
    assert b"'name' is a required property" in second.body and b"required property" not in first.body


@pytest.mark.parametrize(
    ("api", "options"), [("chat", []), ("responses", []), ("messages", []), ("messages", ["--cache-ttl", "1h"])]
)
def test_a_request_of_a_batch(tmp_path, api, options):
    for name, data in option_bodies.FILES.items():
        (tmp_path / name).write_bytes(data)
    account: Any = anthropic_batches.AnthropicBatches() if api == "messages" else batches.Batches()
    prompt = ["-s", "Be brief.", "--tools", "tools.json", "--messages", "messages.ndjson", "-a", "river.pdf"]
    model = MODELS["messages"] if api == "messages" else "openai/gpt-6-luna"
    with Provider(account.script) as server:
        command = ["map", "--batch", "--journal", "journal", "--api", api, "-m", model, *prompt, *options]
        invoke(command, at(server.url), b"Hi\n", cwd=tmp_path)
    (line,) = account.sent
    body = line["params" if api == "messages" else "body"]
    assert unlike(api, body, streams=False) == []
    assert "stream" not in body and "Hi" in json.dumps(body)


def test_a_request_of_anthropics_batches(tmp_path):
    for name, data in option_bodies.FILES.items():
        (tmp_path / name).write_bytes(data)
    account = anthropic_batches.AnthropicBatches(
        lambda request: {"type": "succeeded", "message": anthropic_batches.answer("Hello")}
    )
    options = ["-s", "Be brief.", "--tools", "tools.json", "--messages", "messages.ndjson", "-a", "river.pdf"]
    with anthropic_batches.provider(account) as server:
        command = ["map", "--batch", "--journal", "journal", "-m", "anthropic/claude-sonnet-5-5", *options, "--cache"]
        assert invoke(command, at(server.url), b"Hi\n", cwd=tmp_path).returncode == 0
    (request,) = account.sent
    assert fits({"requests": [request]}, BatchCreateParams)
    assert unlike("messages", request["params"], streams=False) == []
    assert not fits({"requests": [request | {"metadata": {}}]}, BatchCreateParams)


def test_background_responses_of_map_and_of_several_turns(tmp_path):
    (tmp_path / "tools.json").write_bytes(option_bodies.FILES["tools.json"])
    (tmp_path / "tool").write_text(TOOL)
    (tmp_path / "tool").chmod(0o755)
    account = background.Background()
    called = {"object": "response", "status": "completed", "output": [CALLS["responses"]]}
    text = batches.responses_answer("x")
    account.answer = lambda body: called if "tools" in body and isinstance(body["input"], str) else text
    with background.provider(account) as server:
        args = ["--api", "responses", "-m", "openai/m", "--within", "2h"]
        invoke(["map", *args], at(server.url), b"a\nb\n", cwd=tmp_path)
        tools = ["--tools", "tools.json", "--run-tools", "./tool"]
        done = invoke(["gen", "-n", *args, *tools, "Hi"], at(server.url), cwd=tmp_path)
    assert (done.stdout, done.returncode) == (b"x\n", 0), done.stderr
    bodies = list(account.requests.values())
    assert len(bodies) == 4
    assert all(unlike("responses", body, streams=False) == [] and body["stream"] is False for body in bodies)


@pytest.mark.parametrize("api", sorted({*APIS} - {"ollama"}))
def test_another_address(api):
    with Provider(whole(api, TEXTS[api])) as server:
        command = [
            "gen",
            "-n",
            "-m",
            "openai/m",
            "--api",
            api,
            "--base-url",
            f"{server.url}/v1",
            "-s",
            "Be brief.",
            "Hi",
        ]
        assert invoke(command, environment()).returncode == 0
        (request,) = server.requests
    assert unlike(api, request.json) == []
