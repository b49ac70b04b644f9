"""Connections with HTTP/1.0, pipelined requests, malformed bytes, and bytes beyond the limits."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from llmstream.serve.connection import MAX_HEAD_BYTES, MAX_PIPELINED

from ..support.limits import WAIT_S
from ..support.serving import ASK, END, Client, Gate, ScriptedServer, ask, frames

POST = "POST /chat/stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKED = f"{POST}transfer-encoding: chunked\r\n\r\n".encode()


def request(version: str = "1.1", path: str = "/chat/stream", **headers: str) -> bytes:
    body = json.dumps(ASK if path == "/chat/stream" else {"messages": [{"role": "user", "content": "Hi"}]}).encode()
    fields = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body))} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/{version}\r\n{lines}\r\n".encode() + body


# HTTP/1.0.


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_an_http_1_0_answer_ends_with_the_connection(connection):
    with ScriptedServer(["Hel", "lo", END]) as server, Client(server) as client:
        client.socket.sendall(request("1.0", connection=connection))
        head, _, body = client.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert head.count(b"connection: close") == 1
    contents = [data for kind, data in frames(body) if not kind]
    assert contents == ['{"content": "Hel"}', '{"content": "lo"}', "[DONE]"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/nowhere"])
def test_http_1_0_responses_of_known_length_keep_content_length(path):
    with ScriptedServer() as server, Client(server) as client:
        client.socket.sendall(request("1.0", path))
        head, _, body = client.rest().partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)


# Pipelined requests.


def test_several_requests_on_one_connection():
    with ScriptedServer() as server, Client(server) as client:
        for _ in range(3):
            assert client.post().reply()[0] == 200
            assert client.send("GET", "/nowhere").reply()[0] == 404
            assert client.post(body={"prompt": ""}).reply()[0] == 422
    assert len(server.generations) == 3


def test_pipelined_requests():
    with ScriptedServer() as server, Client(server) as client:
        client.post().post()
        while client.received.count(b"[DONE]") < 2:
            client.received += client.socket.recv(65536)
    assert len(server.generations) == 2


@pytest.mark.parametrize("behind", [1, MAX_PIPELINED])
def test_a_disconnect_behind_pipelined_requests_is_noticed(behind):
    """The server keeps reading behind a request that is being answered, up to MAX_PIPELINED requests."""
    never = Gate()
    with ScriptedServer([never]) as server:
        client = Client(server)
        client.socket.sendall(request())
        assert never.reached.wait(WAIT_S)
        client.socket.sendall(request() * behind)
        client.socket.close()
        assert server.generations[0].closed.wait(WAIT_S)
        server.settle()
        assert len(server.generations) == 1


def test_a_disconnect_behind_too_many_pipelined_requests_is_noticed_at_the_next_write(capfd):
    gate, never = Gate(), Gate()
    with ScriptedServer(["x", gate, *["y"] * 1000, never]) as server:
        client = Client(server)
        client.socket.sendall(request())
        assert gate.reached.wait(WAIT_S)
        client.socket.sendall(request() * (MAX_PIPELINED + 2))
        server.on_loop(lambda: None)
        client.socket.close()
        gate.open()
        assert server.generations[0].closed.wait(WAIT_S)
        server.settle()
        assert len(server.generations) == 1
    assert capfd.readouterr().err == ""


def test_malformed_bytes_behind_a_request_get_no_response_within_its_answer():
    gate = Gate()
    with ScriptedServer(["x", gate, END]) as server, Client(server) as client:
        client.post().until(b'"x"')
        client.socket.sendall(b"nonsense\r\n\r\n")
        text = client.rest()
        assert b"400" not in text
        assert b"[DONE]" not in text
        assert server.generations[0].closed.wait(WAIT_S)


# Heads.


def test_an_incomplete_request_times_out(monkeypatch):
    from llmstream.serve.connection import Connection

    monkeypatch.setattr(Connection, "head_timeout_s", 0.1)
    with ScriptedServer(body_timeout_s=0.1) as server:
        for beginning in (b"", b"POST /chat/stream HTT", b"GET /healthz HTTP/1.1\r\nhost: "):
            with Client(server) as client:
                client.socket.sendall(beginning)
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


FOLDED = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: a\r\n b\r\n\r\n"  # a header on two lines: RFC 9112, 5.2


@pytest.mark.parametrize(
    "junk", [b"\0" * 100, b"GET\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", FOLDED]
)
def test_bytes_that_are_not_http(junk):
    with ScriptedServer() as server:
        with Client(server) as client:
            client.socket.sendall(junk)
            answer = client.rest()
            assert not answer or answer.startswith(b"HTTP/1.1 400 ")
        assert ask(server)[0] == 200


# Bodies.


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"-1\r\n\r\n", b"f" * 17 + b"\r\n", b"1\r\nabc\r\n"], ids=["letters", "minus", "huge", "long"]
)
def test_malformed_chunks(body):
    with ScriptedServer() as server:
        with Client(server) as client:
            client.socket.sendall(CHUNKED + body)
            assert client.rest().startswith(b"HTTP/1.1 400 ")
        assert server.generations == []
        assert ask(server)[0] == 200


@pytest.mark.parametrize(
    "more",
    ["content-length: 3\r\ntransfer-encoding: chunked", "content-length: 3\r\ncontent-length: 4", "content-length: +3"],
)
def test_a_body_has_one_length(more):
    with ScriptedServer() as server, Client(server) as client:
        client.socket.sendall(f"{POST}{more}\r\n\r\n0\r\n\r\n".encode())
        assert client.rest().startswith(b"HTTP/1.1 400 ")
        assert server.generations == []


@pytest.mark.parametrize(
    ("begin", "more"), [(b"1;", b"a"), (b"0\r\nx: ", b"a"), (b"0\r\n", b"x: a\r\n")], ids=["chunk", "trailer", "many"]
)
def test_chunk_extensions_and_trailers_are_limited(begin, more):
    with ScriptedServer() as server:
        with Client(server) as client:
            client.socket.sendall(CHUNKED + begin)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                for _ in range(200):
                    client.socket.sendall(more * (MAX_HEAD_BYTES // len(more)))
        server.settle()
        assert ask(server)[0] == 200


def test_a_body_in_chunks_of_one_byte_is_accepted():
    body = json.dumps({"prompt": "x" * MAX_HEAD_BYTES}).encode()
    with ScriptedServer() as server, Client(server) as client:
        client.socket.sendall(CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert client.reply()[0] == 200
    assert len(server.generations[0].request.prompt) == MAX_HEAD_BYTES


def test_the_kernel_s_send_buffer_is_limited():
    with ScriptedServer() as server, Client(server) as client:
        client.send("GET", "/healthz").reply()
        size = server.on_loop(lambda: _send_buffer(server))
    assert size <= 512 * 1024


def _send_buffer(server: ScriptedServer) -> int:
    connection = next(iter(server.connections))
    return connection.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


# Socket options.


def test_tcp_keep_alive_is_on():
    with ScriptedServer() as server, Client(server) as client:
        client.send("GET", "/healthz").reply()
        (connection,) = server.connections
        client_socket = connection.transport.get_extra_info("socket")
        assert client_socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
