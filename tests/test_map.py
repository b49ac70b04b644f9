"""`map` as its users run it: prompts in, lines out, whatever is asked of whom."""

from __future__ import annotations

import json
import re
import threading

import pytest

from .conftest import at, environment
from .loopback import DONE, HOLD, Provider, chat, chat_end, chat_text, head, reply
from .mapping import echo, lines, running, texts
from .net.clouds import TOKEN, entra

USAGE = {
    "input_tokens": 3,
    "output_tokens": 2,
    "cached_tokens": 0,
    "reasoning_tokens": 0,
    "cache_write_tokens": 0,
}


def mapped(run, *args, input, script=echo, env=None):
    """A run against a provider of its own, and the requests that came, in the order of their prompts."""
    with Provider(script) as provider:
        done = run("map", "-m", "openai/m", *args, input=input, env=env or at(provider.url))
    return done, sorted(provider.requests, key=lambda request: request.body)


# Prompts.


def test_a_line_is_a_prompt_and_an_answer_is_a_line(run):
    done, _ = mapped(run, input=b"a\nb\n")
    assert lines(done.stdout) == [
        {"index": 0, "text": "a", "finish": "stop", "usage": USAGE},
        {"index": 1, "text": "b", "finish": "stop", "usage": USAGE},
    ]
    assert done.returncode == 0
    assert re.fullmatch(
        rb"llmstream map: 2 prompts: 2 done, 0 failed; 6 tokens in, 4 out, [\d,]+ tokens/s; \d\.\d s\n", done.stderr
    )


@pytest.mark.parametrize(
    ("args", "stdin", "prompts"),
    [
        ([], b"a\r\n\r\n  \nb", ["a", "b"]),
        ([], b"\xef\xbb\xbfa\n", ["a"]),
        ([], "ä \U0001f600\n".encode(), ["ä \U0001f600"]),
        ([], b"", []),
        ([], b"\n\n", []),
        (["-0"], b"a\nb\0c\0", ["a\nb", "c"]),
        (["-0"], b"a\0\0b", ["a", "b"]),
        (["Say {}!"], b"a\nb\n", ["Say a!", "Say b!"]),
        (["Say:"], b"a\n", ["Say:\n\na"]),
        (["{} and \\{} and {}"], b"a\n", ["a and {} and a"]),
        (["{}"], b"{}\n", ["{}"]),
        (["--jsonl"], b'{"prompt": "a"}\n{"prompt":"b","more":[1]}\n', ["a", "b"]),
        (["--jsonl", "{a.b} {n}"], b'{"a": {"b": "x"}, "n": 1.50}\n', ["x 1.5"]),
        (["--jsonl", "{} in {lang}"], b'{"prompt": "a", "lang": "C"}\n', ["a in C"]),
    ],
)
def test_prompts(run, args, stdin, prompts):
    done, requests = mapped(run, "-q", *args, input=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert texts(done.stdout) == prompts
    assert [record["index"] for record in lines(done.stdout)] == list(range(len(prompts)))
    assert len(requests) == len(prompts)


def test_what_is_not_utf8_is_told_once(run):
    done, _ = mapped(run, "-q", input=b"a\xff\nb\n\xfe\n")
    assert texts(done.stdout) == ["a\ufffd", "b", "\ufffd"]
    assert done.stderr == b"llmstream map: 2 prompts were not UTF-8: what was not is U+FFFD\n"
    assert done.returncode == 0


def test_a_line_of_jsonl_overrides_the_options(run):
    row = {
        "prompt": "p",
        "id": "x1",
        "system": "row",
        "model": "openai/other",
        "max_tokens": 7,
        "temperature": 0.25,
        "seed": 3,
        "stop": "S",
        "options": {"user": "u", "top_p": 0.5},
        "schema": "name, age int",
    }
    args = ["--jsonl", "-s", "all", "--max-tokens", "1", "-t", "1", "-o", "n=1", "-o", 'user="all"']
    done, (first, second) = mapped(run, *args, input=json.dumps(row).encode() + b'\n{"prompt": "q", "id": 2}\n')
    by_prompt = {request.prompt: request.json for request in (first, second)}
    plain, asked = by_prompt["q"], by_prompt["p"]
    assert [record["id"] for record in lines(done.stdout)] == ["x1", 2]
    assert asked.pop("response_format")["json_schema"]["schema"]["required"] == ["name", "age"]
    assert asked == {
        "model": "other",
        "messages": [{"role": "system", "content": "row"}, {"role": "user", "content": "p"}],
        "max_tokens": 7,
        "temperature": 0.25,
        "seed": 3,
        "stop": ["S"],
        "n": 1,
        "user": "u",
        "top_p": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert plain == {
        "model": "m",
        "messages": [{"role": "system", "content": "all"}, {"role": "user", "content": "q"}],
        "max_tokens": 1,
        "temperature": 1.0,
        "n": 1,
        "user": "all",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_line_of_jsonl_may_hold_a_conversation(run):
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    rows = [{"messages": talk}, {"messages": talk[:2], "prompt": "d"}, {"prompt": "e", "json": True, "effort": "low"}]
    done, requests = mapped(run, "-q", "--jsonl", input="\n".join(map(json.dumps, rows)).encode())
    assert texts(done.stdout) == ["c", "d", "e"]
    sent = {request.prompt: request.json for request in requests}
    assert sent["c"]["messages"] == talk
    assert sent["d"]["messages"] == [*talk[:2], {"role": "user", "content": "d"}]
    assert (sent["e"]["response_format"], sent["e"]["reasoning_effort"]) == ({"type": "json_object"}, "low")


def test_a_row_that_is_wrong_is_its_own_fault(run):
    stdin = b'{"prompt": "a"}\nnonsense\n\n{"prompt": 1, "id": "x"}\n{"prompt": "b", "model": "no/m"}\n{"id": 9}\n'
    done, requests = mapped(run, "-q", "--jsonl", input=stdin)
    records = lines(done.stdout)
    assert [record.get("text") for record in records] == ["a", None, None, None, None]
    assert [record.get("id") for record in records] == [None, None, "x", None, 9]
    told = [record["error"]["message"] for record in records[1:]]
    assert told[0] == "line 2: this is not JSON: Expecting value at character 1"
    assert told[1] == "line 4: prompt is 1: a string is wanted"
    assert told[2].startswith("unknown provider 'no'")
    assert told[3].startswith("line 6: there is no field prompt: ")
    assert {record["error"]["status"] for record in records[1:]} == {2}
    assert (done.returncode, len(requests)) == (2, 1)


# What is asked, by options.


@pytest.mark.parametrize(
    ("args", "body"),
    [
        (["--json"], {"response_format": {"type": "json_object"}}),
        (["--effort", "low"], {"reasoning_effort": "low"}),
        (["--stop", "X", "--seed", "1"], {"stop": ["X"], "seed": 1}),
        (["-o", "top_p=0.5"], {"top_p": 0.5}),
    ],
)
def test_options_are_in_every_body(run, args, body):
    _, requests = mapped(run, *args, input=b"a\nb\n")
    assert [request.prompt for request in requests] == ["a", "b"]
    assert all(request.json.items() >= body.items() for request in requests)


def test_a_schema_and_an_attachment_are_in_every_body(run, tmp_path):
    (tmp_path / "note.txt").write_text("a note")
    _, requests = mapped(run, "--schema", "name", "-a", str(tmp_path / "note.txt"), input=b"a\nb\n")
    assert len(requests) == 2
    for request in requests:
        assert request.json["response_format"]["json_schema"]["schema"]["required"] == ["name"]
        assert "a note" in json.dumps(request.json["messages"])


def test_tool_calls_are_in_the_line(run):
    call = {"index": 0, "id": "t1", "function": {"name": "f", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ": 1}"}}
    pieces = [
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [c]}}]}).encode() + b"\n\n"
        for c in (call, more)
    ]
    with Provider([head(), *pieces, chat_end("tool_calls"), DONE]) as provider:
        done = run("map", "-m", "openai/m", input=b"a\n", url=provider.url)
    (record,) = lines(done.stdout)
    assert record["tool_calls"] == [{"id": "t1", "name": "f", "arguments": '{"a": 1}'}]
    assert record["finish"] == "tool_calls"


# Answers.


def test_a_prompt_that_fails_stops_none_and_the_status_is_the_worst(run):
    def script(request):
        if request.prompt == "refused":
            return reply("400 No", b'{"error": {"message": "bad"}}')
        if request.prompt == "down":
            return reply("500 Oops", b"")
        if request.prompt == "cut":
            return [head(), chat_text("so f")]
        if request.prompt == "long":
            return [head(), chat_text("long"), chat_end("length"), DONE]
        return echo(request)

    def records(*prompts):
        done, _ = mapped(run, "-q", "--retries", "0", input="\n".join(prompts).encode(), script=script)
        return done.returncode, lines(done.stdout)

    status, (fine, refused) = records("fine", "refused")
    assert (status, fine["text"]) == (3, "fine")
    assert refused == {"index": 1, "error": {"status": 3, "message": "the provider says: bad (HTTP 400)"}}
    assert records("down", "refused", "fine")[0] == 4
    status, (cut, long, fine) = records("cut", "long", "fine")
    assert status == 5
    assert cut["text"] == "so f"
    assert "finish" not in cut
    assert cut["error"]["status"] == 5
    assert cut["error"]["message"].endswith("the answer breaks off after 4 characters")
    assert (long["text"], long["finish"], long["error"]["status"]) == ("long", "length", 5)
    assert fine["text"] == "fine"
    assert mapped(run, "--max-tokens", "9", input=b"long", script=script)[0].returncode == 0


def test_events_of_all_streams_have_their_index(run):
    done, _ = mapped(run, "--events", "-q", "--retries", "0", input=b"a\nb\n")
    assert done.returncode == 0
    events = lines(done.stdout)
    for index, text in enumerate("ab"):
        mine = [{k: v for k, v in event.items() if k != "index"} for event in events if event["index"] == index]
        assert mine == [
            {"type": "start", "provider": "openai", "model": "m", "id": "c1"},
            {"type": "text", "text": text},
            {"type": "usage", **USAGE},
            {"type": "finish", "reason": "stop", "provider_reason": "stop"},
        ]


def test_events_come_as_they_arrive_and_interleave():
    words = {"a": threading.Event(), "b": threading.Event()}

    def script(request):
        return [head(), chat_text("1"), words[request.prompt], *chat("2")]

    with Provider(script) as provider, running("--events", "-q", url=provider.url) as run:
        run.give(b"a\nb\n")
        first = [run.line() for _ in range(4)]
        assert sorted((event["index"], event["type"]) for event in first) == [
            (0, "start"), (0, "text"), (1, "start"), (1, "text"),
        ]  # fmt: skip
        words["b"].set()
        assert [run.line()["index"] for _ in range(3)] == [1, 1, 1]
        words["a"].set()
        run.end()
        assert {event["index"] for event in lines(run.rest())} == {0}


def test_an_error_is_an_event(run):
    done, _ = mapped(run, "--events", "-q", input=b"a", script=reply("400 No", b'{"error": {"message": "bad"}}'))
    error = {"index": 0, "type": "error", "status": 3, "message": "the provider says: bad (HTTP 400)"}
    assert lines(done.stdout) == [error]
    assert done.returncode == 3


def test_reasoning_is_in_no_line(run):
    thought = b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": "hmm"}}]}\n\n'
    done, _ = mapped(run, "-q", input=b"a", script=[head(), thought, *chat("a")])
    assert texts(done.stdout) == ["a"]
    assert b"hmm" not in done.stdout + done.stderr


def test_a_condition_ends_each_answer_and_its_connection():
    with Provider([head(), chat_text("one. two"), HOLD]) as provider:  # which would go on for ever
        with running("--until-regex", r"\.", "-q", url=provider.url) as run:
            run.give(b"a\nb\nc\n")
            run.end()
            records = lines(run.rest())
            assert run.process.wait(20) == 0
        assert provider.left.wait(20)
        assert [(record["text"], record["finish"]) for record in records] == [("one.", "cancelled")] * 3


def test_a_condition_that_is_not_met_is_status_1(run):
    done, _ = mapped(run, "-q", "--until-fixed", "b", input=b"abc\nxyz\n")
    met, missed = lines(done.stdout)
    assert (met["text"], missed["text"], missed["error"]["status"]) == ("ab", "xyz", 1)
    assert done.returncode == 1


def test_a_cut_answer_goes_on_where_the_provider_can(run):
    def script(request):
        last = request.json["messages"][-1]
        return [head(), *chat("lo")] if last["role"] == "assistant" else [head(), chat_text("Hel")]

    with Provider(script) as provider:
        env = environment(VLLM_BASE_URL=f"{provider.url}/v1")
        done = run("map", "-q", "--continue", "-m", "vllm/m", input=b"a\nb\n", env=env)
    assert texts(done.stdout) == ["Hello", "Hello"]
    assert (done.returncode, done.stderr) == (0, b"")


def test_usage_tells_times_and_retries(run):
    failed = iter([True])

    def script(request):
        return reply("500 Oops", b"") if next(failed, False) else echo(request)

    done, _ = mapped(run, "-u", input=b"a\n", script=script)
    summary, times = done.stderr.decode().splitlines()
    assert summary.startswith("llmstream map: 1 prompt: 1 done, 0 failed; 3 tokens in, 2 out, ")
    assert re.fullmatch(r"llmstream map: first after \S+ s \(median\), \S+ s \(99 %\);.* 1 retry", times)


# Whom.


def test_many_providers_and_dialects_in_one_run(run):
    models = ["openai/m", "anthropic/m", "ollama/m"]
    rows = [{"prompt": model, "model": model} for model in models] * 3
    with Provider(echo) as provider:
        env = at(provider.url, OLLAMA_HOST=provider.url)
        done = run("map", "-q", "--jsonl", input="\n".join(map(json.dumps, rows)).encode(), env=env)
        paths = {request.line.split()[1] for request in provider.requests}
    assert texts(done.stdout) == models * 3
    assert paths == {"/v1/chat/completions", "/v1/messages"}
    done, (request,) = mapped(run, "-q", "--api", "responses", input=b"a")
    assert (texts(done.stdout), request.line) == (["a"], "POST /v1/responses HTTP/1.1")


def test_a_recording_plays_for_each_prompt(run, tmp_path):
    record = str(tmp_path / "a.rec")
    with Provider([head(), *chat("Hel", "lo")]) as provider:
        run("gen", "-m", "openai/m", "--record", record, "Hi", url=provider.url)
    done = run("map", "-q", "-m", f"replay:{record}", input=b"a\nb\nc\n")
    assert texts(done.stdout) == ["Hello"] * 3
    assert done.returncode == 0


def test_a_cloud_through_its_sdk(run):
    with Provider([head(), *chat("Hello")]) as provider:
        done = run("map", "-q", "-m", "azure/m", "--api", "chat", input=b"a\nb\nc\n", env=entra(provider.url))
        assert [request.headers["authorization"] for request in provider.requests] == [f"Bearer {TOKEN}"] * 3
    assert texts(done.stdout) == ["Hello"] * 3
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_embedded_model_answers_many(run):
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    prompts = b"Name three rivers.\nName a colour.\nName a town.\n"
    done = run("map", "-m", "local", "-j", "3", "--max-tokens", "5", "-t", "0", input=prompts)
    records = lines(done.stdout)
    assert [(record["index"], record["usage"]["output_tokens"]) for record in records] == [(0, 5), (1, 5), (2, 5)]
    assert all(record["text"] for record in records)
    assert done.returncode == 0, done.stderr


# Bad usage.


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{name}"], "a line has no field name: --jsonl reads objects, and {} is the line"),
        (["--jsonl", "-0"], "--jsonl has an object a line: leave out -0"),
        (["--events", "--journal", "j"], "--journal and --events do not go together"),
        (["-j", "0"], "0 is not in the range x>=1"),
        (["--rpm", "0"], "0.0 is not in the range x>0"),
        (["--rpm", "nan"], "nan is no number of requests or tokens"),
        (["--tpm", "inf"], "inf is no number of requests or tokens"),
        (["--window", "x"], "'x' is not a valid integer range"),
        (["--journal", "/"], "cannot write /: Is a directory"),
        (["--journal", "/dev/null"], "the journal /dev/null is not a regular file: name one"),
        (["--messages", "-"], "stdin has the prompts: no option can read it"),
        (["-m", "opnai/m"], "unknown provider 'opnai'"),
        (["-m", "groq/m"], "no key for groq: set GROQ_API_KEY"),
        (["--until-regex", "("], "'(' is no regular expression: missing )"),
        (["--schema", "{"], "the schema is not JSON"),
        (["--tools", "/no/such"], "cannot read /no/such"),
        (["a", "b"], "Got unexpected extra argument (b)"),
        (["--jbos", "2"], "No such option '--jbos'"),
    ],
)
def test_bad_usage_is_one_clear_line_and_status_2(run, tmp_path, args, message):
    with Provider(echo) as provider:
        done = run("map", "-m", "openai/m", *args, input=b"a\n", url=provider.url, cwd=tmp_path)
        assert provider.requests == []
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
