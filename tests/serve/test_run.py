"""The server's process: its address, its limit of open files, and signals."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from llmstream.errors import UsageError
from llmstream.serve.run import listen, url
from llmstream.stdio import OPEN_FILES

from ..conftest import ROOT, environment
from ..support.limits import WAIT_S
from ..support.serving import Client

# The address.


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_an_address_open_to_others_requires_a_token(host):
    with pytest.raises(UsageError, match="LLMSTREAM_SERVE_TOKEN"):
        listen(host, 0, "")
    with listen(host, 0, "secret") as listener:
        assert listener.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.5.5.5"])
def test_a_loopback_address_requires_no_token(host):
    with listen(host, 0, "") as listener:
        address, port = listener.getsockname()[:2]
        assert url(listener) == (f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}")


def test_an_address_that_is_not_available():
    with listen("127.0.0.1", 0, "") as busy, pytest.raises(UsageError, match="choose another port"):
        listen("127.0.0.1", busy.getsockname()[1], "")
    with pytest.raises(UsageError, match=r"cannot listen on no\.such\.invalid"):
        listen("no.such.invalid", 0, "t")


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "\udcff"])
def test_an_address_that_cannot_be_a_name(host):
    with pytest.raises(UsageError, match=r"cannot listen on '.*': this cannot be a host's name"):
        listen(host, 0, "t")


# Signals.


PROGRAM = """
import asyncio
from llmstream import __main__, cli, stdio
from llmstream.core.events import Text
from llmstream.stdio import OPEN_FILES
from llmstream.serve.app import create
from llmstream.serve.run import run
from llmstream.serve.settings import Settings

async def generate(request):
    yield [Text("x")]
    try:
        while request.prompt != "quick":
            await asyncio.sleep(float(request.prompt))
            yield [Text("y")]
            if request.prompt != "0.05":
                return
    finally:
        stdio.note("test", "closed")

def main(words):
    run(create(generate, Settings(grace_s={grace}, keep_alive_s=0.05)), "127.0.0.1", 0)

cli._run = main
__main__.main()
"""


@pytest.fixture
def process():
    running: list[subprocess.Popen[bytes]] = []

    def start(grace: float) -> tuple[subprocess.Popen[bytes], Client]:
        code = PROGRAM.replace("{grace}", str(grace))
        process = subprocess.Popen([sys.executable, "-c", code], env=environment(), cwd=ROOT, stderr=subprocess.PIPE)
        running.append(process)
        line = process.stderr.readline().decode()
        assert line.startswith("llmstream serve: listening on http://127.0.0.1:")
        process.port = int(line.rpartition(":")[2])
        return process, Client(process)

    yield start
    for one in running:
        one.kill()
        one.wait()
        one.stderr.close()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_the_running_answers_end(process, signum):
    program, client = process(grace=10)
    with client:
        client.post(body={"prompt": "0.5"}).until(b'"x"')
        with Client(program) as idle:
            assert idle.send("GET", "/healthz").reply()[0] == 200
            program.send_signal(signum)
            assert idle.rest() == b""
        assert b"[DONE]" in client.rest()
    assert program.wait(WAIT_S) == -signum
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", program.port)).close()


def test_after_the_grace_period_answers_end_with_an_error(process):
    program, client = process(grace=0.3)
    with client:
        client.post(body={"prompt": "60"}).until(b'"x"')
        program.send_signal(signal.SIGTERM)
        text = client.rest()
    assert b'event: error\ndata: {"status": 4, "message": "the server is shutting down: try again later"}' in text
    assert text.endswith(b"0\r\n\r\n")
    assert b"[DONE]" not in text
    assert program.wait(WAIT_S) == -signal.SIGTERM
    assert program.stderr.read().decode().splitlines() == [
        "llmstream serve: 1 answer still running, cut after 0.3 s (--grace) or at a second signal",
        "llmstream test: closed",
        "llmstream serve: /chat/stream: the server is shutting down: try again later",
    ]


def test_a_second_signal_does_not_wait(process):
    program, client = process(grace=60)
    with client:
        client.post(body={"prompt": "60"}).until(b'"x"')
        program.send_signal(signal.SIGTERM)
        client.until(b": keep-alive")
        os.kill(program.pid, signal.SIGINT)
        assert b"shutting down" in client.rest()
    assert program.wait(WAIT_S) == -signal.SIGTERM


def test_a_crowd_that_waits_at_the_end_is_answered(process):
    program, client = process(grace=0.3)
    with client, contextlib.ExitStack() as stack:
        assert client.send("GET", "/healthz").reply()[0] == 200
        os.kill(program.pid, signal.SIGSTOP)  # so that all of them wait in the kernel
        clients = [Client(program) for _ in range(600)]
        for one in clients:
            stack.enter_context(one).post(body={"prompt": "quick"})
        program.send_signal(signal.SIGTERM)
        os.kill(program.pid, signal.SIGCONT)
        answers = [one.reply() for one in clients]
    refused = [(headers, body) for status, headers, body in answers if status == 503]
    assert len(refused) > 500  # those that came before the signal have an answer
    assert {status for status, _, _ in answers} <= {200, 503}
    for headers, body in refused:
        assert (headers["connection"], headers["retry-after"]) == ("close", "1")
        assert body == b'{"status": 4, "message": "the server is shutting down"}'
    assert program.wait(WAIT_S) == -signal.SIGTERM


@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_says_what_is_running(process, count):
    program, client = process(grace=60)
    with client, Client(program) as second:
        client.post(body={"prompt": "60"}).until(b'"x"')
        if count == 2:
            second.post(body={"prompt": "60"}).until(b'"x"')
        program.send_signal(signal.SIGINT)
        line = program.stderr.readline().decode()
        program.send_signal(signal.SIGINT)
        assert program.wait(WAIT_S) == -signal.SIGINT
    answers = "1 answer still running, Ctrl-C again to end it"
    if count == 2:
        answers = "2 answers still running, Ctrl-C again to end them"
    assert line == f"llmstream serve: {answers}\n"


def test_a_client_that_does_not_read_cannot_delay_the_end(process):
    program, client = process(grace=0.1)
    with client:
        client.post(body={"prompt": "60"}).until(b'"x"')
        program.send_signal(signal.SIGTERM)
        assert program.wait(WAIT_S) == -signal.SIGTERM


def test_the_limit_of_open_files_is_raised(process):
    program, client = process(grace=0)
    with client:
        limits = Path(f"/proc/{program.pid}/limits")
        if not limits.exists():
            pytest.skip("there is no /proc")
        line = next(line for line in limits.read_text().splitlines() if line.startswith("Max open files"))
        soft, hard = line.split()[3:5]
        assert soft == str(min(int(hard), OPEN_FILES)) or int(soft) > OPEN_FILES
