"""Features of a request beyond the prompt: attachments, conversations, prefill, tools, and their errors."""

from __future__ import annotations

import json
import subprocess
import threading

import pytest

from ..conftest import LLMSTREAM, at
from ..support.invoking import invoke
from ..support.loopback import CLOSE, HOLD, Provider, chat, chat_text, frame, head, messages, reply
from ..support.option_bodies import FILES

BAD = {
    "array.json": b"[1, 2]",
    "broken.json": b'[{"role": "user"',
    "lines.ndjson": b'{"role":"user","content":"a"}\n{"role":\n',
    "list.json": b'[{"role":"user","content":["a"]}]',
    "tool-role.json": b'[{"role":"tool","content":"a"}]',
    "late-system.json": b'[{"role":"user","content":"a"},{"role":"system","content":"b"}]',
    "system.json": b'[{"role":"system","content":"b"}]',
    "empty.json": b"",
    "note.txt": b"Buy milk.\n",
    "no-tools.json": b"[]",
    "nan.json": b'[{"name": "a", "parameters": {"const": NaN}}]',
    "nameless.json": b'[{"description":"x"}]',
    "bad-name.json": b'[{"name":"a b"}]',
    "bad-schema.json": b'[{"name":"a","parameters":{"type":"objekt"}}]',
    "twice.json": b'[{"name":"a"},{"name":"a"}]',
    "latin1.json": b"\xe4",
    "schema.json": b'{"type":"strin"}',
    "zero": b"",
    "noise.bin": b"\x00\x01\x02\xff",
    "photo.png": b"PK\x03\x04\x14\x00\x00\xff",
    "song.png": FILES["river.mp3"],
    "image.txt": FILES["river.png"],
}

REFUSED = [  # options, model, what the line says
    (["--schema", "age year"], "openai/m", "the schema's field age: unknown type 'year': use one of str, string, int,"),
    (["--schema", "schema.json"], "openai/m", "the schema is wrong at $.type: 'strin' is not one of"),
    (["--schema", "none.json"], "openai/m", "cannot read none.json: No such file or directory"),
    (["--schema", ""], "openai/m", "the schema is empty"),
    (["--schema", "[]"], "openai/m", "the schema is wrong at $: not an object"),
    (["--schema", "a", "--schema-multi", "a"], "openai/m", "leave one out"),
    (["--json"], "anthropic/m", "the Messages API has no --json: describe the answer with --schema"),
    (["--json", "--prefill", "{"], "llamacpp/m", "--prefill and a schema exclude each other"),
    (["--schema", "a", "--api", "messages"], "llamacpp/m", "llamacpp ignores a schema in messages"),
    (["--schema", "a", "--api", "responses"], "local", "local ignores a schema in responses"),
    (["-a", "none.png"], "openai/m", "cannot read none.png: No such file or directory"),
    (["-a", "."], "openai/m", "cannot read .: Is a directory"),
    (["-a", "zero"], "openai/m", "the attachment zero is empty"),
    (["-a", "noise.bin"], "openai/m", "noise.bin is of an unknown type: openai (chat) takes images (PNG,"),
    (["-a", "photo.png"], "anthropic/m", "photo.png is of an unknown type: anthropic (messages) takes images (PNG,"),
    (["-a", "song.png"], "anthropic/m", "the attachment song.png is audio/mpeg: anthropic (messages) takes images"),
    (["-a", "song.png", "--api", "responses"], "openai/m", "is audio/mpeg: openai (responses) takes images (PNG,"),
    (["-a", "image.txt"], "local", "the attachment image.txt is image/png: local (chat) takes text (UTF-8)"),
    (["-a", "large"], "anthropic/m", "the attachment large is too large: more than 32 MB"),
    (["-a", "half", "-a", "half"], "anthropic/m", "too large: 40.0 MB as they are sent, and messages takes 32 MB"),
    (["-a", "-", "--messages", "-"], "openai/m", "only one option can read stdin"),
    (["-a", "-", "-a", "-"], "openai/m", "only one option can read stdin"),
    (["--messages", "none.json"], "openai/m", "cannot read none.json"),
    (["--messages", "array.json"], "openai/m", 'array.json, message 1: not an object {"role": ..., "content": text}'),
    (["--messages", "broken.json"], "openai/m", "broken.json:1: not JSON: "),
    (["--tools", "broken.json", "--events"], "openai/m", "broken.json:1: not JSON: "),
    (["--schema", "broken.json"], "openai/m", "broken.json: the schema is not JSON: "),
    (["--schema-multi", "broken.json"], "openai/m", "broken.json: the schema is not JSON: "),
    (["--messages", "lines.ndjson"], "openai/m", "lines.ndjson:2: not JSON: a value is missing at character 9"),
    (["--messages", "note.txt"], "openai/m", "note.txt:1: not JSON: a value is missing at character 1"),
    (["--messages", "list.json"], "openai/m", "list.json, message 1: not an object"),
    (["--messages", "latin1.json"], "openai/m", "latin1.json:1: invalid UTF-8"),
    (["--messages", "tool-role.json"], "openai/m", "no tool call before it has this tool_call_id"),
    (["--messages", "late-system.json"], "openai/m", "message 2: the role 'system' is not"),
    (["--messages", "system.json", "-s", "x"], "openai/m", "system.json and --system both have a system prompt"),
    (["--prefill", "x"], "openai/m", "openai (chat) does not support --prefill"),
    (["--prefill", "x"], "anthropic/claude-sonnet-5-5", "anthropic/claude-sonnet-5-5 does not support --prefill"),
    (["--prefill", "x "], "anthropic/claude-sonnet-4-5", "no --prefill that ends with a blank"),
    (["--prefill", "x", "--effort", "low"], "anthropic/claude-sonnet-4-5", "--prefill does not work while the"),
    (["--effort", "minimal"], "anthropic/m", "the Messages API has no --effort minimal: use one of none, low,"),
    (["--effort", "high", "--max-tokens", "9"], "anthropic/claude-opus-4-5", "high thinks for up to 16384 tokens"),
    (["--tools", "none.json", "--events"], "openai/m", "cannot read none.json"),
    (["--tools", "nan.json", "--events"], "openai/m", "nan.json: not JSON: JSON has no NaN"),
    (["--tools", "no-tools.json", "--events"], "openai/m", "no-tools.json has no tools"),
    (["--tools", "nameless.json", "--events"], "openai/m", "nameless.json, tool 1: the name must consist of letters"),
    (["--tools", "bad-name.json", "--events"], "openai/m", "bad-name.json, tool 1: the name"),
    (["--tools", "bad-schema.json", "--events"], "openai/m", "bad-schema.json, tool 1: the schema is wrong at $.type"),
    (["--tools", "twice.json", "--events"], "openai/m", "twice.json has the tool a twice"),
    (["--tools", "twice.json"], "openai/m", "--tools needs --events, --line, --chat or --run-tools"),
    (["--cache", "-s", "x"], "openai/m", "no --cache: only Anthropic, OpenAI and Azure have it"),
    (["--cache"], "anthropic/m", "--cache has nothing to cache"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, data in (FILES | BAD).items():
        (folder / name).write_bytes(data)
    for name, size in (("large", 32_000_001), ("half", 15_000_000)):
        with (folder / name).open("wb") as file:
            file.write(b"%PDF-")
            file.truncate(size)
    return folder


@pytest.mark.parametrize(("options", "model", "message"), REFUSED, ids=[" ".join(row[0]) + row[1] for row in REFUSED])
def test_an_invalid_feature_is_refused_before_anything_is_sent(invoke, folder, options, model, message):
    with Provider([head(), *chat("Hello")]) as provider:
        env = at(provider.url, LLAMACPP_BASE_URL=f"{provider.url}/v1")
        done = invoke("gen", "-n", "-m", model, *options, "Hi", env=env, cwd=folder)
    assert message in done.stderr.decode()
    assert (done.returncode, done.stdout, done.stderr.count(b"\n"), provider.requests) == (2, b"", 1, [])


def ask(provider: Provider, folder, *options: str, model: str = "openai/m", **more: object):
    env = at(provider.url, LLAMACPP_BASE_URL=f"{provider.url}/v1")
    return invoke(["gen", "-m", model, *options], env, cwd=folder, **more)


def body(provider: Provider) -> dict:
    return provider.requests[-1].json


# Attachments.


def test_stdin_is_the_attachment_and_not_the_prompt(folder):
    with Provider([head(), *chat("Hello")]) as provider:
        done = ask(provider, folder, "-a", "-", "What is it?", input=FILES["river.png"])
    image, text = body(provider)["messages"][0]["content"]
    assert done.returncode == 0, done.stderr
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert text == {"type": "text", "text": "What is it?"}


def test_an_attached_text_names_its_file_and_loses_its_byte_order_mark(folder):
    (folder / "marked.txt").write_bytes(b"\xef\xbb\xbfGr\xc3\xbcezi")
    with Provider([head(), *chat("Hello")]) as provider:
        ask(provider, folder, "-n", "-a", "marked.txt", "Hi")
    assert body(provider)["messages"][0]["content"][0]["text"] == "marked.txt:\n\nGrüezi"


def test_attachments_of_a_conversation_that_ends_with_the_question(folder):
    (folder / "question.json").write_text('[{"role":"user","content":"What is it?"}]')
    with Provider([head(), *messages("Hello")]) as provider:
        done = ask(provider, folder, "-n", "-a", "river.pdf", "--messages", "question.json", model="anthropic/m")
    assert done.returncode == 0, done.stderr
    document, text = body(provider)["messages"][0]["content"]
    assert (document["title"], document["source"]["media_type"]) == ("river.pdf", "application/pdf")
    assert text["text"] == "What is it?"


# Attachments by URL. The first connection is the file's, the second the model's.


def test_the_client_fetches_the_url_of_an_attachment(folder):
    file = reply("200 OK", FILES["river.pdf"], "text/html")  # whatever the server calls it
    with Provider(file, [head(), *messages("Hello")]) as provider:
        done = ask(provider, folder, "-n", "-a", f"{provider.url}/a/river.pdf?key=1", "Hi", model="anthropic/m")
    assert done.returncode == 0, done.stderr
    get, post = provider.requests
    assert get.line == "GET /a/river.pdf?key=1 HTTP/1.1"
    assert not {"x-api-key", "authorization"} & get.headers.keys()
    assert post.json["messages"][0]["content"][0]["title"] == "river.pdf"


def test_redirects_are_followed(folder):
    moved = reply("302 Found", b"moved", "text/plain", "Location: /there.txt")
    with Provider(moved, reply("200 OK", b"The Rhine.", "text/plain"), [head(), *chat("Hello")]) as provider:
        done = ask(provider, folder, "-n", "-a", f"{provider.url}/here.txt", "Hi")
    assert done.returncode == 0, done.stderr
    assert [request.line.split()[1] for request in provider.requests[:2]] == ["/here.txt", "/there.txt"]
    assert body(provider)["messages"][0]["content"][0]["text"].endswith("The Rhine.")


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        (reply("404 Not Found", b"no"), 2, "HTTP 404"),
        (reply("403 Forbidden", b"no"), 2, "HTTP 403"),
        (reply("503 Service Unavailable", b"no"), 4, "HTTP 503"),
        (reply("302 Found", b"", "text/plain", "Location: /again"), 2, "more than 5 redirects"),
        (reply("302 Found", b"", "text/plain", "Location: file:///etc/passwd"), 2, "it redirects to file:///"),
        ([head("200 OK", "image/png", "Content-Length: 99"), b"\x89PNG", CLOSE], 4, "cannot fetch"),
        ([head("200 OK", "image/png"), *[b"\x89PNG" + bytes(1 << 20)] * 60, HOLD], 2, "more than 50 MB"),
        ([CLOSE], 4, "cannot fetch"),
    ],
    ids=["404", "403", "503", "loop", "file", "short", "endless", "closed"],
)  # fmt: skip
def test_a_url_that_gives_nothing(folder, script, status, message):
    with Provider(script) as provider:
        done = ask(provider, folder, "-n", "-a", f"{provider.url}/a.png?signature=secret", "Hi")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", 1), done.stderr
    assert message in done.stderr.decode()
    assert b"secret" not in done.stderr
    assert all(request.line.startswith("GET") for request in provider.requests)


# Conversations.


@pytest.mark.parametrize("stdin", [b"", b"And now?\n"])
def test_the_prompt_may_be_left_out_after_a_question(folder, stdin):
    (folder / "question.json").write_text('[{"role":"user","content":"Hello?"}]')
    with Provider([head(), *chat("Hello")]) as provider:
        done = ask(provider, folder, "--messages", "question.json", input=stdin)
    assert done.returncode == 0, done.stderr
    assert [turn["content"] for turn in body(provider)["messages"]] == ["Hello?", "And now?"][: 1 + bool(stdin)]


def test_the_prompt_is_required_after_an_answer(invoke, folder):
    done = invoke("gen", "--messages", "messages.ndjson", "-m", "local", cwd=folder)
    assert done.returncode == 2
    assert b"does not end with a user's message: give a prompt" in done.stderr


def test_a_conversation_on_stdin(folder):
    with Provider([head(), *chat("Hello")]) as provider:
        ask(provider, folder, "--messages", "-", "And now?", input=FILES["messages.ndjson"])
    assert [turn["content"] for turn in body(provider)["messages"]] == ["Hello", "Hello.", "And now?"]


# Prefilled answers.


def test_a_prefill_is_part_of_the_answer(folder):
    with Provider([head(), *chat(" Rhine", ".")]) as provider:
        done = ask(provider, folder, "-n", "--prefill", "1. The", "Hi", model="llamacpp/m")
    assert done.stdout == b"1. The Rhine.\n"


def test_the_event_of_a_prefill_comes_between_start_and_first_text(folder):
    gate = threading.Event()
    with Provider([head(), chat_text(" Rhine"), gate, *chat(".")]) as provider:
        command = [*LLMSTREAM, "gen", "-n", "--events", "--prefill", "1. The", "-m", "llamacpp/m", "Hi"]
        env = at(provider.url, LLAMACPP_BASE_URL=f"{provider.url}/v1")
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
            events = [json.loads(process.stdout.readline()) for _ in range(3)]
            gate.set()
            rest = process.stdout.read()
    assert [event.get("text") for event in events] == [None, "1. The", " Rhine"]
    assert rest.count(b'"text"') == 2  # type and field of one event


def test_a_prefill_is_printed_though_no_text_follows(folder):
    with Provider([head(), *chat()]) as provider:
        assert ask(provider, folder, "-n", "--prefill", "Yes", "Hi", model="llamacpp/m").stdout == b"Yes\n"


def test_a_truncated_prefilled_answer_is_resumed(folder):
    with Provider([head(), chat_text(" Rhine")], [head(), *chat(" is long.")]) as provider:
        env = at(provider.url, VLLM_BASE_URL=f"{provider.url}/v1")
        done = invoke(["gen", "-n", "--resume-cut", "--prefill", "The", "-m", "vllm/m", "Hi"], env)
    assert (done.stdout, done.returncode) == (b"The Rhine is long.\n", 0), done.stderr
    first, second = (request.json["messages"] for request in provider.requests)
    assert [first[-1], second[-1]] == [{"role": "assistant", "content": text} for text in ("The", "The Rhine")]
    assert len(first) == len(second) == 2


# Tools.


def test_tool_calls_come_out_as_events(folder):
    def delta(**more: object) -> bytes:
        return frame({"id": "c", "choices": [{"index": 0, "delta": {}} | more]})

    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city":'}}
    more = {"index": 0, "function": {"arguments": '"Basel"}'}}
    answer = [
        delta(delta={"tool_calls": [call]}),
        delta(delta={"tool_calls": [more]}),
        delta(finish_reason="tool_calls"),
    ]
    with Provider([head(), *answer, frame("[DONE]")]) as provider:
        done = ask(provider, folder, "-n", "--events", "--tools", "tools.json", "Hi")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    calls = [event for event in events if event["type"] == "tool_call"]
    assert calls[0]["name"] == "weather"
    assert json.loads("".join(event["arguments"] for event in calls)) == {"city": "Basel"}
    assert (events[-1]["reason"], done.returncode) == ("tool_calls", 0)


def test_dry_run_shows_schema_and_attachment(invoke, folder):
    done = invoke("gen", "-n", "--dry-run", "--schema", "name", "-a", "river.txt", "-m", "local", "Hi", cwd=folder)
    shown = json.loads(done.stdout.partition(b"\n\n")[2])
    assert shown["response_format"]["type"] == "json_schema"
    assert len(shown["messages"][-1]["content"]) == 2
