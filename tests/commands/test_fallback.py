"""Several models: the next one is asked when the one before is unavailable, on the command line, in map and serve."""

from __future__ import annotations

import asyncio
import json
import re
import signal

import pytest

import llmstream

from ..conftest import at
from ..support.loopback import CLOSE, Provider, chat_text, frame, head, reply
from ..support.mapping import echo, records_of
from .test_serve import serving

BUSY = reply("503 Busy", b"{}")
REFUSED = reply("403 Forbidden", b'{"error": {"message": "not you"}}')
EMPTY = [head(), CLOSE]
DECLINED = [
    head(),
    frame({"type": "message_start", "message": {"id": "m0", "model": "a", "usage": {"input_tokens": 3}}}),
    frame({"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 0}}),
    frame({"type": "message_stop"}),
]
TWO = ("-m", "openai/a", "-m", "anthropic/b", "--retries", "0")


def scripted(first, second=echo):
    """A provider whose OpenAI answers `first`, and whose Anthropic answers `second`."""
    answers = {True: first, False: second}

    def script(request):
        answer = answers["/chat/" in request.line]
        return answer(request) if callable(answer) else answer

    return Provider(script)


@pytest.mark.parametrize("failure", [BUSY, EMPTY])
def test_gen_asks_the_next_model_and_says_so(invoke, failure, tmp_path):
    with scripted(failure) as provider:
        done = invoke("gen", *TWO, "-u", "--stats-file", str(tmp_path / "s"), "Hi", url=provider.url)
    assert (done.stdout, done.returncode) == (b"Hi\n", 0)
    note, usage = done.stderr.decode().splitlines()
    assert note.endswith(": asking anthropic/b instead of openai/a")
    assert usage.startswith("llmstream gen: anthropic/b: 3 tokens in")
    assert json.loads((tmp_path / "s").read_text())["provider"] == "anthropic"


def test_each_model_has_its_own_retries(invoke):
    with scripted(BUSY, BUSY) as provider:
        args = ("--retries", "1", "--max-retry-wait", "0.01")
        done = invoke("gen", *TWO[:4], *args, "Hi", url=provider.url)
        assert ["/chat/" in request.line for request in provider.requests] == [True, True, False, False]
    assert done.returncode == 4


def test_no_other_model_after_the_first_output(invoke):
    with scripted([head(), chat_text("so f"), CLOSE]) as provider:
        done = invoke("gen", *TWO, "Hi", url=provider.url)
        assert len(provider.requests) == 1
    assert (done.stdout, done.returncode) == (b"so f", 5)


@pytest.mark.parametrize(("more", "status"), [((), 3), (("--fallback-on", "refusal"), 0)])
def test_a_refusal_is_a_reason_where_it_is_asked_for(invoke, more, status):
    with scripted(REFUSED) as provider:
        done = invoke("gen", *TWO, *more, "Hi", url=provider.url)
    assert (done.returncode, done.stdout) == (status, b"" if status else b"Hi\n")


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        (("gen", "--line", "Hi"), [{"index": 0, "model": "openai/a", "text": "Hi"}]),
        (("gen", "--events", "Hi"), [{"type": "start", "provider": "openai"}, {"type": "text", "text": "Hi"}]),
        (("map",), [{"index": 0, "model": "openai/a", "text": "Hi"}]),
        (("map", "--events"), [{"index": 0, "type": "start", "provider": "openai"}, {"index": 0, "text": "Hi"}]),
    ],
)
def test_an_empty_answer_that_declines_leaves_no_trace(invoke, args, lines):
    models = ("-m", "anthropic/b", "-m", "openai/a", "--fallback-on", "refusal", "-q")
    with scripted(echo, DECLINED) as provider:
        done = invoke(*args, *models, input=b"Hi" if args[0] == "map" else None, url=provider.url)
        assert len(provider.requests) == 2
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(expected.items() <= record.items() for expected, record in zip(lines, found, strict=False)), found
    assert b"refusal" not in done.stdout


def test_what_one_model_does_not_have_is_an_error_before_anything_is_sent(invoke):
    with scripted(echo) as provider:
        done = invoke("gen", "-m", "mistral/m", *TWO, "--prefill", "x", "Hi", env=at(provider.url, MISTRAL_API_KEY="k"))
        assert not provider.requests
    assert done.returncode == 2
    assert done.stderr.startswith(b"llmstream gen: openai/a: openai (chat) does not support --prefill: ")


@pytest.mark.parametrize(
    ("missing", "name"), [("replay:missing", "replay/missing"), ("missing.gguf", "local/missing.gguf")]
)
def test_a_model_that_cannot_be_asked_is_an_error_before_anything_is_sent(invoke, missing, name):
    with scripted(BUSY) as provider:
        done = invoke("gen", "-m", "openai/a", "-m", missing, "--retries", "0", "Hi", url=provider.url)
        assert (done.returncode, done.stdout, provider.requests) == (2, b"", [])
    assert done.stderr.decode().startswith(f"llmstream gen: {name}: ")


def test_a_recording_may_be_the_second_model(invoke, tmp_path):
    with scripted(BUSY) as provider:
        options = {"url": provider.url, "cwd": tmp_path}
        assert invoke("gen", "-m", "anthropic/b", "--record", "recording", "Hi", **options).returncode == 0
        done = invoke("gen", "-m", "openai/a", "-m", "replay:recording", "--retries", "0", "Hi", **options)
    assert (done.returncode, done.stdout) == (0, b"Hi\n")


@pytest.mark.parametrize("args", [("gen", "Hi"), ("gen", "Hi", "--line"), ("map",)])
def test_a_model_that_is_named_twice_is_asked_once(invoke, args):
    with scripted(BUSY) as provider:
        options = ("-m", "openai/a", "-m", "openai/a", "--retries", "0")
        done = invoke(*args, *options, input=b"Hi" if args == ("map",) else None, url=provider.url)
        assert (done.returncode, len(provider.requests)) == (4, 1)
    assert b"instead of" not in done.stderr


@pytest.mark.parametrize("models", [["openai/a", ""], [""]])
def test_an_empty_name_is_an_error_in_python_too(monkeypatch, models):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with pytest.raises(llmstream.UsageError, match="the model's name is empty"):
        llmstream.stream("Hi", model=models)


def test_one_key_does_not_go_to_two_providers(invoke):
    env = at("http://127.0.0.1:9", K="k")
    done = invoke("gen", *TWO, "--key-env", "K", "Hi", env=env)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"--key-env is the key of one provider" in done.stderr


def test_a_record_does_not_send_one_key_to_another_provider(invoke):
    with scripted(echo) as provider:
        env = at(provider.url, K="k")
        records = b"".join(b'{"prompt": "Hi", "model": "%s"}\n' % model for model in (b"openai/c", b"anthropic/b"))
        args = ("map", "-q", "--jsonl", "-m", "openai/a", "--key-env")
        done = invoke(*args, "K", input=records, env=env)
        assert [request.headers["authorization"] for request in provider.requests] == ["Bearer k"]
        answer, refusal = records_of(done.stdout)
        assert (done.returncode, answer["text"]) == (2, "Hi")
        assert refusal["error"]["message"].startswith("key_env is the key of one provider: ")
        done = invoke(*args, "", input=records, env=env)
        assert (done.returncode, len(provider.requests)) == (2, 1)
    assert done.stderr == b"llmstream map: --key-env is empty: name a variable: see llmstream map --help\n"


def test_an_alias_may_be_a_list_and_each_model_has_its_defaults(invoke, tmp_path):
    (tmp_path / "c").write_text(
        'model = "both"\n[aliases]\nboth = ["first", "anthropic/b"]\nfirst = "openai/a"\n'
        "[providers.openai.defaults]\nretries = 0\nmax-tokens = 5\n[providers.anthropic.defaults]\nmax-tokens = 7\n"
    )
    with scripted(BUSY) as provider:
        env = at(provider.url, LLMSTREAM_CONFIG=str(tmp_path / "c"))
        assert invoke("gen", "Hi", env=env).stdout == b"Hi\n"
        first, second = (request.json for request in provider.requests)
        assert (first["max_tokens"], second["max_tokens"]) == (5, 7)
        shown = invoke("gen", "--dry-run", "Hi", env=env).stdout.decode()
    assert '"model": "a"' in shown and '"model": "b"' not in shown


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ("['local', 'nobody']", "cannot tell the provider of model 'nobody'"),
        ("['local', 'x']", "the alias 'x' refers to itself"),
        ("[]", "must be a string, not an array"),
    ],
)
def test_a_wrong_list_is_an_error_with_its_line(invoke, tmp_path, alias, message):
    (tmp_path / "c").write_text(f"[aliases]\nx = {alias}\n")
    done = invoke("gen", "Hi", env=at("http://127.0.0.1:9", LLMSTREAM_CONFIG=str(tmp_path / "c")))
    assert done.returncode == 2
    assert f"{tmp_path}/c:2: aliases.x: {message}" in done.stderr.decode()


# map.


def test_map_leaves_a_model_out_that_is_down(invoke):
    with scripted(BUSY) as provider:
        done = invoke("map", *TWO, "-j", "1", input=b"x\n" * 9, url=provider.url)
        assert ["/chat/" in request.line for request in provider.requests].count(True) == 3
    assert {(record["model"], record["text"]) for record in records_of(done.stdout)} == {("anthropic/b", "x")}
    first, second, _ = done.stderr.decode().splitlines()
    assert first.endswith(": asking anthropic/b instead of openai/a")
    assert second == "llmstream map: openai/a was unavailable for 3 prompts in a row: it gets no more"
    assert done.returncode == 0


def test_map_still_sends_what_has_no_other_model(invoke):
    lines = [{"prompt": "x"}] * 4 + [{"prompt": "y", "model": "openai/a"}]
    with scripted(lambda request: echo(request) if request.prompt == "y" else BUSY) as provider:
        done = invoke(
            "map", "--jsonl", *TWO, "-j", "1", input="\n".join(map(json.dumps, lines)).encode(), url=provider.url
        )
    *_, last = records_of(done.stdout)
    assert (last["text"], "model" in last) == ("y", False)


def test_map_sends_to_the_next_while_the_first_is_paused(invoke):
    """All jobs run into the first one's refusals, and none is lost or answered twice."""
    with scripted(BUSY) as provider:
        done = invoke("map", *TWO, "-j", "8", input=b"".join(b"%d\n" % n for n in range(30)), url=provider.url)
    assert [record["text"] for record in records_of(done.stdout)] == [str(n) for n in range(30)]


def test_map_names_the_last_model_that_failed(invoke):
    with scripted(BUSY, REFUSED) as provider:
        done = invoke("map", *TWO, input=b"x\n", url=provider.url)
    (record,) = records_of(done.stdout)
    assert (record["model"], record["error"]["status"], done.returncode) == ("anthropic/b", 3, 3)


@pytest.mark.parametrize("line", [b"x\nx\n", b'{"prompt": "x", "id": 1}\n{"prompt": "x", "id": 2}\n'])
def test_the_journal_has_the_answers_of_each_model(invoke, tmp_path, line):
    args = ("map", *(["--jsonl"] if line[:1] == b"{" else []), "--retries", "0", "--journal", str(tmp_path / "j"))
    first, second, both = ("-m", "openai/a"), ("-m", "anthropic/b"), TWO[:4]
    with scripted(BUSY) as provider:

        def sent(*models):
            before = len(provider.requests)
            invoke(*args, *models, input=line, url=provider.url)
            return ["first" if "/chat/" in request.line else "second" for request in provider.requests[before:]]

        assert sorted(sent(*both)) == ["first", "first", "second", "second"]
        assert sent(*both) == []
        assert sent(*second) == []
        assert sent(*first) == ["first", "first"]  # these are not its answers


# serve and Python.


def test_serve_asks_the_next_model(tmp_path):
    with (
        scripted(BUSY) as provider,
        serving(*TWO, model=r"model openai/a, then anthropic/b", **at(provider.url)) as server,
    ):
        for body in ({"prompt": "Hi"}, {"prompt": "Hi", "model": "openai/a"}):
            answer = server.post("/chat/stream", body).read().decode()
            assert 'data: {"content": "Hi"}' in answer
            assert "asking anthropic/b instead of openai/a" in answer
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        assert json.load(server.post("/v1/chat/completions", body))["choices"][0]["message"]["content"] == "Hi"
        server.process.send_signal(signal.SIGTERM)
        lines = server.process.stderr.read().decode().splitlines()
        (note,) = [line for line in lines if "instead of" in line]  # of three requests with the same reason
        assert re.fullmatch(r"llmstream serve: .*HTTP 503.*: asking anthropic/b instead of openai/a", note)


def test_python_asks_the_next_model(monkeypatch):
    with scripted(BUSY) as provider:
        for name, value in at(provider.url).items():
            monkeypatch.setenv(name, value)
        notes: list[str] = []
        options = {"model": ["openai/a", "anthropic/b"], "retries": 0, "note": notes.append}
        with llmstream.stream("Hi", until={"chars": 1}, **options) as answer:
            assert (answer.read(), answer.met) == ("H", True)

        async def read() -> str:
            async with llmstream.astream("Hi", **options) as answer:
                return await answer.read()

        assert asyncio.run(read()) == "Hi"
        assert len(notes) == 2
        assert all(note.endswith("asking anthropic/b instead of openai/a") for note in notes)


def test_python_drops_what_a_model_has_declined(monkeypatch):
    with scripted(echo, DECLINED) as provider:
        for name, value in at(provider.url).items():
            monkeypatch.setenv(name, value)
        options = {"model": ("anthropic/b", "openai/a"), "fallback_on": "refusal"}
        events = list(llmstream.stream("Hi", **options))

        async def read() -> list:
            return [event async for event in llmstream.astream("Hi", **options)]

        for found in (events, asyncio.run(read())):
            assert [event.type for event in found] == ["start", "text", "usage", "finish"]


@pytest.mark.parametrize("model", [[], ["openai/a", 1], {"openai/a"}])
def test_python_refuses_what_are_no_names(model):
    with pytest.raises(TypeError, match="model must be"):
        llmstream.stream("Hi", model)
