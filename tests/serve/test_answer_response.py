"""Disconnects end the generation in every phase, slow clients hold back their own only, and signals end them all."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from llmstream.core.events import Text
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


# Silence and slow readers.


def _turns(server: ScriptedServer, seconds: float) -> int:
    """Returns how many turns the server's loop makes in this time."""
    turn, turns = server.loop._run_once, 0

    def count() -> None:
        nonlocal turns
        turns += 1
        turn()

    server.loop._run_once = count
    time.sleep(seconds)
    server.loop._run_once = turn
    return turns


@every_path
def test_the_server_rests_while_a_provider_is_silent(path, body):
    never = Gate()
    with ScriptedServer([never], keep_alive_s=0.05) as server, Client(server) as client:
        client.post(path, body)
        assert never.reached.wait(WAIT_S)
        time.sleep(0.1)  # longer than the interval
        assert _turns(server, 0.5) < 60  # a few for each interval


@every_path
def test_the_server_rests_while_a_slow_reader_holds_the_end_back(path, body):
    with ScriptedServer([[Text("x" * 4_000_000), *END]], keep_alive_s=0.05) as server:
        with Client(server, receive_buffer=4096) as client:
            client.post(path, body).until(b"xxx")
            assert server.generations[0].closed.wait(WAIT_S)
            time.sleep(0.1)
            assert _turns(server, 0.5) < 60
            assert client.reply()[0] == 200
        server.settle()


def test_a_silence_between_two_tokens_gets_keep_alives():
    gates = [Gate(), Gate()]
    with ScriptedServer([gates[0], "x", gates[1], END], keep_alive_s=0.05) as server, Client(server) as client:
        client.post("/v1/chat/completions", PATHS["/v1/chat/completions"] | {"stream": True})
        assert gates[0].reached.wait(WAIT_S)
        time.sleep(0.12)  # the head waits for the first token, and so do the keep-alives
        gates[0].open()
        assert b"keep-alive" not in client.until(b'"x"')
        client.until(b": keep-alive\n\n")
        gates[1].open()
        client.until(b"[DONE]")


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
