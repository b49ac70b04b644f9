"""Disconnects end the generation in every phase, slow clients hold back their own only, and signals end them all."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from llmstream.core.events import Text
from llmstream.serve.run import MAX_OPEN_FILES

from ..conftest import ROOT, environment
from ..support.limits import WAIT_S
from ..support.serving import ASK, END, Client, Gate, ScriptedServer, ask, frames

PATHS = {
    "/chat/stream": ASK,
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
}
STREAMED = {"/v1/chat/completions": {"stream": True}}

every_path = pytest.mark.parametrize(
    ("path", "body"), [*PATHS.items(), *((path, PATHS[path] | more) for path, more in STREAMED.items())]
)


def leave(client: Client, how: str) -> None:
    if how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


@every_path
@pytest.mark.parametrize("how", ["close", "reset"])
def test_before_the_first_token(path, body, how):
    never = Gate()
    with ScriptedServer([never]) as server:
        client = Client(server).post(path, body)
        assert never.reached.wait(WAIT_S)
        leave(client, how)
        assert server.generations[0].closed.wait(WAIT_S)
        server.settle()


@every_path
@pytest.mark.parametrize("how", ["close", "reset"])
def test_between_two_tokens(path, body, how):
    never = Gate()
    with ScriptedServer(["x", never]) as server:
        client = Client(server).post(path, body)
        assert never.reached.wait(WAIT_S)
        leave(client, how)
        assert server.generations[0].closed.wait(WAIT_S)
        assert not server.generations[0].complete
        server.settle()


@every_path
def test_in_the_queue(path, body):
    gate = Gate()
    with ScriptedServer(["x", gate, END], jobs=1, queue=1) as server, Client(server) as first:
        first.post()
        assert gate.reached.wait(WAIT_S)
        second = Client(server).post(path, body)
        while server.on_loop(lambda: len(server.state.answers)) < 2:
            pass
        leave(second, "close")
        while server.on_loop(lambda: len(server.state.answers)) > 1:
            pass
        gate.open()
        first.until(b"[DONE]")
        server.settle()
        assert len(server.generations) == 1
        assert ask(server)[0] == 200  # the job is free again


def test_while_the_body_is_sent():
    with ScriptedServer() as server:
        client = Client(server).send("POST", "/chat/stream", b"", content_length="100", content_type="application/json")
        client.socket.sendall(b'{"prom')
        leave(client, "reset")
        assert ask(server)[0] == 200
        assert len(server.generations) == 1


def test_all_at_once():
    never = Gate()
    with ScriptedServer(["x", never], jobs=200) as server:
        clients = [Client(server).post() for _ in range(200)]
        for client in clients:
            client.until(b'"x"')
        for client in clients:
            leave(client, "reset")
        for generation in server.generations:
            assert generation.closed.wait(WAIT_S)
        server.settle()
        assert len(server.generations) == 200
        assert server.on_loop(lambda: len(server.connections)) == 0


def test_while_the_client_reads_nothing():
    """Backpressure holds the generation back; a disconnect closes it although nothing can be written."""
    piece = "x" * 10_000
    with ScriptedServer([piece] * 10_000) as server:
        client = Client(server, receive_buffer=4096).post()
        client.until(b"xxx")
        before, consumed = -1, server.generations[0].batches
        while before != consumed:  # until the buffers are full
            before, consumed = consumed, _later(server)
        assert consumed < 2_000
        assert not server.generations[0].closed.is_set()
        assert _buffered(server) < 256 * 1024
        leave(client, "reset")
        assert server.generations[0].closed.wait(WAIT_S)
        server.settle()


def _later(server: ScriptedServer) -> int:
    """Returns the number of consumed batches after some turns of the loop, in which more could be consumed."""
    for _ in range(50):
        server.on_loop(lambda: None)
    return server.generations[0].batches


def _buffered(server: ScriptedServer) -> int:
    connections = server.connections
    return server.on_loop(lambda: max(connection.transport.get_write_buffer_size() for connection in connections))


def test_a_slow_reader_gets_everything_and_delays_no_other():
    count = 20_000
    with ScriptedServer([f"{number} " * 100 for number in range(count)] + [END], ["quick", END]) as server:
        with Client(server, receive_buffer=100_000) as client:
            client.post()
            client.received = client.socket.recv(1)
            assert b"quick" in ask(server)[2]
            assert server.generations[0].batches < count
            _, _, body = client.reply()
        contents = [data for kind, data in frames(body) if not kind]
        assert contents[count - 1] == f'{{"content": "{count - 1} {f"{count - 1} " * 99}"}}'
        assert contents[-1] == "[DONE]"


def test_an_incomplete_request_times_out(monkeypatch):
    from llmstream.serve.connection import Connection

    monkeypatch.setattr(Connection, "head_timeout_s", 0.1)
    with ScriptedServer(body_timeout=0.1) as server:
        for begun in (b"", b"POST /chat/stream HTT", b"GET /healthz HTTP/1.1\r\nhost: "):
            with Client(server) as client:
                client.socket.sendall(begun)
                assert client.rest() == b""
        with Client(server) as client:  # and on a connection that has served a request
            assert client.send("GET", "/healthz").reply()[0] == 200
            client.socket.sendall(b"GET /healthz HT")
            assert client.rest() == b""
        with Client(server) as client:
            client.send("POST", "/chat/stream", b"", content_length="10")
            assert client.reply()[0] == 408
            assert client.rest() == b""
        while server.on_loop(lambda: len(server.connections)):
            pass


def test_the_size_of_a_head_is_limited():
    with ScriptedServer() as server, Client(server) as client:
        line = b"x: " + b"y" * 1000 + b"\r\n"
        client.socket.sendall(b"GET /healthz HTTP/1.1\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 10_000_000:
                client.socket.sendall(line)
                sent += len(line)
        assert sent < 9_000_000  # most of it is in the kernel's buffers
        assert client.rest() == b""


@pytest.mark.parametrize("junk", [b"\0" * 100, b"GET\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00"])
def test_bytes_that_are_not_http(junk):
    with ScriptedServer() as server:
        with Client(server) as client:
            client.socket.sendall(junk)
            assert client.rest().startswith((b"HTTP/1.1 400 ", b""))
        assert ask(server)[0] == 200


# Signals, in a process of its own.

PROGRAM = """
import asyncio
from llmstream import __main__, cli, stdio
from llmstream.core.events import Text
from llmstream.serve.run import MAX_OPEN_FILES
from llmstream.serve.app import create
from llmstream.serve.run import run
from llmstream.serve.settings import Settings

async def generate(asked):
    yield [Text("x")]
    try:
        while asked.prompt != "quick":
            await asyncio.sleep(float(asked.prompt))
            yield [Text("y")]
            if asked.prompt != "0.05":
                return
    finally:
        stdio.note("test", "closed")

def main(args, *_, **__):
    run(create(generate, Settings(grace={grace}, keep_alive=0.05)), "127.0.0.1", 0)

cli.cli.main = main
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
    assert program.stderr.read() == b"llmstream test: closed\n"


def test_a_second_signal_does_not_wait(process):
    program, client = process(grace=60)
    with client:
        client.post(body={"prompt": "60"}).until(b'"x"')
        program.send_signal(signal.SIGTERM)
        client.until(b": keep-alive")
        os.kill(program.pid, signal.SIGINT)
        assert b"shutting down" in client.rest()
    assert program.wait(WAIT_S) == -signal.SIGTERM


def test_a_client_that_does_not_read_cannot_delay_the_end(process):
    program, client = process(grace=0.1)
    with client:
        client.post(body={"prompt": "60"}).until(b'"x"')
        program.send_signal(signal.SIGTERM)
        assert program.wait(WAIT_S) == -signal.SIGTERM


def test_new_requests_are_refused_while_the_server_is_closing():
    gate = Gate()
    with ScriptedServer([Text("x"), gate, END]) as server, Client(server) as first, Client(server) as second:
        first.post().until(b'"x"')
        assert second.send("GET", "/healthz").reply()[0] == 200
        server.on_loop(lambda: setattr(server.state, "closing", True))
        status, headers, body = second.post().reply()
        assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
        assert body == b'{"status": 4, "message": "the server is shutting down"}'
        gate.open()
        first.until(b"[DONE]")


def test_the_limit_of_open_files_is_raised(process):
    program, client = process(grace=0)
    with client:
        limits = Path(f"/proc/{program.pid}/limits")
        if not limits.exists():
            pytest.skip("there is no /proc")
        line = next(line for line in limits.read_text().splitlines() if line.startswith("Max open files"))
        soft, hard = line.split()[3:5]
        assert soft == str(min(int(hard), MAX_OPEN_FILES)) or int(soft) > MAX_OPEN_FILES
