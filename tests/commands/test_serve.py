"""`llmstream serve` as a process, with a provider on loopback."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..conftest import LLMSTREAM, at, environment
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, chat, chat_end, chat_text, frame, head, reply

BODY = {"prompt": "Hi"}


class RunningServer:
    """A running server and its clients; `address` is HOST:PORT."""

    def __init__(self, process: subprocess.Popen[bytes], address: str) -> None:
        self.process, self.address = process, address
        self._open: list[http.client.HTTPConnection] = []

    def post(self, path: str, body: object, *, raw: bytes = b"", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.address, timeout=WAIT_S)
        self._open.append(connection)
        data = raw or json.dumps(body).encode()
        connection.request("POST", path, data, {"Content-Type": "application/json"} | headers)
        return connection.getresponse()

    def disconnect(self) -> None:
        """Closes all connections."""
        while self._open:
            self._open.pop().close()


@contextmanager
def serving(*args: str, model: str = r"model \S+(?: \(no key is set\))?", **env: str) -> Iterator[RunningServer]:
    command = [*LLMSTREAM, "serve", "--port", "0", *args]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env) as process:
        try:
            line = process.stderr.readline().decode()
            address = re.fullmatch(rf"llmstream serve: {model}, listening on http://(127\.0\.0\.1:\d+)\n", line)
            assert address, line
            server = RunningServer(process, address[1])
            yield server
            server.disconnect()
        finally:
            process.kill()


@contextmanager
def serving_through(provider: Provider, *args: str, model: str = "openai/m") -> Iterator[RunningServer]:
    with serving("-m", model, *args, **at(provider.url)) as server:
        yield server


def contents(stream: str) -> list[str]:
    return [json.loads(data)["content"] for data in re.findall(r'^data: (\{"content".*)$', stream, re.M)]


@pytest.mark.parametrize("model", ["openai/m", "anthropic/m"])
def test_a_provider_s_answer_reaches_the_client(model):
    from ..support.loopback import messages

    answer = chat("Hel", "lo") if model == "openai/m" else messages("Hel", "lo")
    with Provider([head(), *answer]) as provider, serving_through(provider, model=model) as server:
        text = server.post("/chat/stream", BODY).read().decode()
    assert "".join(contents(text)) == "Hello"
    assert text.endswith("data: [DONE]\n\n")
    assert 'event: usage\ndata: {"input_tokens": 3, "output_tokens": 2,' in text


def test_sources_scores_and_notes_of_a_provider_reach_the_client():
    def chunk(delta: dict[str, object], **choice: object) -> bytes:
        return frame({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, **choice}]})

    citation = {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A"}}
    score = {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    cited = [chunk({"content": "Hi"}, logprobs={"content": [score]}), chunk({"annotations": [citation]}), chat_end()]
    image = [chunk({"images": [{"image_url": {"url": "data:image/png;base64,AA=="}}]}), chat_end()]
    scripts = [[head(), *cited], [head(), *cited], [head(), *image]]
    with Provider(*scripts) as provider, serving_through(provider) as server:
        stream = server.post("/chat/stream", BODY).read().decode()
        body = {"messages": [{"role": "user", "content": "Hi"}], "logprobs": True}
        (choice,) = json.loads(server.post("/v1/chat/completions", body).read())["choices"]
        dropped = server.post("/chat/stream", BODY).read().decode()
    assert 'event: source\ndata: {"url": "https://a.example", "title": "A"}\n\n' in stream
    assert choice["logprobs"] == {"content": [score], "refusal": None}
    assert choice["message"]["annotations"][0]["url_citation"]["url"] == "https://a.example"
    assert provider.requests[1].json["logprobs"] is True
    assert dropped.endswith('event: note\ndata: {"note": "the answer has no text, but an image"}\n\ndata: [DONE]\n\n')


def test_each_text_is_passed_on_at_once():
    gate = threading.Event()
    with Provider([head(), chat_text("Hel"), gate, *chat("lo")]) as provider, serving_through(provider) as server:
        response = server.post("/chat/stream", BODY)
        assert response.readline() == b'data: {"content": "Hel"}\n'
        gate.set()
        assert contents(response.read().decode()) == ["lo"]


@pytest.mark.parametrize("events", [[], [chat_text("Hel")]], ids=["silent", "answering"])
def test_a_client_that_leaves_ends_the_generation(events):
    with Provider([head(), *events, HOLD]) as provider, serving_through(provider) as server:
        with server.post("/chat/stream", BODY):
            assert provider.first_request.wait(WAIT_S)
        server.disconnect()
        assert provider.client_left.wait(WAIT_S)


def test_a_stop_condition_ends_the_answer_and_closes_the_provider_s_connection():
    with Provider([head(), chat_text("one two three"), HOLD]) as provider, serving_through(provider) as server:
        text = server.post("/chat/stream", {"prompt": "Hi", "until": {"words": 2}}).read().decode()
        assert provider.client_left.wait(WAIT_S)
    assert ("".join(contents(text)), '"reason": "until"' in text) == ("one two", True)


def test_a_pattern_that_would_match_for_years_stops_the_others_for_a_moment_only():
    body = BODY | {"until": {"regex": "(a+)+$"}}
    with Provider([head(), chat_text("a" * 60 + "!"), HOLD]) as provider, serving_through(provider) as server:
        answer = server.post("/chat/stream", body).read().decode()
        assert provider.client_left.wait(WAIT_S)
    assert "took more than 0.2 s" in answer and "[DONE]" not in answer


def test_an_error_follows_the_partial_answer():
    with Provider([head(), chat_text("Hel")]) as provider, serving_through(provider) as server:
        text = server.post("/chat/stream", BODY).read().decode()
    assert contents(text) == ["Hel"]
    assert re.search(r'event: error\ndata: \{"status": 5, "message": "[^"]*breaks off after 3 characters"\}\n\n$', text)
    assert "[DONE]" not in text


def test_a_provider_s_refusal_has_an_http_status_in_openai_s_protocol():
    refused = reply("401 Unauthorized", b'{"error": {"message": "wrong key"}}')
    with Provider(refused) as provider, serving_through(provider) as server:
        response = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
        error = json.loads(response.read())["error"]
    assert response.status in (401, 502)
    assert "wrong key" in error["message"]


def test_a_signal_lets_the_running_answer_end():
    gate = threading.Event()
    with Provider([head(), chat_text("Hel"), gate, *chat("lo")]) as provider, serving_through(provider) as server:
        response = server.post("/chat/stream", BODY)
        assert response.readline() == b'data: {"content": "Hel"}\n'
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises((OSError, http.client.HTTPException)):
            for _ in range(1000):  # until the signal has been noticed
                assert server.post("/chat/stream", BODY).status == 503
        gate.set()
        text = response.read().decode()
        assert server.process.wait(WAIT_S) == -signal.SIGTERM
    assert (contents(text), text.endswith("data: [DONE]\n\n")) == (["lo"], True)


@pytest.mark.parametrize(
    ("token", "args", "status"),
    [("", (), 200), ("sesame", (), 400), ("sesame", ("--allow-regex",), 200)],
)
def test_with_a_token_regular_expressions_need_allow_regex(token, args, status):
    env = at("http://127.0.0.1:9", LLMSTREAM_SERVE_TOKEN=token)
    with serving("-m", "openai/m", "--retries", "0", *args, **env) as server:
        body = BODY | {"until": {"regex": "(a+)+$"}}
        assert server.post("/chat/stream", body, Authorization=f"Bearer {token}").status == status


def test_wrong_options_are_reported_before_the_server_listens(run):
    for args, message in [
        (["-m", "nix/m"], "unknown provider 'nix'"),
        (["-m", "openai/m", "-m", "replay:none"], "cannot read none: No such file"),
        (["--host", "0.0.0.0"], "LLMSTREAM_SERVE_TOKEN"),
        (["--host", "nowhere.invalid"], "nowhere.invalid"),
    ]:
        done = run("serve", "--port", "0", *args, env=environment(OPENAI_API_KEY="sk-x"))
        assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
        assert message in done.stderr.decode()


def test_a_wrong_default_of_the_configuration_is_reported_before_the_server_listens(run, tmp_path):
    (config := tmp_path / "config.toml").write_text("[providers.openai.defaults]\nmax_turns = 0\n")
    env = environment(OPENAI_API_KEY="sk-x", LLMSTREAM_CONFIG=str(config))
    done = run("serve", "--port", "0", "-m", "openai/m", env=env)
    message = f"{config}:2: providers.openai.defaults.max_turns: must be a whole number of at least 1, not 0"
    assert (done.returncode, done.stderr.decode()) == (2, f"llmstream serve: {message}\n")


def test_a_model_that_leads_back_to_the_server_is_an_error():
    with serving("-m", "vllm/m", "--port", "0", **at("http://127.0.0.1:9")) as server:
        pass
    host, port = server.address.split(":")
    env = environment(VLLM_BASE_URL=f"http://{host}:{port}/v1")
    with serving("-m", "vllm/m", "--allow-model", "vllm/*", "--port", port, **env) as server:
        response = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
        assert response.status == 502
        assert "leads back to this server" in json.loads(response.read())["error"]["message"]


def test_gen_asks_a_server_for_the_model_by_the_name_it_is_served_with(run):
    """gen sends what stands after `openai/`, as every client of OpenAI's protocol does."""
    with Provider([head(), *chat("Hello")]) as provider:
        with serving("-m", "openai/fast", "--port", "0", **at(provider.url)) as server:
            done = run("gen", "-m", "openai/fast", "hi", url=f"http://{server.address}")
        assert [request.json["model"] for request in provider.requests] == ["fast"]
    assert (done.returncode, done.stdout) == (0, b"Hello\n")


def test_servers_in_a_row_pass_their_names_on():
    with Provider([head(), *chat("Hello")]) as provider, serving_through(provider) as inner:
        env = environment(VLLM_BASE_URL=f"http://{inner.address}/v1")
        with serving("-m", "vllm/default", **env) as outer:
            assert contents(outer.post("/chat/stream", BODY).read().decode()) == ["Hello"]
        names = provider.requests[0].headers["llmstream-hop"].split()
    assert len(set(names)) == 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_not_json_does_not_go_to_the_provider(number):
    bodies = [
        '{"messages": [{"role": "user", "content": "Hi"}], "top_k": %s}',
        '{"messages": [{"role": "user", "content": "Hi"}], "tools": [{"name": "f", "parameters": {"default": %s}}]}',
    ]
    with Provider() as provider, serving_through(provider) as server:
        for body in bodies:
            connection = http.client.HTTPConnection(server.address, timeout=WAIT_S)
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/chat/completions", body.replace("%s", number), headers)
            response = connection.getresponse()
            assert (response.status, b"not JSON" in response.read()) == (400, True)
            connection.close()
        assert provider.requests == []


@pytest.mark.parametrize("token", ["two words", "two\nlines", "a\tb", "a\u00a0b", "a\x7fb"])
def test_a_token_that_no_client_can_send_is_refused_at_the_start(run, token):
    done = run("serve", "--port", "0", env=environment(OPENAI_API_KEY="sk-x", LLMSTREAM_SERVE_TOKEN=token))
    assert (done.returncode, b"LLMSTREAM_SERVE_TOKEN" in done.stderr) == (2, True)
    assert token.encode() not in done.stderr


# What the server writes to stderr.


def test_failures_are_lines_on_stderr():
    wrong_key = reply("401 Unauthorized", b'{"error": {"message": "wrong key"}}')
    too_long = reply("400 Bad Request", b'{"error": {"message": "too long\\nby far"}}')
    conversation = {"messages": [{"role": "user", "content": "secret words"}]}
    with Provider(wrong_key, too_long, [head(), chat_text("Hel")]) as provider, serving_through(provider) as server:
        statuses = [server.post("/v1/chat/completions", conversation).status for _ in range(2)]
        server.post("/chat/stream", {"prompt": "secret words"}).read()
        assert server.post("/chat/stream", {}).status == 422  # the client's own fault
        server.process.send_signal(signal.SIGTERM)
        lines = server.process.stderr.read().decode().splitlines()
    assert statuses == [502, 400]
    paths = [line.removeprefix("llmstream serve: ").partition(": ")[0] for line in lines]
    assert paths == ["/v1/chat/completions", "/v1/chat/completions", "/chat/stream"]
    assert "wrong key" in lines[0] and "too long" in lines[1] and "breaks off" in lines[2]
    assert "secret words" not in "".join(lines)


LOG_LINE = re.compile(  # of the Common Log Format
    r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"([A-Z]+ \S+ HTTP/1\.[01])" (\d{3}) (\d+|-)'
)


def test_the_access_log_is_in_the_common_log_format():
    with Provider([head(), *chat("Hello")]) as provider, serving_through(provider, "-v") as server:
        size = len(server.post("/chat/stream", BODY).read())
        server.post("/chat/stream?key=secret", {}).read()
        server.post('/no"\\x', BODY).read()
        server.post("/chat/stream", BODY, Host="evil.example").read()
        server.process.send_signal(signal.SIGTERM)
        lines = server.process.stderr.read().decode().splitlines()
    matches = [LOG_LINE.fullmatch(line) for line in lines]
    assert all(matches), lines
    requests = [match.group(1, 2) for match in matches]
    assert requests[:2] == [("POST /chat/stream HTTP/1.1", "200"), ("POST /chat/stream HTTP/1.1", "422")]
    assert requests[2:] == [("POST /no\\x22\\x5cx HTTP/1.1", "404"), ("POST /chat/stream HTTP/1.1", "421")]
    assert matches[0][3] == str(size)


def test_a_client_that_leaves_is_in_the_access_log():
    with Provider([HOLD]) as provider, serving_through(provider, "-v") as server:
        connection = http.client.HTTPConnection(server.address, timeout=WAIT_S)
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        assert provider.first_request.wait(WAIT_S)
        connection.close()
        line = server.process.stderr.readline().decode().strip()
    assert LOG_LINE.fullmatch(line).group(1, 2, 3) == ("POST /v1/chat/completions HTTP/1.1", "499", "-")


def test_the_line_at_the_start_has_the_model():
    without_keys = {name: value for name, value in environment().items() if not name.endswith("_KEY")}
    for model, key in ((None, {}), ("local", {}), (None, {"OPENAI_API_KEY": "k"})):
        command = [*LLMSTREAM, "serve", "--port", "0", *(["-m", model] if model else [])]
        env = without_keys | key
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env) as process:
            line = process.stderr.readline().decode()
            process.kill()
        name = "openai/gpt-" if key else "local"
        assert line.startswith(f"llmstream serve: model {name}")
        assert ("(no key is set)" in line) is (model is None and name == "local")


# OpenAI's Responses before other dialects.


@pytest.mark.parametrize("model", ["openai/m", "anthropic/m"])
def test_responses_reach_every_dialect_with_tools_and_images(model):
    from ..support.loopback import messages

    png = base64.b64encode(b"\x89PNG\r\n\x1a\nx").decode()
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Kiel"}'}
    body = {
        "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "Where?"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{png}"},
            ]},
            call,
            {"type": "function_call_output", "call_id": "c1", "output": "cold"},
        ],
        "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}],
        "tool_choice": "required",
    }  # fmt: skip
    answer = chat("Hel", "lo") if model == "openai/m" else messages("Hel", "lo")
    with Provider([head(), *answer], [head(), *answer]) as provider, serving_through(provider, model=model) as server:
        whole = json.loads(server.post("/v1/responses", body).read())
        stream = server.post("/v1/responses", body | {"stream": True}).read()
    assert "output" in whole, whole
    assert whole["output"][0]["content"][0]["text"] == "Hello"
    sent = provider.requests[0].json
    assert sent["tool_choice"] == ("required" if model == "openai/m" else {"type": "any"})
    assert all(part in str(sent["messages"]) for part in (png, "Kiel", "cold"))
    done = subprocess.run([*LLMSTREAM, "text"], input=stream, capture_output=True, env=environment(), timeout=WAIT_S)
    assert (done.returncode, done.stdout) == (0, b"Hello\n")


def test_a_responses_client_that_leaves_closes_the_provider_s_connection():
    body = {"input": "Hi", "stream": True}
    with Provider([head(), chat_text("Hel"), HOLD]) as provider, serving_through(provider) as server:
        with server.post("/v1/responses", body) as response:
            assert response.readline() == b"event: response.created\n"
        server.disconnect()
        assert provider.client_left.wait(WAIT_S)
