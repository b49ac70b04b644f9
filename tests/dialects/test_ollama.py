"""Ollama's own API against a server that behaves like Ollama's, with its Python client as judge."""

from __future__ import annotations

import asyncio
import base64
import json
import re

import ollama
import pytest

import llmstream
from llmstream.dialects.ollama import EFFORTS, FIELD_OBJECTS, OPTION_NAMES

from ..commands.test_serve import contents, serving
from ..conftest import environment
from ..support.loopback import HOLD, NDJSON, Provider, head, reply
from ..support.loopback import ollama as lines
from ..support.ollama_server import WORDS, server

ANSWER = "".join(WORDS)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
TOOL = {
    "name": "gauge",
    "description": "The height of a river",
    "parameters": {"type": "object", "properties": {"river": {"type": "string"}}, "required": ["river"]},
}
SCHEMA = {
    "type": "object",
    "properties": {"rivers": {"type": "integer"}},
    "required": ["rivers"],
    "additionalProperties": False,
}
HI = {"role": "user", "content": "Hi"}
NATIVE = {"truncate": False, "shift": False}  # which the client cannot say


@pytest.fixture
def gen(invoke, tmp_path):
    """Runs gen against a server; gives what it did, and the requests that the server got."""

    def gen(*args, model="gemma3:1b", prompt="Name three rivers.", provider=None):
        with provider or server() as there:
            env = environment(OLLAMA_HOST=there.url.removeprefix("http://"))
            done = invoke("gen", "-m", f"ollama/{model}", *args, prompt, env=env, cwd=tmp_path)
        return done, there.requests

    return gen


def events(stdout: bytes) -> list[dict]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_an_answer(gen):
    done, (request,) = gen("-u")
    assert (done.stdout.decode(), done.returncode) == (ANSWER + "\n", 0)
    assert request.line == "POST /api/chat HTTP/1.1"
    assert b"3 tokens in, 5 out" in done.stderr


def test_reasoning_comes_from_models_that_think(gen):
    done, _ = gen("--reasoning", model="qwen3:4b")
    assert (done.stdout.decode(), done.returncode) == (ANSWER + "\n", 0)
    assert done.stderr.startswith(b"Three rivers?")
    assert b"Three" not in gen("--reasoning", "--effort", "none", model="qwen3:4b")[0].stderr
    assert gen("--reasoning")[0].returncode == 0  # a model that does not think is not asked to


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["--effort", "low"], 3, 'ollama at 127.0.0.1:* says: "gemma3:1b" does not support thinking (HTTP 400)'),
        (["--effort", "minimal"], 2, "Ollama has no --effort minimal: use one of none, low, medium, high, max"),
        (["--effort", "xhigh"], 2, "Ollama has no --effort xhigh: use one of none, low, medium, high, max"),
        (["-o", 'think="much"'], 3, 'ollama at 127.0.0.1:* says: invalid think value: "much" (must be "high", '),
        (["--cache", "-s", "Be brief."], 2, "Ollama has no --cache: "),
        (["-o", "num_ctx=2"], 3, "ollama at 127.0.0.1:* says: the input length exceeds the context length (HTTP 400)"),
        (["-a", "a.pdf"], 2, "the attachment a.pdf is application/pdf: ollama (ollama) takes images (PNG, JPEG, GIF, "),
    ],
)
def test_what_it_does_not_take_is_one_line(gen, tmp_path, args, status, message):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n")
    done, requests = gen(*args)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", 1)
    assert re.sub(r"(?<=127\.0\.0\.1:)\d+", "*", done.stderr.decode()).startswith(f"llmstream gen: {message}")
    assert len(requests) == (status == 3)


def test_an_unknown_model(gen):
    done, requests = gen(model="qwen9:900b")
    assert (done.returncode, len(requests)) == (3, 1)
    assert done.stderr.endswith(b" says: model 'qwen9:900b' not found (HTTP 404)\n")


def test_a_context_that_is_full_ends_the_answer_unless_it_may_shift(gen):
    prompt = "one two three"
    done, _ = gen("-o", "num_ctx=5", prompt=prompt)
    assert (done.stdout.decode(), done.returncode) == ("".join(WORDS[:2]) + "\n", 5)
    done, _ = gen("-o", "num_ctx=5", "-o", "shift=true", prompt=prompt)
    assert (done.stdout.decode(), done.returncode) == (ANSWER + "\n", 0)
    done, _ = gen("-o", "num_ctx=2", "-o", "truncate=true", "-o", "shift=true", prompt=prompt)
    assert done.returncode == 0


def test_a_limit_that_was_asked_for(gen):
    done, (request,) = gen("--max-tokens", "2")
    assert (done.stdout.decode(), done.returncode) == ("".join(WORDS[:2]) + "\n", 0)
    assert request.json["options"] == {"num_predict": 2}


def test_tool_calls_and_the_continued_message(gen, tmp_path):
    (tmp_path / "tools.json").write_text(json.dumps([TOOL]))
    done, _ = gen("--tools", "tools.json", "--events", "--effort", "none", model="qwen3:4b")
    call, _, finish = events(done.stdout)[1:]
    assert (call["id"], call["name"], call["arguments"]) == ("", "gauge", '{"river": "Ain"}')
    assert finish["reason"] == "tool_calls"
    done, (request,) = gen("--prefill", WORDS[0])
    assert done.stdout.decode() == ANSWER + "\n"
    assert request.json["messages"][-1] == {"role": "assistant", "content": WORDS[0]}


def test_an_answer_that_is_not_streamed(gen):
    done, (request,) = gen("-o", "stream=false")
    assert (done.stdout.decode(), done.returncode) == (ANSWER + "\n", 0)
    assert request.json["stream"] is False


def test_a_line_alone_is_no_whole_answer(gen):
    line = json.dumps({"model": "m", "message": {"content": "One"}, "done": False}).encode()
    done, _ = gen(provider=Provider(reply("200 OK", line)))
    assert (done.stdout, done.returncode) == (b"One", 5)
    assert b"has no finish reason" in done.stderr


def test_chat_completions_are_still_there(gen):
    done, (request,) = gen("--api", "chat")
    assert (done.stdout.decode(), request.line) == (ANSWER + "\n", "POST /v1/chat/completions HTTP/1.1")


def test_its_models(invoke):
    with server() as there:
        done = invoke("models", "ollama", env=environment(OLLAMA_HOST=there.url))
        assert [request.line for request in there.requests] == ["GET /api/tags HTTP/1.1"]
    assert done.stdout == b"ollama/gemma3:1b\nollama/qwen3:4b\n"


def test_a_rest_is_asked_for(gen):
    texts = ["The", " Ain"]
    provider = Provider([head("200 OK", NDJSON), *lines(*texts)[:2]], [head("200 OK", NDJSON), *lines(" joins", ".")])
    done, (first, second) = gen("--resume-cut", "--max-retry-wait=0.01", provider=provider)
    assert (done.stdout, done.returncode) == (b"The Ain joins.\n", 0), done.stderr
    partial = {"role": "assistant", "content": "The Ain"}
    assert second.json == first.json | {"messages": [*first.json["messages"], partial]}


def test_no_rest_of_an_answer_in_a_format(gen):
    provider = Provider([head("200 OK", NDJSON), *lines("{")[:1]])
    done, requests = gen("--resume-cut", "--json", provider=provider)
    assert (done.stdout, done.returncode, len(requests)) == (b"{", 5, 1)


def test_the_answer_ends_with_the_last_line_not_the_connection(gen):
    done, _ = gen(provider=Provider([head("200 OK", NDJSON), *lines("Ain"), HOLD]))
    assert (done.stdout, done.returncode) == (b"Ain\n", 0)


def test_another_kind_of_answer(gen):
    done, _ = gen("--retries=0", provider=Provider(reply("200 OK", b"<html>", "text/html")))
    assert done.returncode == 5
    assert b"/api/chat answered text/html, not application/x-ndjson: is the base URL that of an API?" in done.stderr


def test_a_recording_plays_back(gen, invoke, tmp_path):
    first, _ = gen("--record", str(tmp_path / "a.rec"), "--events", model="qwen3:4b")
    again = invoke("gen", "--events", "-m", f"replay:{tmp_path}/a.rec", "--speed=0", "Hi")
    assert (again.stdout, again.returncode) == (first.stdout, 0)
    assert [event["type"] for event in events(again.stdout)][:2] == ["start", "reasoning"]


def test_map(invoke):
    with server() as there:
        env = environment(OLLAMA_HOST=there.url)
        done = invoke("map", "-q", "-m", "ollama/qwen3:4b", input=b"a\nb\n", env=env)
    assert [record["text"] for record in events(done.stdout)] == [ANSWER, ANSWER]


def test_serve():
    with server() as there, serving("-m", "ollama/qwen3:4b", **environment(OLLAMA_HOST=there.url)) as service:
        text = service.post("/chat/stream", {"prompt": "Hi", "reasoning": True}).read().decode()
        plain = json.load(service.post("/v1/chat/completions", {"messages": [HI], "max_tokens": 4, "temperature": 0}))
        assert there.requests[-1].json["options"] == {"num_predict": 4, "temperature": 0}
    assert "".join(contents(text)) == ANSWER
    assert "event: reasoning" in text
    assert plain["choices"][0]["message"]["content"] == WORDS[0]


def test_text_reads_its_lines(invoke):
    done = invoke("text", input=b"".join(lines("Ain", ".")))
    assert (done.stdout, done.returncode) == (b"Ain.\n", 0)


def test_the_library(monkeypatch):
    with server() as there:
        monkeypatch.setenv("OLLAMA_HOST", there.url)
        with llmstream.stream("Hi", model="ollama/qwen3:4b") as answer:
            assert "".join(answer.text) == ANSWER

        async def main() -> str:
            async with llmstream.astream("Hi", model="ollama/gemma3:1b", options={"num_ctx": 64}) as answer:
                return "".join([text async for text in answer.text])

        assert asyncio.run(main()) == ANSWER
        assert there.requests[-1].json["options"] == {"num_ctx": 64}


# The body, compared with the client's.


def asked_by_client(**fields: object) -> dict:
    with server() as there:
        for _ in ollama.Client(there.url).chat("qwen3:4b", stream=True, **fields):
            pass
    (request,) = there.requests
    assert request.line == "POST /api/chat HTTP/1.1"
    return request.json


BODIES = {
    "plain": ([], {"messages": [HI]}),
    "system": (["-s", "Be brief."], {"messages": [{"role": "system", "content": "Be brief."}, HI]}),
    "options": (
        [
            "-t",
            "0.5",
            "--top-p=0.9",
            "--seed=7",
            "--max-tokens=40",
            "--stop=END",
            "-o",
            "num_ctx=8192",
            "-o",
            "top_k=9",
        ],
        {
            "messages": [HI],
            "options": {
                "num_predict": 40,
                "seed": 7,
                "stop": ["END"],
                "temperature": 0.5,
                "top_p": 0.9,
                "num_ctx": 8192,
                "top_k": 9,
            },
        },
    ),
    "an object of options": (
        ["-t", "0.5", "-o", 'options={"top_k":9}', "-o", "num_ctx=64"],
        {"messages": [HI], "options": {"temperature": 0.5, "top_k": 9, "num_ctx": 64}},
    ),
    "fields": (
        ["-o", 'keep_alive="1h"', "-o", "logprobs=true"],
        {"messages": [HI], "keep_alive": "1h", "logprobs": True},
    ),
    "no thinking": (["--effort", "none"], {"messages": [HI], "think": False}),
    "effort": (["--effort", "high"], {"messages": [HI], "think": "high"}),
    "json": (["--json"], {"messages": [HI], "format": "json"}),
    "schema": (["--schema", json.dumps(SCHEMA)], {"messages": [HI], "format": SCHEMA}),
    "image": (["-a", "a.png"], {"messages": [HI | {"images": [PNG]}]}),
    "text": (["-a", "a.txt"], {"messages": [HI | {"content": "a.txt:\n\nThe Ain.\n\nHi"}]}),
    "both, and a prefill": (
        ["-a", "a.png", "-a", "a.txt", "--prefill", "Well"],
        {
            "messages": [
                HI | {"content": "a.txt:\n\nThe Ain.\n\nHi", "images": [PNG]},
                {"role": "assistant", "content": "Well"},
            ]
        },
    ),
    "tools": (["--tools", "t.json", "--events"], {"messages": [HI], "tools": [{"type": "function", "function": TOOL}]}),
}


@pytest.mark.parametrize(("args", "fields"), BODIES.values(), ids=BODIES)
def test_the_client_sends_the_same_body(gen, tmp_path, args, fields):
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "a.txt").write_text("The Ain.")
    (tmp_path / "t.json").write_text(json.dumps([TOOL | {"strict": True}]))
    done, (request,) = gen(*args, model="qwen3:4b", prompt="Hi")
    assert done.returncode == 0, done.stderr
    theirs = asked_by_client(**fields)
    assert theirs.pop("tools", []) == request.json.get("tools", [])
    assert {k: v for k, v in request.json.items() if k != "tools"} == theirs | NATIVE
    if "a.png" in args:
        assert base64.b64decode(request.json["messages"][0]["images"][0]) == PNG


# Drift: a new version of the client that knows more makes these fail.


def test_the_client_s_options_are_known():
    assert set(ollama.Options.model_fields) - set(OPTION_NAMES) == set()
    newer = {"min_p", "draft_num_predict"}  # of Ollama's api/types.go
    assert set(OPTION_NAMES) - set(ollama.Options.model_fields) == newer
    assert dict.fromkeys(OPTION_NAMES, "options") == FIELD_OBJECTS


READ = {"model", "done", "done_reason", "message", "prompt_eval_count", "eval_count", "logprobs"}
TIMES = {
    "created_at",
    "total_duration",
    "load_duration",
    "prompt_eval_duration",
    "eval_duration",
}  # llmstream has its own


def test_the_client_s_fields_of_an_answer_are_known():
    assert set(ollama.ChatResponse.model_fields) == READ | TIMES
    message = set(ollama.Message.model_fields)
    assert message == {"role", "content", "thinking", "tool_calls", "images", "tool_name"}  # the last two are a user's


def test_the_efforts_are_levels_of_thinking():
    assert EFFORTS == ("none", "low", "medium", "high", "max")
