"""Checks of host, origin, token and body, and the limits on concurrent requests."""

from __future__ import annotations

import json

import pytest

from llmstream.core.events import Text

from ..support.serving import ASK, END, Client, Gate, ScriptedServer, ask, get

SECRET = "sëcret with blanks"
BEARER = {"authorization": f"Bearer {SECRET}".encode().decode("latin-1")}


# Host and Origin.


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:80", 200),
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("[::1]:8000", 200),
        ("192.168.1.5", 200),
        ("box.example:8000", 200),
        ("evil.example", 421),
        ("evil.example:8000", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("[::1", 421),
        ("a@127.0.0.1:b@evil.example", 421),
        ("a@localhost", 421),
        ("localhost:port", 421),
        ("localhost:99999", 421),
        ("localhost/path", 421),
    ],
)
def test_hosts(host, status):
    with ScriptedServer(allow_hosts=("Box.Example",)) as server:
        for path in ("/", "/healthz", "/v1/models", "/nowhere"):
            expected = 404 if path == "/nowhere" and status == 200 else status
            assert get(server, path, host=host)[0] == expected
        assert ask(server, host=host)[0] == status
    assert len(server.generations) == (status == 200)


def test_a_request_has_exactly_one_host():
    with ScriptedServer() as server:
        for head in ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n"):
            with Client(server) as client:
                client.socket.sendall(head.encode())
                assert client.reply()[0] == 400


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("", 200),
        ("http://127.0.0.1:PORT", 200),
        ("https://app.example", 200),
        ("http://app.example", 403),
        ("https://evil.example", 403),
        ("http://127.0.0.1:1", 403),
        ("null", 403),
    ],
)
def test_origins(origin, status):
    with ScriptedServer(allow_origins=("https://app.example",)) as server:
        origin = origin.replace("PORT", str(server.port))
        code, headers, _ = ask(server, origin=origin)
        assert code == status
        assert headers.get("access-control-allow-origin") == (origin if "app" in origin and status == 200 else None)
    with ScriptedServer() as server:
        code, headers, _ = ask(server, origin=origin)
        assert code == (403 if origin else 200)
        assert not [name for name in headers if name.startswith("access-control")]


def test_preflight_requests_pass_for_allowed_origins_only():
    preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
    preflight |= {"access-control-request-headers": "authorization,content-type"}
    with ScriptedServer(allow_origins=("https://app.example",), token="t") as server:
        status, headers, _ = get(server, "/chat/stream", "OPTIONS", **preflight)
        assert (status, headers["access-control-allow-origin"]) == (200, "https://app.example")
        assert headers["access-control-allow-headers"] == "authorization,content-type"
        status, headers, _ = ask(server, origin="https://app.example")
        assert (status, headers["access-control-allow-origin"]) == (401, "https://app.example")
    with ScriptedServer(token="t") as server:
        status, headers, _ = get(server, "/chat/stream", "OPTIONS", **preflight)
        assert (status, "access-control-allow-origin" in headers) == (403, False)


# Tokens.


@pytest.mark.parametrize("token", ["", SECRET[:-1], SECRET + "x", "x"])
def test_without_the_token_only_the_page_and_the_health_are_served(token):
    headers = {"authorization": f"Bearer {token}".encode().decode("latin-1")} if token else {}
    with ScriptedServer(token=SECRET) as server:
        assert get(server, "/", **headers)[0] == get(server, "/healthz", **headers)[0] == 200
        for path in ("/v1/models", "/openapi.json", "/nowhere"):
            assert get(server, path, **headers)[0] == 401
        status, response_headers, body = ask(server, **headers)
        assert (status, response_headers["www-authenticate"], json.loads(body)["status"]) == (401, "Bearer", 2)
        assert json.loads(ask(server, "/v1/chat/completions", **headers)[2])["error"]["type"] == "authentication_error"
    assert not server.generations


def test_with_the_token():
    with ScriptedServer(token=SECRET) as server:
        assert ask(server, **BEARER)[0] == get(server, "/v1/models", **BEARER)[0] == 200
        assert ask(server, authorization=BEARER["authorization"].replace("Bearer", "Basic"))[0] == 401


# Bodies.


def test_a_body_at_the_limit_and_above():
    body = json.dumps(ASK).encode()
    with ScriptedServer(max_body_bytes=len(body)) as server:
        assert ask(server, body=body)[0] == 200
        status, _, answer = ask(server, body=body + b" ")
        assert (status, json.loads(answer)["status"]) == (413, 2)


def test_a_body_announced_as_too_large_is_not_awaited():
    with ScriptedServer(max_body_bytes=1000) as server, Client(server) as client:
        client.send("POST", "/chat/stream", b"", content_length="1000000000")
        status, headers, _ = client.reply()
        assert (status, headers["connection"]) == (413, "close")


def test_a_chunked_body_is_cut_at_the_limit():
    with ScriptedServer(max_body_bytes=100_000) as server, Client(server) as client:
        client.send("POST", "/chat/stream", transfer_encoding="chunked", content_type="application/json")
        piece = b"%x\r\n%s\r\n" % (5000, b" " * 5000)
        for _ in range(25):
            client.socket.sendall(piece)
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")
        assert b"larger than 100000 bytes" in client.until(b"}")


def test_the_sender_of_a_body_that_is_too_large_can_read_the_response():
    """Many clients read only after they have sent everything; a reset connection would discard the response."""
    with ScriptedServer(max_body_bytes=1000) as server:
        assert ask(server, body=b" " * 3_000_000)[0] == 413
        assert ask(server)[0] == 200


def test_chunked_bodies_are_accepted():
    with ScriptedServer() as server, Client(server) as client:
        client.send("POST", "/chat/stream", transfer_encoding="chunked", content_type="application/json")
        for piece in (b'{"pro', b'mpt": "Hi"}'):
            client.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        client.socket.sendall(b"0\r\n\r\n")
        assert client.reply()[0] == 200
    assert server.generations[0].request.prompt == "Hi"


def test_100_continue_is_sent_only_to_requests_that_pass():
    with ScriptedServer(max_body_bytes=1000) as server:
        with Client(server) as client:
            client.send("POST", "/chat/stream", b"", content_length="16", expect="100-continue")
            client.until(b"HTTP/1.1 100 Continue\r\n\r\n")
            client.received = b""
            client.socket.sendall(b'{"prompt": "Hi"}')
            assert client.reply()[0] == 200
        with Client(server) as client:
            client.send("POST", "/chat/stream", b"", content_length="2000", expect="100-continue")
            assert client.rest().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_content_types_of_html_forms_are_rejected(kind):
    with ScriptedServer() as server:
        status, _, body = ask(server, content_type=kind)
        assert (status, b"application/json" in body) == (415, True)
        assert ask(server, content_type="Application/JSON; charset=utf-8")[0] == 200


def test_new_requests_are_refused_while_the_server_is_closing():
    gate = Gate()
    with ScriptedServer([Text("x"), gate, END]) as server, Client(server) as first, Client(server) as second:
        first.post().until(b'"x"')
        assert second.send("GET", "/healthz").reply()[0] == 200
        server.on_loop(lambda: setattr(server.state, "closing", True))
        with Client(server) as page:
            answers = [second.post().reply(), page.post(origin=server.url).reply()]
        for status, headers, body in answers:
            assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
            assert body == b'{"status": 4, "message": "the server is shutting down"}'
        gate.open()
        first.until(b"[DONE]")
