"""Disconnects end the generation in every phase, slow clients hold back their own only, and signals end them all."""

from __future__ import annotations

import socket
import struct

import pytest

from llmstream.errors import UsageError

from ..support.limits import WAIT_S
from ..support.serving import ASK, END, Client, Gate, ScriptedServer, ask, frames, get

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


# Concurrent requests.


def test_beyond_the_queue_is_503():
    gate = Gate()
    script = ["x", gate, END]
    with ScriptedServer(script, ["second", END], jobs=1, queue=1) as server:
        with Client(server) as first, Client(server) as second:
            first.post().until(b'"x"')
            second.post().until(b"\r\n\r\n")
            for path, body in [
                ("/chat/stream", ASK),
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
            ]:
                status, headers, answer = ask(server, path, body)
                assert (status, headers["retry-after"]) == (503, "1")
                assert b"the server is busy" in answer
            assert len(server.generations) == 1
            assert get(server, "/healthz")[0] == 200
            gate.open()
            assert b"[DONE]" in first.until(b"0\r\n\r\n")
            assert b"second" in second.until(b"[DONE]")
        assert ask(server)[0] == 200


def test_queued_requests_get_keep_alives_and_run_in_order():
    gates = [Gate() for _ in range(3)]
    with ScriptedServer(*(["x", gate, END] for gate in gates), jobs=1, queue=2, keep_alive_s=0.05) as server:
        clients = [Client(server).post(body={"prompt": str(number)}) for number in range(3)]
        clients[2].until(b": keep-alive\n\n")
        for number, (client, gate) in enumerate(zip(clients, gates, strict=True)):
            assert gate.reached.wait(WAIT_S)
            assert server.generations[number].request.prompt == str(number)
            gate.open()
            client.until(b"[DONE]")
            client.socket.close()


def test_a_failed_answer_releases_its_job():
    with ScriptedServer([ZeroDivisionError()], [UsageError("no")], ["x", END], jobs=1, queue=0) as server:
        for _ in range(2):
            ask(server)
            server.settle()
        assert frames(ask(server)[2])[-1] == ("", "[DONE]")
