"""`gen` against a provider on loopback: answers, failures, time-outs, the prompt, the request, usage errors."""

from __future__ import annotations

import json
import os
import re
import socket
import threading

import pytest

from llmstream.commands import COMMANDS

from ..conftest import at, environment
from ..support.limits import WAIT_S
from ..support.loopback import DIALECTS, DONE, HOLD, RESET, Provider, chat, chat_end, chat_text, frame, head, reply

EMPTY_REPLY = (
    "openai at HOST: the server closed the connection without an answer (curl: Empty reply from server): "
    "does the server speak TLS at this port: https://?"
)
MODELS = {"chat": "openai/m", "responses": "openai/m", "messages": "anthropic/m"}


def sent(provider: Provider) -> dict:
    """Returns the body of the only request."""
    [request] = provider.requests
    return request.json


# Answers.


@pytest.mark.parametrize("api", DIALECTS)
def test_streams_text_from_each_dialect(run, api):
    with Provider([head(), *DIALECTS[api]("Hello, ", "wörld")]) as provider:
        done = run("gen", "--api", api, "-m", MODELS[api], "Hi", url=provider.url)
    assert (done.stdout, done.stderr, done.returncode) == ("Hello, wörld\n".encode(), b"", 0)


@pytest.mark.parametrize(("api", "missing"), [("chat", 1), ("responses", 1), ("messages", 2)])
def test_a_truncated_stream_is_status_5_and_keeps_its_text(run, api, missing):
    with Provider([head(), *DIALECTS[api]("Hello, ", "wörld")[:-missing]]) as provider:
        done = run("gen", "--api", api, "-m", MODELS[api], "Hi", url=provider.url)
    assert (done.stdout, done.returncode) == ("Hello, wörld".encode(), 5)
    cut = b"the stream ended before its end mark: the answer breaks off after 12 characters"
    assert done.stderr == b"llmstream gen: " + cut + b"\n"


def test_each_delta_is_written_before_the_next_is_sent():
    import subprocess

    from ..conftest import LLMSTREAM

    gate = threading.Event()
    with Provider([head(), chat_text("first"), gate, *chat("second")]) as provider:
        command = [*LLMSTREAM, "gen", "-n", "-m", "openai/m", "Hi"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=at(provider.url)) as process:
            assert process.stdout.read(5) == b"first"  # though the provider waits
            gate.set()
            assert process.stdout.read() == b"second\n"


def test_the_end_mark_ends_the_run_though_the_connection_stays_open(run):
    with Provider([head(), *chat("Hello"), HOLD]) as provider:
        assert run("gen", "-m", "openai/m", "Hi", url=provider.url).stdout == b"Hello\n"


def test_final_newline(invoke):
    for text, options, expected in [
        ("a\n", [], b"a\n"),
        ("a", [], b"a\n"),
        ("a", ["--no-newline"], b"a"),
        ("", [], b""),
    ]:
        with Provider([head(), *chat(text)]) as provider:
            assert invoke("gen", *options, "-m", "openai/m", "Hi", url=provider.url).stdout == expected


NO_DETAILS = {"cached_tokens": 0, "reasoning_tokens": 0, "cache_write_tokens": 0}


def test_events(invoke):
    with Provider([head(), *chat("a", "b"), HOLD]) as provider:
        done = invoke("gen", "--events", "-m", "openai/m", "Hi", url=provider.url)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"type": "start", "provider": "openai", "model": "m", "id": "c1"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
        {"type": "usage", "input_tokens": 3, "output_tokens": 2, **NO_DETAILS},
        {"type": "finish", "reason": "stop", "provider_reason": "stop"},
    ]


def test_events_of_a_failure_end_with_the_error(invoke):
    with Provider([head(), chat_text("a"), frame({"error": {"message": "busy", "type": "overloaded"}})]) as provider:
        done = invoke("gen", "--events", "--timing", "-m", "openai/m", "Hi", url=provider.url)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    times = [event.pop("t") for event in events]
    host = provider.url.removeprefix("http://")
    assert events[1:] == [
        {"type": "text", "text": "a"},
        {
            "type": "error",
            "status": 5,
            "message": f"openai at {host} says: busy (overloaded): the answer breaks off after 1 character",
        },
    ]
    assert times == sorted(times)
    assert times[0] > 0
    assert done.returncode == 5


def test_reasoning_goes_to_stderr_with_its_option_and_never_to_stdout(invoke):
    thought = frame({"choices": [{"index": 0, "delta": {"reasoning_content": "hmm"}}]})
    with Provider([head(), thought, *chat("a")]) as provider:
        assert invoke("gen", "-m", "openai/m", "Hi", url=provider.url).stderr == b""
    with Provider([head(), thought, *chat("a")]) as provider:
        done = invoke("gen", "--reasoning", "-m", "openai/m", "Hi", url=provider.url)
    assert (done.stdout, done.stderr) == (b"a\n", b"hmm\n")


def test_usage_and_stats(invoke, tmp_path):
    stats = tmp_path / "stats"
    with Provider([head(), *chat("a")]) as provider:
        done = invoke("gen", "-u", "--stats-file", str(stats), "-m", "openai/m", "Hi", url=provider.url)
    assert done.stderr.startswith(b"llmstream gen: openai/m: 3 tokens in, 2 out, first after 0.")
    assert done.stderr.endswith(b" s in all, stop\n")
    record = json.loads(stats.read_text())
    assert {k: record[k] for k in ("model", "input_tokens", "output_tokens", "reason", "status", "characters")} == {
        "model": "m", "input_tokens": 3, "output_tokens": 2, "reason": "stop", "status": 0, "characters": 1,
    }  # fmt: skip


# What an answer comes to.


@pytest.mark.parametrize(
    ("reason", "options", "status"),
    [
        ("stop", [], 0),
        ("tool_calls", [], 0),
        ("length", [], 5),
        ("length", ["--max-tokens", "5"], 0),
        ("length", ["-o", "max_tokens=5"], 0),
        ("content_filter", [], 3),
        ("something_new", [], 5),
    ],
)
def test_finish_reasons(invoke, reason, options, status):
    with Provider([head(), chat_text("a"), chat_end(reason), DONE]) as provider:
        done = invoke("gen", *options, "-m", "openai/m", "Hi", url=provider.url)
    assert (done.stdout, done.returncode) == (b"a\n", status)
    assert done.stderr.count(b"\n") == (status != 0)


CUT_AT = "llmstream gen: cut at the provider's length limit (finish reason length)"


@pytest.mark.parametrize("shape", [["--json"], ["--schema", "name"], ["--schema-multi", "name"]])
@pytest.mark.parametrize(
    ("text", "options", "advice"),
    [
        ('{"name":', ["--max-tokens", "5"], "the JSON is not whole: raise --max-tokens"),
        ('{"name":', ["-o", "max_tokens=5"], "the JSON is not whole: raise --max-tokens"),
        ("", ["--max-tokens", "5"], "the JSON is not whole: raise --max-tokens"),
        ("1", ["--max-tokens", "5"], "the JSON is not whole: raise --max-tokens"),  # of 12, perhaps
        ('{"name":', [], "the JSON is not whole"),
        ('{"name": "a"} \n\n', ["--max-tokens", "5"], ""),
        ('{"name": "a"}', [], "with --max-tokens N such a cut counts as whole"),
    ],
)
def test_a_limit_that_cuts_json_makes_no_whole_answer(invoke, tmp_path, shape, text, options, advice):
    (tmp_path / "out").write_text("old")
    args = [*shape, *options, "-m", "openai/m", "--api", "chat", "Hi"]
    with Provider(lambda request: [head(), *([chat_text(text)] if text else []), chat_end("length"), DONE]) as provider:
        done = invoke("gen", *args, url=provider.url)
        written = invoke("gen", *args, "-O", str(tmp_path / "out"), url=provider.url)
        line = invoke("gen", *args, "--line", url=provider.url)
        record = invoke("map", "-q", *args[:-1], url=provider.url, input=b"Hi\n")
    status = 5 if advice else 0
    assert [each.returncode for each in (done, written, line, record)] == [status] * 4
    assert done.stdout.decode().strip() == text.strip()
    assert done.stderr.decode() == (f"{CUT_AT}: {advice}\n" if advice else "")
    assert (tmp_path / "out").read_text() == ("old" if advice else done.stdout.decode())
    assert json.loads(line.stdout) == {k: v for k, v in json.loads(record.stdout).items() if k != "line"}
    assert json.loads(record.stdout).get("error", {}).get("status", 0) == status


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        (reply("401 Unauthorized", b'{"error": {"message": "bad key"}}'), 3, "openai at HOST says: bad key (HTTP 401)"),
        (reply("500 Oops", b"<html>", "text/html"), 4, "URL answered HTTP 500 (Internal Server Error)"),
        (
            reply("401 No", b"no", "text/plain"),
            3,
            "URL answered HTTP 401 (Unauthorized): is the key in OPENAI_API_KEY valid for this server?",
        ),
        (
            reply("429 Slow down", b'{"error": {"message": "slow", "type": "rate_limit"}}'),
            4,
            "openai at HOST says: slow (HTTP 429)",
        ),
        (
            reply("429 Pay", b'{"error": {"message": "pay", "code": "insufficient_quota"}}'),
            3,
            "openai at HOST says: pay (HTTP 429)",
        ),
        (
            reply("404 Not Found", b"<html>", "text/html"),
            3,
            "URL was not found (HTTP 404): does the base URL lack /v1?",
        ),
        (
            reply("302 Found", b"", "text/html", "Location: https://login.example/"),
            3,
            "URL redirects to https://login.example/ (HTTP 302): set the base URL to where the API is",
        ),
        (
            reply("307 Elsewhere", b"", "text/html", "Location: http://other.example/v1"),
            3,
            "URL redirects to http://other.example/v1 (HTTP 307): set the base URL to where the API is",
        ),
        (
            reply("200 OK", b"<html>", "text/html"),
            5,
            "URL answered text/html, not an event stream: is the base URL that of an API?",
        ),
        (reply("200 OK", b'{"error": "Unexpected endpoint"}'), 3,
         "openai at HOST says: Unexpected endpoint"),
        ([head()], 5, "the stream ended before its end mark: no output came"),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
            5,
            "URL answered no content type, not an event stream: is the base URL that of an API?",
        ),
        ([], 4,
         EMPTY_REPLY),
    ],
)  # fmt: skip
def test_refusals_and_failures(invoke, script, status, message):
    with Provider(script) as provider:
        done = invoke("gen", "--retries", "0", "-m", "openai/m", "Hi", url=provider.url)
        assert len(provider.requests) == 1
    expected = f"llmstream gen: {message}\n".replace("URL ", f"{provider.url}/v1/chat/completions ", 1)
    expected = expected.replace("HOST", provider.url.removeprefix("http://"))
    assert (done.stdout, done.stderr.decode(), done.returncode) == (b"", expected, status)


NOT_FOUND = b'{"detail": "Not Found"}'
NEEDS_V1 = ": does the address need /v1 at its end?"


@pytest.mark.parametrize(
    ("path", "body", "end"),
    [
        ("", NOT_FOUND, NEEDS_V1),
        ("/", NOT_FOUND, NEEDS_V1),
        ("/v1", NOT_FOUND, ""),
        ("/openai", NOT_FOUND, ""),
        ("", b'{"error": {"message": "there is no model m"}}', ""),
    ],
)
def test_a_404_asks_for_the_path_that_an_address_of_one_s_own_lacks(invoke, path, body, end):
    with Provider(lambda request: reply("404 Not Found", body)) as provider:
        env = environment(OPENAI_API_KEY="k", OPENAI_BASE_URL=provider.url + path)
        for args in (["gen", "-m", "openai/m", "Hi"], ["models", "openai"]):
            done = invoke(*args, env=env)
            assert done.stderr.decode().endswith(f" (HTTP 404){end}\n")
            assert done.returncode == 3
        done = invoke("map", "-q", "-m", "openai/m", env=env, input=b"Hi\n")
        assert json.loads(done.stdout)["error"]["message"].endswith(f" (HTTP 404){end}")


@pytest.mark.parametrize(
    ("model", "env", "message"),
    [
        ("gemini/m", {"GOOGLE_API_KEY": "g"}, "is the key in GOOGLE_API_KEY valid for this server?"),
        ("gemini/m", {}, "no key was sent: set GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("vllm/m", {}, "is the key valid for this server?"),
    ],
)
def test_a_401_without_a_message_names_the_variable_of_the_key(invoke, model, env, message):
    with Provider(reply("401 No", b"", "text/plain")) as provider:
        urls = {"GEMINI_BASE_URL": f"{provider.url}/v1", "VLLM_BASE_URL": f"{provider.url}/v1"}
        done = invoke("gen", "-n", "-m", model, "Hi", env=environment(**urls, **env))
    assert done.returncode == 3
    assert done.stderr.decode().strip().endswith(f"HTTP 401 (Unauthorized): {message}")


def test_status_204_is_not_retried(invoke):
    with Provider([b"HTTP/1.1 204 No Content\r\n\r\n"]) as provider:
        done = invoke("gen", "-m", "openai/m", "Hi", url=provider.url)
        assert len(provider.requests) == 1
    message = "answered HTTP 204 (No Content), not 200: is the base URL that of an API?"
    assert done.stderr.decode() == f"llmstream gen: {provider.url}/v1/chat/completions {message}\n"
    assert (done.stdout, done.returncode) == (b"", 5)


def test_an_answer_that_was_not_streamed(invoke):
    body = b'{"choices": [{"index": 0, "message": {"content": "whole"}, "finish_reason": "stop"}]}'
    with Provider(reply("200 OK", body)) as provider:
        assert invoke("gen", "-m", "openai/m", "Hi", url=provider.url).stdout == b"whole\n"


def test_a_redirect_within_the_origin_is_followed_as_a_post(invoke):
    moved = reply("308 Moved", b"", "text/html", "Location: /v2/chat")
    with Provider(moved, [head(), *chat("Hello")]) as provider:
        assert invoke("gen", "-m", "openai/m", "Hi", url=provider.url).stdout == b"Hello\n"
    assert [request.line for request in provider.requests] == [
        "POST /v1/chat/completions HTTP/1.1",
        "POST /v2/chat HTTP/1.1",
    ]
    assert provider.requests[0].body == provider.requests[1].body


def test_loopback_goes_through_no_proxy(invoke):
    with Provider([head(), *chat("Hello")]) as provider:
        env = at(provider.url, http_proxy="http://127.0.0.1:9", ALL_PROXY="http://127.0.0.1:9")
        assert invoke("gen", "-m", "openai/m", "Hi", env=env).stdout == b"Hello\n"


@pytest.mark.parametrize("host", ["llm.example", "localhost.example", "127.0.0.1.example"])
def test_other_hosts_go_through_the_proxy(invoke, host):
    with Provider([head(), *chat("Hello")]) as proxy:
        env = at(f"http://{host}", http_proxy=proxy.url)
        assert invoke("gen", "-m", "openai/m", "Hi", env=env).stdout == b"Hello\n"
    assert proxy.requests[0].line == f"POST http://{host}/v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize("excepted", ["*", "invalid", "other.example, .invalid"])
def test_hosts_in_no_proxy_go_through_no_proxy(invoke, excepted):
    with Provider([head(), *chat("Hello")]) as proxy:
        env = at("http://llm.invalid", http_proxy=proxy.url, no_proxy=excepted)
        done = invoke("gen", "-m", "openai/m", "Hi", env=env)
    assert (done.returncode, proxy.requests) == (4, [])
    assert b"cannot find the host llm.invalid" in done.stderr


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        (
            reply("407 Who are you", b"<html>", "text/html"),
            3,
            "the proxy requires a user name and a password (HTTP 407)",
        ),
        ([head(), chat_text("Hello"), RESET], 5, "the answer breaks off after 5 characters"),
        ([], 4, "Empty reply from server"),
    ],
)
def test_a_proxy_that_refuses_or_dies(run, script, status, message):
    with Provider(script) as proxy:
        env = at("http://llm.example", http_proxy=proxy.url)
        done = run("gen", "--retries=0", "-m", "openai/m", "Hi", env=env)
    assert (done.returncode, done.stderr.count(b"\n")) == (status, 1)
    assert message in done.stderr.decode()


# Time-outs. The provider is silent, so each can only end by the clock that the test names.


@pytest.mark.parametrize(
    ("script", "option", "status", "message"),
    [
        ([HOLD], "--first-token-timeout", 4, "no data for 0.2 s (--first-token-timeout)"),
        (
            [head(), chat_text("a"), b": keep-alive\n\n", HOLD],
            "--stall-timeout",
            5,
            "no data for 0.2 s (--stall-timeout): the answer breaks off after 1 character",
        ),
        (
            [head(), chat_text("a"), HOLD],
            "--timeout",
            5,
            "not complete within 0.2 s (--timeout): the answer breaks off after 1 character",
        ),
        ([HOLD], "--timeout", 4, "not complete within 0.2 s (--timeout)"),
        ([head(), *[b": busy\n\n" * 8192] * 20_000], "--timeout", 4, "not complete within 0.2 s (--timeout)"),
    ],
)
def test_time_outs(run, script, option, status, message):
    with Provider(script) as provider:
        done = run("gen", option, "0.2", "-m", "openai/m", "Hi", url=provider.url)
        assert provider.client_left.wait(WAIT_S)
    assert (done.stderr.decode(), done.returncode) == (f"llmstream gen: {message}\n", status)


def test_after_a_finish_reason_the_end_mark_is_awaited_for_two_seconds(run):
    with Provider([head(), chat_text("a"), chat_end(usage=False), HOLD]) as provider:
        done = run("gen", "--stall-timeout", "0", "-m", "openai/m", "Hi", url=provider.url)
    assert (done.stdout, done.returncode) == (b"a\n", 0)


# The prompt.


@pytest.mark.parametrize(
    ("operands", "stdin", "prompt"),
    [
        (["a", "b"], None, "a b"),
        ([], b"a\nb\n", "a\nb"),
        ([], b"a\n\n", "a\n"),
        ([], b"a\r\n", "a"),
        ([], "\ufeffä".encode(), "ä"),
        (["ask"], b"data\n", "ask\n\ndata"),
        (["ask"], b"", "ask"),
        (["-n", "ask"], b"data", "ask"),
        (["--", "-x"], None, "-x"),
    ],
)
def test_prompt(invoke, operands, stdin, prompt):
    with Provider([head(), *chat("ok")]) as provider:
        done = invoke("gen", "-m", "openai/m", *operands, url=provider.url, input=stdin)
        assert done.returncode == 0, done.stderr
        assert sent(provider)["messages"] == [{"role": "user", "content": prompt}]


def test_prompt_that_is_not_utf8(invoke):
    with Provider([head(), *chat("ok")]) as provider:
        done = invoke("gen", "-m", "openai/m", url=provider.url, input=b"a\xffb\x00")
        assert sent(provider)["messages"][0]["content"] == "a\ufffdb\x00"
    assert done.stderr == b"llmstream gen: the prompt has invalid UTF-8 at byte 1: replaced by U+FFFD\n"


def test_a_huge_prompt_arrives_whole(run):
    with Provider([head(), *chat("ok")]) as provider:
        done = run("gen", "-m", "openai/m", url=provider.url, input=b"x" * 30_000_000)
        assert len(sent(provider)["messages"][0]["content"]) == 30_000_000
    assert done.stdout == b"ok\n"


def test_empty_prompt(invoke):
    for stdin in (b"", b" \n"):
        done = invoke("gen", "-m", "openai/m", url="http://127.0.0.1:9", input=stdin)
        assert done.returncode == 2
        assert done.stderr == b"llmstream gen: the prompt is empty: give one as an operand or on stdin\n"


# The request.

ALL_OPTIONS = ["-s", "be brief", "--max-tokens", "9", "-t", "0.5", "-o", 'user="u"']


@pytest.mark.parametrize(
    ("args", "body"),
    [
        (
            ["-m", "openai/m", "--seed", "1", "--stop", "X", "--stop", "Y"],
            {
                "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "Hi"}],
                "max_tokens": 9,
                "seed": 1,
                "stop": ["X", "Y"],
                "stream_options": {"include_usage": True},
            },
        ),
        (
            ["-m", "openai/m", "--api", "responses"],
            {"input": "Hi", "instructions": "be brief", "max_output_tokens": 9, "store": False},
        ),
        (
            ["-m", "anthropic/m", "--stop", "X"],
            {
                "messages": [{"role": "user", "content": "Hi"}],
                "system": "be brief",
                "max_tokens": 9,
                "stop_sequences": ["X"],
            },
        ),
    ],
)
def test_options_in_the_body(invoke, args, body):
    api = "chat" if "stream_options" in body else "responses" if "input" in body else "messages"
    with Provider([head(), *DIALECTS[api]("ok")]) as provider:
        invoke("gen", *args, *ALL_OPTIONS, "Hi", url=provider.url)
        assert sent(provider) == {"model": "m", "stream": True, "temperature": 0.5, "user": "u"} | body


def test_dry_run_hides_the_key_and_sends_nothing(invoke):
    with Provider([head(), *chat("ok")]) as provider:
        done = invoke("gen", "--dry-run", "-m", "anthropic/m", "Hi", url=provider.url)
        assert provider.requests == []
    text = done.stdout.decode()
    assert text.startswith(f"POST {provider.url}/v1/messages\nanthropic-version: 2026-10-21\nx-api-key: [key]\n\n{{\n")
    assert "sk-ant-test" not in text


@pytest.mark.parametrize(
    ("args", "env", "message"),
    [
        (["-m", "opnai/m"], {}, "unknown provider 'opnai'"),
        (["-m", ""], {}, "the model's name is empty: leave -m out for the default model"),
        (["-m", "foo"], {}, "cannot tell the provider of model 'foo'"),
        (["-m", "openai/m"], {}, "no key for openai: set OPENAI_API_KEY"),
        (["-m", "azure/m"], {"AZURE_OPENAI_API_KEY": "x"}, "azure needs an address: set AZURE_OPENAI_ENDPOINT"),
        (["-m", "groq"], {"GROQ_API_KEY": "x"}, "groq has no default model: use -m groq/MODEL"),
        (["-m", "openai/m"], {"OPENAI_API_KEY": "ge\nheim"}, "OPENAI_API_KEY is not a valid key"),
        (["-m", "openai/m"], {"OPENAI_API_KEY": "gehéim"}, "OPENAI_API_KEY is not a valid key"),
        (["-m", "openai/m"], {"OPENAI_BASE_URL": "localhost:80"}, "OPENAI_BASE_URL is not a URL"),
        (["-m", "openai/m"], {"OPENAI_BASE_URL": "http://localhost/v1?key=geh"}, "OPENAI_BASE_URL is not a base URL"),
        (["-m", "/etc/passwd"], {}, "/etc/passwd is not a model: a model file's name ends in .gguf"),
        (["-m", "./model.bin"], {}, "./model.bin is not a model: a model file's name ends in .gguf"),
        (["-m", "replay:"], {}, "replay: lacks the name of a recording: use -m replay:FILE"),
        (["-m", "replay"], {}, "replay: lacks the name of a recording: use -m replay:FILE"),
        (["-m", "/no/such.gguf"], {}, "no such model file: /no/such.gguf"),
        (["--modle", "m"], {}, "no such option '--modle'"),
        (["-o", "x"], {}, "must be KEY=JSON"),
        (["-o", "x="], {}, "is not JSON: ''"),
        (["-o", "x={y"], {}, "is not JSON: '{y': a name in double quotes is missing at character 2"),
        (["-o", "x=[1"], {}, "is not JSON: '[1'"),
        (["-o", "reasoning={a:1}"], {}, "at character 2: quote it: 'reasoning={...}': see"),
        (["-o", "x=[a]"], {}, "at character 2: quote it: 'x=[...]': see"),
        (["-o", 'x="y'], {}, "is not JSON: '\"y'"),
        (["-o", "x=True"], {}, "is not JSON: 'True'"),
        (["-m", "replay:x", "--dry-run"], {}, "a replay has no request: leave --dry-run out"),
        (["-o", "x=NaN"], {}, "is not JSON: 'NaN'"),
        (["-o", "x=1e999"], {}, "is not JSON: '1e999'"),
        (["-s", "@/no/such"], {}, "cannot read /no/such: No such file or directory"),
        (["-n"], {}, "the prompt is empty"),
        (["-m", "openai/m", "--api", "responses", "--seed", "1"], {"OPENAI_API_KEY": "x"}, "the Responses API has"),
        (["--stats-file", "/no/such/dir", "-m", "ollama/m"], {}, "cannot write /no/such/dir"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_clear_line_and_status_2(invoke, args, env, message):
    done = invoke("gen", *args, *([] if args == ["-n"] else ["Hi"]), env=environment(**env))
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert b"geh" not in done.stderr
    assert done.stdout == b""


def test_usage_errors_of_the_group(invoke):
    for args, meant in (
        (["Name three rivers", "-m", "x"], "'Name three rivers'"),
        (["tell", "me"], "'tell me'"),
        (["hello"], "hello"),
        (["gen a\nb"], "'gen a b'"),
        (["x " * 50], f"'{'x ' * 18}x...'"),
    ):
        stderr = invoke(*args).stderr.decode()
        assert stderr.endswith(f": did you mean llmstream gen {meant}? see llmstream --help\n")
        assert stderr.count("\n") == 1
    for word, meant in (("ge", "gen"), ("json", "json-objects"), ("objects", "json-objects"), ("model", "models"),
                         ("jsonobjects", "json-objects"), ("ask", "gen"), ("help", "--help"),
                         ("version", "--version"), ("gne", "gen")):  # fmt: skip
        hint = f"no such command '{word}': did you mean {meant}? see llmstream --help"
        assert invoke(word).stderr.decode() == f"llmstream: {hint}\n"
    for args, listed in ((["-m", "x"], "gen, map and serve"), (["--drain"], "until"), (["--sources"], "gen")):
        first = listed.partition(",")[0]
        hint = f"{args[0]} is an option of {listed}: llmstream {first} {args[0]} ...: see llmstream --help"
        assert invoke(*args).stderr.decode() == f"llmstream: {hint}\n"
    assert invoke().stderr.startswith(b"Usage: llmstream [OPTIONS] COMMAND")
    assert invoke().returncode == invoke("gne").returncode == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gen --stream Hi", "no such option '--stream': an answer always streams"),
        ("gen -p Hi", "no such option '-p': the prompt is an operand: llmstream gen 'Name three rivers.'"),
        ("gen -x Hi", "no such option '-x': llmstream code prints the code in an answer"),
        ("gen --drain Hi", "no such option '--drain': only until has it"),
        ("gen -u=yes Hi", "an option without a value is followed by =: leave that out"),
        ("gen -max-tokens 5 Hi", "-max-tokens begins with one hyphen: did you mean --max-tokens?"),
        ("gen --max-tokens", "option '--max-tokens' requires an argument"),
        ("map -P 4", "no such option '-P': did you mean --jobs?"),
        ("map --line", "no such option '--line': only gen has it"),
        ("code -p", "no such option '-p'"),
        (
            "logs",
            "no such command 'logs': nothing is logged: --chat FILE keeps a conversation, and tee keeps an answer",
        ),
        ("-V", "no such option '-V': did you mean --version?"),
    ],
)
def test_words_of_other_tools_are_explained(invoke, line, message):
    words = line.split()
    done = invoke(*words)
    command = f"llmstream {words[0]}" if words[0] in COMMANDS else "llmstream"
    colon = "" if message.endswith("?") else ":"
    assert done.stderr.decode() == f"{command}: {message}{colon} see {command} --help\n"
    assert done.returncode == 2


def test_a_connection_error_names_the_provider(invoke):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        done = invoke("gen", "--retries", "1", "-m", "ollama/m", "Hi", env=environment(OLLAMA_HOST=host))
    again, error = done.stderr.decode().splitlines()
    assert error == f"llmstream gen: ollama: cannot connect to {host}: is the server running?"
    reason = re.escape(error.removesuffix(" is the server running?"))
    assert re.fullmatch(reason + r" trying again (in \d\.\d s|now) \(1 of 1\)", again)
    assert done.returncode == 4


def test_a_host_that_is_not_found_is_named_once(invoke):
    done = invoke(
        "gen",
        "-m",
        "openai/m",
        "Hi",
        env=environment(OPENAI_API_KEY="k", OPENAI_BASE_URL="http://u:geheim@nobody.invalid:8080/v1"),
    )
    reason = "cannot find the host nobody.invalid:8080: is the address right, and the network up?"
    assert (done.stderr.decode(), done.returncode) == (f"llmstream gen: openai: {reason}\n", 4)


def test_a_server_writes_no_escapes_to_the_terminal(invoke):
    with Provider(reply("400 No", b'{"error": {"message": "bad\\n\\u001b]0;x\\u0007\\ud800red"}}')) as provider:
        done = invoke("gen", "--events", "-m", "openai/m", "Hi", url=provider.url)
    assert b"\x1b" not in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert done.returncode == 3
    assert json.loads(done.stdout)["message"].endswith(" says: bad\n\x1b]0;x\x07\ufffdred (HTTP 400)")


def test_a_failure_is_reported_though_the_statistics_file_is_full(invoke):
    with Provider(reply("401 No", b'{"error": {"message": "bad key"}}')) as provider:
        done = invoke("gen", "--stats-file", "/dev/full", "-m", "openai/m", "Hi", url=provider.url)
    assert done.returncode == 3
    assert b"bad key" in done.stderr
    assert b"cannot write /dev/full" in done.stderr


def test_a_line_that_does_not_fit_into_the_statistics_file_is_an_error(run, tmp_path):
    import resource

    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))  # noqa: E731 # less than a line
    with Provider([head(), *chat("a")]) as provider:
        args = ("gen", "--stats-file", "stats", "-m", "openai/m", "Hi")
        done = run(*args, url=provider.url, cwd=tmp_path, preexec_fn=limit)
    assert (done.returncode, done.stdout) == (5, b"a\n")
    assert done.stderr == b"llmstream gen: cannot write stats: No space left on device\n"


def test_resume_cut_warns_where_the_provider_cannot_resume(invoke):
    with Provider([head(), *chat("a")]) as provider:
        done = invoke("gen", "--resume-cut", "-m", "openai/m", "Hi", url=provider.url)
    assert (done.stdout, done.returncode) == (b"a\n", 0)
    assert b"openai/m cannot resume a cut answer: --resume-cut is ignored" in done.stderr


@pytest.mark.parametrize("args", [[], ["--dry-run"]])
def test_a_request_that_is_refused_says_nothing_of_resuming(invoke, args):
    with Provider() as provider:
        options = ["--cache", "--resume-cut", "-s", "Be brief.", *args]
        done = invoke("gen", *options, "-m", "openai/m", "Hi", url=provider.url)
    assert (done.returncode, done.stderr.count(b"\n"), provider.requests) == (2, 1, [])
    assert b"has no --cache" in done.stderr


@pytest.mark.parametrize("command", ["gen", "map"])
def test_continue_names_the_options_that_do_what_it_may_mean(invoke, command):
    done = invoke(command, "--continue", "Hi", env=environment(LLMSTREAM_MODEL="ollama/m"))
    assert (done.stdout, done.returncode) == (b"", 2)
    assert b"--resume-cut" in done.stderr
    assert b"gen --chat FILE" in done.stderr


def test_a_key_in_the_provider_s_message_is_hidden(invoke):
    quoted = reply("401 No", b'{"error": {"message": "wrong key sk-test-key given"}}')
    with Provider(quoted) as provider:
        done = invoke("gen", "-m", "openai/m", "Hi", url=provider.url)
    host = provider.url.removeprefix("http://")
    assert done.stderr.decode() == f"llmstream gen: openai at {host} says: wrong key [key] given (HTTP 401)\n"


# Bytes that are not UTF-8, and what files of settings leave behind.

LATIN1 = os.fsdecode(b"caf\xe9")
REPLACED = "llmstream gen: the prompt has invalid UTF-8: replaced by U+FFFD\n"


def test_words_that_are_not_utf8_are_replaced_with_a_note(run, tmp_path):
    (tmp_path / "file").write_text("+++\n+++\nSay {{args}}.")
    for args, prompt in [(["a", LATIN1], "a caf\ufffd"), (["-f", str(tmp_path / "file"), LATIN1], "Say caf\ufffd.")]:
        with Provider([head(), *chat("Hello")]) as provider:
            done = run("gen", "-m", "openai/m", *args, url=provider.url)
        assert (done.stdout, done.stderr.decode()) == (b"Hello\n", REPLACED)
        assert [request.prompt for request in provider.requests] == [prompt]


def test_a_template_that_is_not_utf8_is_replaced_with_a_note(run):
    with Provider([head(), *chat("Hello")]) as provider:
        done = run("map", "-q", "-m", "openai/m", f"{LATIN1}: {{}}", input=b"x", url=provider.url)
    assert done.stderr.decode() == REPLACED.replace(" gen", " map")
    assert [request.prompt for request in provider.requests] == ["caf\ufffd: x"]


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (["-s", LATIN1], "--system"),
        (["--stop", LATIN1], "--stop"),
        (["--prefill", LATIN1], "--prefill"),
        (["-o", f"user={LATIN1}"], "-o"),
        (["-o", 'user="\\ud800"'], "-o"),
        (["--schema", f"name: {LATIN1}"], "--schema"),
        (["-f", os.devnull, "-v", f"a={LATIN1}"], "-v"),
    ],
)
def test_an_option_that_is_not_utf8_is_refused(invoke, args, name):
    done = invoke("gen", "-m", "llamacpp/m", *args, "Hi")
    assert (done.returncode, done.stderr.decode()) == (2, f"llmstream gen: {name} is not valid UTF-8\n")


def test_a_file_may_have_any_name(invoke, tmp_path):
    (tmp_path / LATIN1).write_text("name")
    args = ["--schema", LATIN1, "-a", LATIN1, "-s", f"@{LATIN1}", "--dry-run"]
    done = invoke("gen", "-m", "openai/m", *args, "Hi", cwd=tmp_path, env=at("http://127.0.0.1:9"))
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_system_prompt_from_a_file_is_utf8_without_its_mark(invoke, tmp_path):
    (tmp_path / "good").write_bytes(b"\xef\xbb\xbfBe kind.")
    (tmp_path / "bad").write_bytes(b"Be\nk\xe4nd.")
    with Provider([head(), *chat("Hello")]) as provider:
        assert invoke("gen", "-m", "openai/m", "-s", f"@{tmp_path}/good", "Hi", url=provider.url).returncode == 0
    assert provider.requests[0].json["messages"][0]["content"] == "Be kind."
    done = invoke("gen", "-m", "openai/m", "-s", f"@{tmp_path}/bad", "Hi")
    assert (done.returncode, done.stderr.decode()) == (2, f"llmstream gen: {tmp_path}/bad:2: invalid UTF-8\n")


def test_line_ends_and_blanks_around_variables_do_not_count(invoke):
    with Provider([head(), *chat("Hello")]) as provider:
        url = f" {provider.url}/v1\r"
        env = environment(
            OPENAI_API_KEY="sk-test\r\n", OPENAI_BASE_URL=url, LLMSTREAM_MODEL="openai/m\r", MISTRAL_API_KEY=" "
        )
        assert invoke("gen", "Hi", env=env).stdout == b"Hello\n"
    assert provider.requests[0].headers["authorization"] == "Bearer sk-test"
    done = invoke("gen", "-m", "mistral/m", "Hi", env=env)
    assert (done.returncode, done.stderr) == (2, b"llmstream gen: no key for mistral: set MISTRAL_API_KEY\n")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--max-tok", "--max-tokens"),
        ("--tok", "--max-tokens"),
        ("--sys", "--system"),
        ("--temp", "--temperature"),
        ("--tempature", "--temperature"),
        ("--first", "--first-token-timeout"),
        ("--retry", "--max-retry-wait"),
        ("--modle", "--model"),
        ("--stats", "--stats-file"),
        ("--until-line", "--until-lines"),
        ("--silent", "--quiet"),
        ("--image", "--attach"),
        ("--zzz", ""),
        ("--settings", ""),
        ("-Z", ""),
    ],
)
def test_an_option_that_does_not_exist_is_guessed_by_its_beginning_first(invoke, word, meant):
    guess = f": did you mean {meant}?" if meant else ":"
    done = invoke("gen", word, "Hi")
    assert done.returncode == 2
    assert done.stderr.decode() == f"llmstream gen: no such option '{word}'{guess} see llmstream gen --help\n"
