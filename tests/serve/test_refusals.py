"""Connections that are refused, silent, or not read: each one ends, whatever its client does."""

from __future__ import annotations

import json
import time

import pytest

from llmstream.serve import guard
from llmstream.serve.connection import Connection

from ..support.limits import WAIT_S
from ..support.serving import ASK, END, Client, Gate, ScriptedServer, ask, frames

REFUSED = {
    401: {"authorization": "Bearer wrong"},
    403: {"origin": "https://evil.example"},
    421: {"host": "evil.example"},
    415: {"content_type": "text/plain"},
    413: {"content_length": "100000000"},
}


def wait_until(condition) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def refused(server: ScriptedServer, status: int, body: bytes | None = b"") -> Client:
    client = Client(server)
    headers = {"authorization": "Bearer t", "content_length": "1000000"} | REFUSED[status]
    return client.send("POST", "/chat/stream", body, **headers)


@pytest.mark.parametrize("status", REFUSED)
def test_a_refusal_before_the_body_closes_the_connection(status, monkeypatch):
    monkeypatch.setattr(guard, "DRAIN_TIMEOUT_S", 0.05)
    with ScriptedServer(token="t", max_body_bytes=10_000_000) as server, refused(server, status) as client:
        code, headers, _ = client.reply()
        assert (code, headers["connection"]) == (status, "close")
        assert client.rest() == b""  # though the client neither sends its body nor leaves
        wait_until(lambda: not server.connections)


@pytest.mark.parametrize("status", REFUSED)
def test_the_body_of_a_refused_request_is_not_read_for_ever(status, monkeypatch):
    monkeypatch.setattr(guard, "DRAIN_BYTES", 1_000_000)
    with ScriptedServer(token="t", max_body_bytes=10_000_000) as server, Client(server) as client:
        headers = {"authorization": "Bearer t", "content_type": "application/json"} | REFUSED[status]
        if status == 413:
            headers = headers | {"content_length": "9999999999"}
        else:
            headers["transfer_encoding"] = "chunked"
        client.send("POST", "/chat/stream", **headers)
        piece = b"%x\r\n%s\r\n" % (1_000_000, b" " * 1_000_000)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(100):
                client.socket.sendall(piece)


def test_a_refused_client_that_waits_for_100_continue_is_closed():
    with ScriptedServer(token="t") as server, Client(server) as client:
        client.send("POST", "/chat/stream", b"", content_length="100", expect="100-continue")
        assert client.rest().startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("more", [b"\r\n", b"\r\n\r\n", b"G"])
def test_bytes_between_two_requests_do_not_stop_the_clock(more, monkeypatch):
    monkeypatch.setattr(Connection, "head_timeout_s", 0.1)
    with ScriptedServer() as server, Client(server) as client:
        client.send("GET", "/healthz").reply()
        client.socket.sendall(more)
        assert client.rest() == b""
        wait_until(lambda: not server.connections)


@pytest.mark.parametrize("path", ["/chat/stream", "/v1/chat/completions"])
def test_a_client_that_does_not_read_gives_its_place_back(path, monkeypatch):
    monkeypatch.setattr(Connection, "write_timeout_s", 0.2)
    body = ASK if path == "/chat/stream" else {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with ScriptedServer(["x" * 100_000] * 200, jobs=1, queue=0) as server, Client(server, 4096) as client:
        client.post(path, body)
        wait_until(lambda: server.generations)
        assert server.generations[0].closed.wait(WAIT_S)
        server.settle()
        wait_until(lambda: not server.connections)


def test_a_client_that_does_not_read_the_end_of_an_answer_is_dropped(monkeypatch):
    monkeypatch.setattr(Connection, "write_timeout_s", 0.2)
    with ScriptedServer(["x" * 1_000_000, END]) as server, Client(server, 4096) as client:
        client.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}, connection="close")
        wait_until(lambda: server.generations)
        wait_until(lambda: not server.connections)


def test_a_client_that_reads_slowly_keeps_its_place(monkeypatch):
    monkeypatch.setattr(Connection, "write_timeout_s", 0.4)
    with ScriptedServer(["x" * 10_000] * 80 + [END]) as server, Client(server, 4096) as client:
        client.post()
        while b"[DONE]" not in client.received[-200:]:
            data = client.socket.recv(32_768)
            assert data
            client.received += data
            time.sleep(0.005)
    assert server.generations[0].complete


def test_a_client_that_waits_for_the_model_keeps_its_place(monkeypatch):
    monkeypatch.setattr(Connection, "write_timeout_s", 0.02)
    monkeypatch.setattr(Connection, "head_timeout_s", 0.02)
    gate = Gate()
    with ScriptedServer([gate, "x", END]) as server, Client(server) as client:
        client.post()
        assert gate.reached.wait(WAIT_S)
        time.sleep(0.1)
        gate.open()
        client.until(b"[DONE]")


# Upgrade and trailers.


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_with_upgrade_has_its_body(chunked):
    body = json.dumps(ASK).encode()
    upgrade = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABkAAQAAP__"}
    with ScriptedServer() as server, Client(server) as client:
        for _ in range(2):  # also on a connection that has served one
            if chunked:
                client.send(
                    "POST", "/chat/stream", transfer_encoding="chunked", content_type="application/json", **upgrade
                )
                client.socket.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            else:
                client.post(**upgrade)
            status, _, answer = client.reply()
            assert (status, frames(answer)[0]) == (200, ("", '{"content": "Hello"}'))
        assert client.send("GET", "/healthz", **upgrade).reply()[0] == 200
        assert client.send("GET", "/healthz").reply()[0] == 200
    assert len(server.generations) == 2


def test_a_body_behind_upgrade_has_the_same_limits():
    with ScriptedServer(max_body_bytes=1000) as server:
        status, headers, _ = ask(server, body=b" " * 2000, connection="upgrade", upgrade="h2c")
        assert (status, headers["connection"]) == (413, "close")


def test_connect_is_refused():
    with ScriptedServer() as server, Client(server) as client:
        client.socket.sendall(b"CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert client.until(b"\r\n")[9:10] == b"4"


def test_trailers_are_no_headers():
    with ScriptedServer() as server, Client(server) as client:
        client.send("POST", "/chat/stream", transfer_encoding="chunked", content_type="application/json")
        body = json.dumps(ASK).encode()
        trailers = b"content-type: text/plain\r\nhost: evil.example\r\nauthorization: Bearer t\r\n"
        client.socket.sendall(b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailers))
        assert client.reply()[0] == 200
        scope = server.on_loop(lambda: next(iter(server.connections)).scope)
    assert [name for name, _ in scope["headers"]] == [b"host", b"transfer-encoding", b"content-type"]
