"""Tools whose results are files: images, PDF and sound, as each provider takes them."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S
from ..support.loopback import DIALECTS, NDJSON, Provider, Request, chat, frame, head, ollama
from ..support.mapping import records_of
from ..support.sdk_types import unlike
from ..support.tools import calls, make_tools

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PDF = b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n"
FILES = {
    "chart": PNG,
    "report": PDF,
    "sound": b"RIFF\0\0\0\0WAVEfmt ",
    "junk": bytes(range(256)),
    "text": "Grüße\n".encode(),
    "latin": "Gr\xfc\xdfe aus K\xf6ln, wo der Rhein fliesst\n".encode("latin-1"),
    "tagged": b"ID3 is a format of tags.\n",
    "cut": "Gr\xfc".encode()[:-1],
}
MODELS = {"chat": "openai/m", "responses": "openai/m", "messages": "anthropic/claude-opus-5-5", "ollama": "ollama/m"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{b64(data)}"


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        (tmp_path / f"{name}.out").write_bytes(data)
    script = '#!/bin/sh\n[ $1 = fails ] && { cat chart.out; exit 3; }\nexec cat "$1.out"\n'
    return make_tools(tmp_path, (*FILES, "fails"), script)


def calling(api: str, *names: str) -> list[bytes]:
    """Makes an answer that calls tools."""
    if api == "chat":
        return calls(*((name, "{}") for name in names))
    if api == "ollama":
        each = [{"id": f"c{i}", "function": {"name": name, "arguments": {}}} for i, name in enumerate(names)]
        message = {"role": "assistant", "content": "", "tool_calls": each}
        line = {"model": "m", "message": message, "done": True, "done_reason": "stop"}
        return [head(content_type=NDJSON), json.dumps(line).encode() + b"\n"]

    def event(kind: str, **data: object) -> bytes:
        return frame({"type": kind, **data}, kind)

    if api == "responses":
        output = [
            {"type": "function_call", "id": f"f{i}", "call_id": f"c{i}", "name": name, "arguments": "{}"}
            for i, name in enumerate(names)
        ]
        whole = {"id": "r", "object": "response", "model": "m", "status": "completed", "output": output}
        return [head(), event("response.completed", response=whole)]
    blocks = [{"type": "tool_use", "id": f"c{i}", "name": name, "input": {}} for i, name in enumerate(names)]
    return [
        head(),
        event("message_start", message={"id": "m", "model": "m"}),
        *(event("content_block_start", index=i, content_block=block) for i, block in enumerate(blocks)),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 1}),
        event("message_stop"),
    ]


def answer(api: str, text: str = "Done.") -> list[bytes]:
    return [head(content_type=NDJSON), *ollama(text)] if api == "ollama" else [head(), *DIALECTS[api](text)]


def run(folder, provider: Provider, api: str, *args: str, model: str = "") -> subprocess.CompletedProcess:
    own = ["--api", api] if api in ("chat", "responses") and not model else []
    command = ["gen", "-n", "-m", model or MODELS[api], *own, "--tools", "tools", "--run-tools", "./tool", *args]
    env = at(provider.url, OLLAMA_HOST=provider.url, MISTRAL_BASE_URL=f"{provider.url}/v1", MISTRAL_API_KEY="k")
    return subprocess.run([*LLMSTREAM, *command, "Go"], capture_output=True, env=env, cwd=folder, timeout=WAIT_S)


def turns_after(folder, api: str, *names: str) -> list[dict]:
    """Returns what follows the calls in the next request, which the SDK's types describe."""
    with Provider(calling(api, *names), answer(api)) as provider:
        done = run(folder, provider, api)
    assert (done.returncode, done.stdout) == (0, b"Done.\n")
    body = provider.requests[1].json
    assert unlike(api, body) == []
    turns = body["input" if api == "responses" else "messages"]
    return turns[1 + len(names) :] if api == "responses" else turns[2:]


def test_messages_has_the_files_in_the_results(folder):
    (turn,) = turns_after(folder, "messages", "chart", "report", "text")
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64(PNG)}}
    first, second, third = turn["content"]
    assert first == {"type": "tool_result", "tool_use_id": "c0", "content": [image]}
    (document,) = second["content"]
    assert document["source"] == {"type": "base64", "media_type": "application/pdf", "data": b64(PDF)}
    assert third["content"] == "Grüße\n"


def test_responses_has_the_files_in_the_outputs(folder):
    first, second, third = turns_after(folder, "responses", "chart", "report", "text")
    image = {"type": "input_image", "detail": "auto", "image_url": url("image/png", PNG)}
    assert first == {"type": "function_call_output", "call_id": "c0", "output": [image]}
    file = {"type": "input_file", "filename": "report.pdf", "file_data": url("application/pdf", PDF)}
    assert second["output"] == [file]
    assert third["output"] == "Grüße\n"


def test_chat_has_the_files_in_a_message_behind_all_results(folder):
    *results, user = turns_after(folder, "chat", "chart", "text", "report", "sound")
    place = "The result is a file, which is in the next message of the user."
    assert [turn["role"] for turn in results] == ["tool"] * 4
    assert [turn["content"] for turn in results] == [place, "Grüße\n", place, place]
    assert user["role"] == "user"
    image, file, sound, text = user["content"]
    assert image == {"type": "image_url", "image_url": {"url": url("image/png", PNG)}}
    assert file["file"] == {"filename": "report.pdf", "file_data": url("application/pdf", PDF)}
    assert sound["input_audio"]["format"] == "wav"
    assert text["text"] == "These are the results of the calls chart (c0), report (c2), sound (c3), in this order."


def test_ollama_has_the_images_in_a_message_behind_all_results(folder):
    first, second, user = turns_after(folder, "ollama", "chart", "text")
    assert [turn["role"] for turn in (first, second, user)] == ["tool", "tool", "user"]
    assert user["images"] == [b64(PNG)]
    assert user["content"].startswith("This is the result of the call chart (c0).")


def test_mistral_gets_an_answer_between_a_result_and_its_file(folder):
    """Its servers say "Unexpected role 'user' after role 'tool'"."""
    with Provider(calling("chat", "chart"), answer("chat")) as provider:
        done = run(folder, provider, "chat", model="mistral/m")
    assert done.returncode == 0
    roles = [turn["role"] for turn in provider.requests[1].json["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


@pytest.mark.parametrize(
    ("api", "name", "result"),
    [
        ("messages", "sound", "its output is audio/wav: this model takes images (PNG, JPEG, GIF, WebP), PDF, text"),
        ("ollama", "report", "its output is application/pdf: this model takes images (PNG, JPEG, GIF, WebP), text"),
        (
            "chat",
            "junk",
            "its output is binary, of an unknown type: this model takes images (PNG, JPEG, GIF, WebP), PDF",
        ),
    ],
)
def test_a_file_that_the_model_does_not_take_is_an_error_for_it(folder, api, name, result):
    with Provider(calling(api, name), answer(api)) as provider:
        done = run(folder, provider, api)
    assert (done.returncode, done.stdout) == (0, b"Done.\n")
    assert f"error: {result}" in json.dumps(provider.requests[1].json)
    assert f"llmstream gen: the call of {name} failed: {result}" in done.stderr.decode()
    assert done.stderr.count(b"\n") == 2


def test_text_in_another_encoding_cut_or_tagged_stays_text(folder):
    latin, tagged, cut = turns_after(folder, "chat", "latin", "tagged", "cut")
    assert latin["content"] == FILES["latin"].decode("utf-8", "replace")
    assert tagged["content"] == "ID3 is a format of tags.\n"
    assert cut["content"] == "Gr\N{REPLACEMENT CHARACTER}"


def test_a_binary_output_of_a_tool_that_fails_is_left_out(folder):
    (turn,) = turns_after(folder, "chat", "fails")
    assert turn["content"] == "error: status 3"


def test_events_name_the_type_of_a_file(folder):
    with Provider(calling("chat", "chart"), answer("chat")) as provider:
        done = run(folder, provider, "chat", "--events")
    (result,) = [line for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "tool_result"]
    assert result == {"type": "tool_result", "id": "c0", "name": "chart", "content": "", "media_type": "image/png"}


def test_a_conversation_keeps_the_files(folder):
    with Provider(calling("messages", "chart"), answer("messages"), answer("messages")) as provider:
        for _ in range(2):
            assert run(folder, provider, "messages", "--chat", "talk").returncode == 0
    stored = [json.loads(line) for line in (folder / "talk").read_text().splitlines()][2]
    image = {"type": "image_url", "image_url": {"url": url("image/png", PNG)}}
    assert stored == {"role": "tool", "tool_call_id": "c0", "content": [image]}
    first, second = (provider.requests[i].json["messages"][2] for i in (1, 2))
    assert first == second
    with Provider(answer("chat")) as provider:
        assert run(folder, provider, "chat", "--chat", "talk").returncode == 0
    roles = [turn["role"] for turn in provider.requests[0].json["messages"]]
    assert roles == ["user", "assistant", "tool", "user", "assistant", "user", "assistant", "user"]


def test_map_sends_files(folder):
    def script(request: Request) -> list[bytes]:
        turns = request.json["messages"]
        if len(turns) == 1:
            return calling("chat", turns[0]["content"])
        return [head(), *chat(json.dumps(turns[-1]["content"]))]

    with Provider(script) as provider:
        command = ["map", "-m", "openai/m", "--api", "chat", "--tools", "tools", "--run-tools", "./tool"]
        options = {"input": b"chart\njunk\n", "capture_output": True, "cwd": folder, "timeout": WAIT_S}
        done = subprocess.run([*LLMSTREAM, *command], env=at(provider.url), **options)
    assert done.returncode == 0
    first, second = records_of(done.stdout)
    assert url("image/png", PNG) in first["text"]
    assert "error: its output is binary" in second["text"]
