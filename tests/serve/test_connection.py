"""What a connection may carry beside one good request: older HTTP, requests in a row, nonsense, and too much."""

from __future__ import annotations

import json
import socket

import pytest

from llmstream.serve.connection import MAX_HEAD_BYTES, MAX_PIPELINED

from ..support.limits import WAIT_S
from ..support.serving import ASK, END, Client, Scripted, Word, ask, frames

POST = "POST /chat/stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKED = f"{POST}transfer-encoding: chunked\r\n\r\n".encode()


def request(version: str = "1.1", path: str = "/chat/stream", **headers: str) -> bytes:
    body = json.dumps(ASK if path == "/chat/stream" else {"messages": [{"role": "user", "content": "Hi"}]}).encode()
    fields = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body))} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/{version}\r\n{lines}\r\n".encode() + body


# HTTP/1.0.


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_without_chunks_an_answer_ends_with_the_connection(connection):
    with Scripted(["Hel", "lo", END]) as server, Client(server) as client:
        client.socket.sendall(request("1.0", connection=connection))
        head, _, body = client.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    contents = [data for kind, data in frames(body) if not kind]
    assert contents == ['{"content": "Hel"}', '{"content": "lo"}', "[DONE]"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/nowhere"])
def test_what_has_a_length_keeps_it(path):
    with Scripted() as server, Client(server) as client:
        client.socket.sendall(request("1.0", path))
        head, _, body = client.rest().partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)


# Requests behind others.


@pytest.mark.parametrize("behind", [1, MAX_PIPELINED])
def test_who_has_asked_again_is_seen_to_leave(behind):
    """Before anything can be written: what is asked behind an answer is taken, so that the end is read."""
    never = Word()
    with Scripted([never]) as server:
        client = Client(server)
        client.socket.sendall(request())
        assert never.awaited.wait(WAIT_S)
        client.socket.sendall(request() * behind)
        client.socket.close()
        assert server.generations[0].closed.wait(WAIT_S)
        server.settle()
        assert len(server.generations) == 1


def test_who_has_asked_many_times_is_not_read_any_more_and_seen_to_leave_at_the_next_word(capfd):
    word, never = Word(), Word()
    with Scripted(["x", word, *["y"] * 1000, never]) as server:
        client = Client(server)
        client.socket.sendall(request())
        assert word.awaited.wait(WAIT_S)
        client.socket.sendall(request() * (MAX_PIPELINED + 2))
        server.on_loop(lambda: None)
        client.socket.close()
        word.give()
        assert server.generations[0].closed.wait(WAIT_S)
        server.settle()
        assert len(server.generations) == 1
    assert capfd.readouterr().err == ""


def test_nonsense_behind_a_request_is_not_answered_within_its_answer():
    word = Word()
    with Scripted(["x", word, END]) as server, Client(server) as client:
        client.post().until(b'"x"')
        client.socket.sendall(b"nonsense\r\n\r\n")
        text = client.rest()
        assert b"400" not in text
        assert b"[DONE]" not in text
        assert server.generations[0].closed.wait(WAIT_S)


# Bodies.


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"-1\r\n\r\n", b"f" * 17 + b"\r\n", b"1\r\nabc\r\n"], ids=["word", "minus", "huge", "long"]
)
def test_chunks_that_are_none(body):
    with Scripted() as server:
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
    with Scripted() as server, Client(server) as client:
        client.socket.sendall(f"{POST}{more}\r\n\r\n0\r\n\r\n".encode())
        assert client.rest().startswith(b"HTTP/1.1 400 ")
        assert server.generations == []


@pytest.mark.parametrize(
    ("begin", "more"), [(b"1;", b"a"), (b"0\r\nx: ", b"a"), (b"0\r\n", b"x: a\r\n")], ids=["chunk", "trailer", "many"]
)
def test_what_is_around_a_body_is_bounded(begin, more):
    with Scripted() as server:
        with Client(server) as client:
            client.socket.sendall(CHUNKED + begin)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                for _ in range(200):
                    client.socket.sendall(more * (MAX_HEAD_BYTES // len(more)))
        server.settle()
        assert ask(server)[0] == 200


def test_a_body_in_chunks_of_a_byte_is_taken():
    body = json.dumps({"prompt": "x" * MAX_HEAD_BYTES}).encode()
    with Scripted() as server, Client(server) as client:
        client.socket.sendall(CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert client.reply()[0] == 200
    assert len(server.generations[0].asked.prompt) == MAX_HEAD_BYTES


def test_what_the_kernel_holds_for_a_slow_reader_is_bounded():
    with Scripted() as server, Client(server) as client:
        client.send("GET", "/healthz").reply()
        taken = server.on_loop(lambda: _send_buffer(server))
    assert taken <= 512 * 1024


def _send_buffer(server: Scripted) -> int:
    connection = next(iter(server.server.server_state.connections))
    return connection.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
