"""`llmstream serve` as a process, with the real generation behind it and a provider on loopback before that."""

from __future__ import annotations

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
from ..support.loopback import HOLD, Provider, chat, chat_text, head, reply

ASK = {"prompt": "Hi"}


class Served:
    """A running server: `address`, and what ends it."""

    def __init__(self, process: subprocess.Popen[bytes], address: str) -> None:
        self.process, self.address = process, address
        self._open: list[http.client.HTTPConnection] = []

    def post(self, path: str, body: object, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.address, timeout=WAIT_S)
        self._open.append(connection)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"} | headers)
        return connection.getresponse()

    def leave(self) -> None:
        """All clients go."""
        for connection in self._open:
            connection.close()


@contextmanager
def serving(*args: str, **env: str) -> Iterator[Served]:
    command = [*LLMSTREAM, "serve", "--port", "0", *args]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env) as process:
        try:
            told = process.stderr.readline().decode()
            address = re.fullmatch(r"llmstream serve: listening on http://(127\.0\.0\.1:\d+)\n", told)
            assert address, told
            served = Served(process, address[1])
            yield served
            served.leave()
        finally:
            process.kill()


@contextmanager
def before(provider: Provider, *args: str, model: str = "openai/m") -> Iterator[Served]:
    with serving("-m", model, *args, **at(provider.url)) as served:
        yield served


def contents(stream: str) -> list[str]:
    return [json.loads(data)["content"] for data in re.findall(r'^data: (\{"content".*)$', stream, re.M)]


@pytest.mark.parametrize("model", ["openai/m", "anthropic/m"])
def test_a_provider_s_answer_is_passed_on(model):
    from ..support.loopback import messages

    answer = chat("Hel", "lo") if model == "openai/m" else messages("Hel", "lo")
    with Provider([head(), *answer]) as provider, before(provider, model=model) as served:
        text = served.post("/chat/stream", ASK).read().decode()
    assert "".join(contents(text)) == "Hello"
    assert text.endswith("data: [DONE]\n\n")
    assert 'event: usage\ndata: {"input_tokens": 3, "output_tokens": 2,' in text


def test_each_piece_is_there_when_it_came():
    word = threading.Event()
    with Provider([head(), chat_text("Hel"), word, *chat("lo")]) as provider, before(provider) as served:
        response = served.post("/chat/stream", ASK)
        assert response.readline() == b'data: {"content": "Hel"}\n'
        word.set()
        assert contents(response.read().decode()) == ["lo"]


@pytest.mark.parametrize("said", [[], [chat_text("Hel")]], ids=["silent", "begun"])
def test_a_client_that_leaves_ends_the_generation(said):
    with Provider([head(), *said, HOLD]) as provider, before(provider) as served:
        with served.post("/chat/stream", ASK):
            assert provider.asked.wait(WAIT_S)
        served.leave()
        assert provider.left.wait(WAIT_S)


def test_a_condition_ends_it_and_the_provider_is_left():
    with Provider([head(), chat_text("one two three"), HOLD]) as provider, before(provider) as served:
        text = served.post("/chat/stream", {"prompt": "Hi", "until": {"words": 2}}).read().decode()
        assert provider.left.wait(WAIT_S)
    assert ("".join(contents(text)), '"reason": "cancelled"' in text) == ("one two", True)


def test_a_failure_is_told_after_what_came():
    with Provider([head(), chat_text("Hel")]) as provider, before(provider) as served:
        text = served.post("/chat/stream", ASK).read().decode()
    assert contents(text) == ["Hel"]
    assert re.search(r'event: error\ndata: \{"status": 5, "message": "[^"]*breaks off after 3 characters"\}\n\n$', text)
    assert "[DONE]" not in text


def test_refusals_in_openai_s_protocol_have_their_status():
    refused = reply("401 Unauthorized", b'{"error": {"message": "wrong key"}}')
    with Provider(refused) as provider, before(provider) as served:
        response = served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
        error = json.loads(response.read())["error"]
    assert response.status in (401, 502)
    assert "wrong key" in error["message"]


def test_a_signal_lets_the_running_answer_end():
    word = threading.Event()
    with Provider([head(), chat_text("Hel"), word, *chat("lo")]) as provider, before(provider) as served:
        response = served.post("/chat/stream", ASK)
        assert response.readline() == b'data: {"content": "Hel"}\n'
        served.process.send_signal(signal.SIGTERM)
        with pytest.raises((OSError, http.client.HTTPException)):
            for _ in range(1000):  # until it is noticed
                assert served.post("/chat/stream", ASK).status == 503
        word.set()
        text = response.read().decode()
        assert served.process.wait(WAIT_S) == -signal.SIGTERM
    assert (contents(text), text.endswith("data: [DONE]\n\n")) == (["lo"], True)


@pytest.mark.parametrize(
    ("token", "args", "status"),
    [("", (), 200), ("sesame", (), 400), ("sesame", ("--allow-regex",), 200)],
)
def test_others_need_the_server_s_leave_for_regular_expressions(token, args, status):
    env = at("http://127.0.0.1:9", LLMSTREAM_SERVE_TOKEN=token)
    with serving("-m", "openai/m", "--retries", "0", *args, **env) as served:
        body = ASK | {"until": {"regex": "(a+)+$"}}
        assert served.post("/chat/stream", body, Authorization=f"Bearer {token}").status == status


def test_what_is_wrong_is_told_before_it_listens(run):
    for args, message in [
        (["-m", "nix/m"], "unknown provider 'nix'"),
        (["--host", "0.0.0.0"], "LLMSTREAM_SERVE_TOKEN"),
        (["--host", "nowhere.invalid"], "nowhere.invalid"),
    ]:
        done = run("serve", "--port", "0", *args, env=environment(OPENAI_API_KEY="sk-x"))
        assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
        assert message in done.stderr.decode()
