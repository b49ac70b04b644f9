"""gen connects to a provider while it waits for its prompt on stdin."""

from __future__ import annotations

import contextlib
import pty
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator

import pytest

from ..conftest import LLMSTREAM, at
from ..support.http2 import Http2
from ..support.limits import WAIT_S
from ..support.loopback import Provider, chat, head
from ..support.mapping import wait_until
from ..support.tls import certificate

ANSWER = b"".join(chat("Hello"))


@pytest.fixture
def tls(tmp_path) -> ssl.SSLContext:
    return certificate(tmp_path)[0]


@pytest.fixture
def gen(tmp_path):
    """Starts gen with a pipe as stdin; a model of the provider at `url` answers."""
    running: list[subprocess.Popen[bytes]] = []

    def start(url: str, *args: str, **more: str) -> subprocess.Popen[bytes]:
        more = {"CURL_CA_BUNDLE": str(tmp_path / "ca.pem")} | more
        env = at(url, LLMSTREAM_MODEL="openai/m", **more)
        pipe = subprocess.PIPE
        running.append(subprocess.Popen([*LLMSTREAM, "gen", *args], stdin=pipe, stdout=pipe, stderr=pipe, env=env))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[bytes], prompt: bytes = b"Hi") -> tuple[int, bytes, bytes]:
    """Writes the prompt; returns the status and the outputs."""
    output, notes = process.communicate(prompt, WAIT_S)
    return process.returncode, output, notes


@contextlib.contextmanager
def answering(server: Http2, count: int = 1) -> Iterator[None]:
    """Answers the stream that is requested as number `count`."""

    def answer() -> None:
        wait_until(lambda: len(server.streams) >= count)
        server.send(server.streams[count - 1], ANSWER, end=True)

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("args", [(), ("What is this?",), ("--file", "prompt.md"), ("--events",), ("--record", "r")])
def test_the_request_goes_over_the_connection_that_was_opened_while_stdin_was_silent(
    tls, gen, args, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompt.md").write_text("Translate: {{stdin}}\n")
    with Http2(tls) as server:
        process = gen(server.url, *args)
        wait_until(lambda: server.connections)
        assert server.streams == []
        with answering(server):
            status, output, _ = finish(process)
        assert status == 0
        assert b"Hello" in output
        assert (server.connections, len(server.streams)) == (1, 1)


def test_a_prompt_that_is_typed_goes_over_the_connection(tls, tmp_path):
    env = {"CURL_CA_BUNDLE": str(tmp_path / "ca.pem"), "LLMSTREAM_MODEL": "openai/m"}
    ours, theirs = pty.openpty()
    with Http2(tls) as server, open(theirs, "rb") as terminal, open(ours, "wb", buffering=0) as keyboard:
        command = [*LLMSTREAM, "gen"]
        process = subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, env=at(server.url, **env))
        wait_until(lambda: server.connections)
        keyboard.write(b"Hi\n")
        keyboard.write(b"\x04")
        with answering(server):
            assert process.communicate(timeout=WAIT_S)[0] == b"Hello\n"
        assert (server.connections, len(server.streams)) == (1, 1)


def test_a_request_waits_for_the_connection_that_is_being_opened(tls, gen):
    with Http2(tls) as server:
        server.may_accept.clear()
        process = gen(server.url)
        wait_until(lambda: server.waiting)
        assert process.stdin
        process.stdin.write(b"Hi")
        process.stdin.close()
        process.stdin = None
        with answering(server):
            server.may_accept.set()
            assert finish(process)[:2] == (0, b"Hello\n")
        assert (server.connections, len(server.streams)) == (1, 1)


def test_a_server_without_http2_gets_the_request_on_another_connection(tls, gen):
    with Provider([head(), ANSWER], tls=tls) as provider:
        process = gen(provider.url)
        wait_until(lambda: len(provider._sockets) >= 2)  # the one that was accepted, with and without TLS
        assert finish(process)[:2] == (0, b"Hello\n")
        assert len(provider.requests) == 1


def test_a_connection_that_the_server_closes_meanwhile_does_not_fail_the_prompt(tls, gen):
    with Http2(tls) as server:
        process = gen(server.url)
        wait_until(lambda: server.connections)
        server.drop()
        wait_until(lambda: server.closed)
        with answering(server):
            assert finish(process)[:2] == (0, b"Hello\n")
        assert (server.connections, len(server.streams)) == (2, 1)


def test_a_prompt_that_is_refused_closes_the_connection(tls, gen):
    with Http2(tls) as server:
        process = gen(server.url)
        wait_until(lambda: server.connections)
        status, output, notes = finish(process, b"")
        assert (status, output) == (2, b"")
        assert b"the prompt is empty" in notes
        wait_until(lambda: server.closed)
        assert (server.connections, server.streams) == (1, [])


def awaits_prompt(process: subprocess.Popen[bytes]) -> bool:
    """Returns whether gen says that it waits for its prompt, which it does after two seconds."""
    assert process.stderr
    return b"waiting for the prompt" in process.stderr.readline()


def test_without_retries_there_is_no_early_connection(tls, gen):
    """A request that libcurl sends again, after a connection that was open before broke, is a retry, too."""
    with Http2(tls) as server:
        process = gen(server.url, "--retries", "0")
        assert awaits_prompt(process)
        assert server.waiting == 0
        with answering(server):
            assert finish(process)[:2] == (0, b"Hello\n")
        assert (server.connections, len(server.streams)) == (1, 1)


def test_a_background_response_needs_no_early_connection(tls, gen):
    with Http2(tls) as server:
        process = gen(server.url, "--api", "responses", "--within", "2h")
        assert awaits_prompt(process)
        assert server.waiting == 0


def test_a_dry_run_and_a_replay_connect_to_nothing(tls, gen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Http2(tls) as server:
        with answering(server):
            assert finish(gen(server.url, "-n", "--record", "answer", "Hi"))[0] == 0
        for args, output in [(("--dry-run",), b"POST https"), (("-m", "replay:answer", "--speed", "0"), b"Hello")]:
            process = gen(server.url, *args)
            assert awaits_prompt(process)
            status, written, _ = finish(process)
            assert status == 0
            assert written.startswith(output)
        assert server.waiting == 1


def test_an_error_of_the_connection_is_reported_for_the_request(tls, gen):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = gen(f"https://127.0.0.1:{port}")
    assert awaits_prompt(process)
    status, output, notes = finish(process)
    assert (status, output) == (4, b"")
    assert b"cannot connect" in notes
    process = gen("https://127.0.0.1:9", CURL_CA_BUNDLE="/no/such/file")
    status, _, notes = finish(process)
    assert status == 2
    assert b"cannot read the CA certificates" in notes


def test_the_reader_of_stdout_may_leave_while_stdin_is_silent(tls, gen):
    with Http2(tls) as server:
        process = gen(server.url)
        wait_until(lambda: server.connections)
        assert process.stdout
        process.stdout.close()
        assert process.wait(WAIT_S) == 0
        process.stdout = None
