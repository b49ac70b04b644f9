"""Who may ask, from where, how much, and how many at once."""

from __future__ import annotations

import json
import socket

import pytest

from llmstream.errors import UsageError
from llmstream.serve.run import listen, url

from ..support.limits import WAIT_S
from ..support.serving import ASK, END, Client, Scripted, Word, ask, frames, get

SECRET = "wörd of a token"
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
    with Scripted(hosts=("Box.Example",)) as server:
        for path in ("/", "/healthz", "/v1/models", "/nowhere"):
            expected = 404 if path == "/nowhere" and status == 200 else status
            assert get(server, path, host=host)[0] == expected
        assert ask(server, host=host)[0] == status
    assert len(server.generations) == (status == 200)


def test_no_host_and_two():
    with Scripted() as server:
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
    with Scripted(allow_origin=("https://app.example",)) as server:
        origin = origin.replace("PORT", str(server.port))
        told, headers, _ = ask(server, origin=origin)
        assert told == status
        assert headers.get("access-control-allow-origin") == (origin if "app" in origin and status == 200 else None)
    with Scripted() as server:
        ours = origin.replace(str(server.port), str(server.port))
        told, headers, _ = ask(server, origin=ours)
        assert told == (403 if origin else 200)
        assert not [name for name in headers if name.startswith("access-control")]


def test_a_browser_may_ask_ahead_where_its_page_is_allowed():
    wants = {"origin": "https://app.example", "access-control-request-method": "POST"}
    wants |= {"access-control-request-headers": "authorization,content-type"}
    with Scripted(allow_origin=("https://app.example",), token="t") as server:
        status, headers, _ = get(server, "/chat/stream", "OPTIONS", **wants)
        assert (status, headers["access-control-allow-origin"]) == (200, "https://app.example")
        assert headers["access-control-allow-headers"] == "authorization,content-type"
        status, headers, _ = ask(server, origin="https://app.example")
        assert (status, headers["access-control-allow-origin"]) == (401, "https://app.example")
    with Scripted(token="t") as server:
        status, headers, _ = get(server, "/chat/stream", "OPTIONS", **wants)
        assert (status, "access-control-allow-origin" in headers) == (403, False)


# Tokens.


@pytest.mark.parametrize("given", ["", SECRET[:-1], SECRET + "x", "x"])
def test_without_the_token_there_is_the_page_and_the_health_only(given):
    headers = {"authorization": f"Bearer {given}".encode().decode("latin-1")} if given else {}
    with Scripted(token=SECRET) as server:
        assert get(server, "/", **headers)[0] == get(server, "/healthz", **headers)[0] == 200
        for path in ("/v1/models", "/openapi.json", "/nowhere"):
            assert get(server, path, **headers)[0] == 401
        status, told, body = ask(server, **headers)
        assert (status, told["www-authenticate"], json.loads(body)["status"]) == (401, "Bearer", 2)
        assert json.loads(ask(server, "/v1/chat/completions", **headers)[2])["error"]["type"] == "authentication_error"
    assert not server.generations


def test_with_the_token():
    with Scripted(token=SECRET) as server:
        assert ask(server, **BEARER)[0] == get(server, "/v1/models", **BEARER)[0] == 200
        assert ask(server, authorization=BEARER["authorization"].replace("Bearer", "Basic"))[0] == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_an_address_that_others_reach_wants_one(host):
    with pytest.raises(UsageError, match="LLMSTREAM_SERVE_TOKEN"):
        listen(host, 0, "")
    with listen(host, 0, "secret") as listener:
        assert listener.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.5.5.5"])
def test_loopback_does_not(host):
    with listen(host, 0, "") as listener:
        address, port = listener.getsockname()[:2]
        assert url(listener) == (f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}")


def test_an_address_that_cannot_be_had():
    with listen("127.0.0.1", 0, "") as taken, pytest.raises(UsageError, match="choose another port"):
        listen("127.0.0.1", taken.getsockname()[1], "")
    with pytest.raises(UsageError, match=r"cannot listen on no\.such\.invalid"):
        listen("no.such.invalid", 0, "t")


# Sizes.


def test_a_body_at_the_bound_and_above():
    body = json.dumps(ASK).encode()
    with Scripted(max_body=len(body)) as server:
        assert ask(server, body=body)[0] == 200
        status, _, answer = ask(server, body=body + b" ")
        assert (status, json.loads(answer)["status"]) == (413, 2)


def test_a_body_that_says_it_is_too_large_is_not_waited_for():
    with Scripted(max_body=1000) as server, Client(server) as client:
        client.send("POST", "/chat/stream", b"", content_length="1000000000")
        status, headers, _ = client.reply()
        assert (status, headers["connection"]) == (413, "close")


def test_a_body_that_grows_without_a_word_is_cut_at_the_bound():
    with Scripted(max_body=100_000) as server, Client(server) as client:
        client.send("POST", "/chat/stream", transfer_encoding="chunked", content_type="application/json")
        piece = b"%x\r\n%s\r\n" % (5000, b" " * 5000)
        for _ in range(25):
            client.socket.sendall(piece)
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")
        assert b"larger than 100000 bytes" in client.until(b"}")


def test_a_large_body_is_refused_so_that_its_sender_reads_it():
    """Many clients send all before they read: a connection that is reset over it would lose the answer."""
    with Scripted(max_body=1000) as server:
        assert ask(server, body=b" " * 3_000_000)[0] == 413
        assert ask(server)[0] == 200


def test_chunked_bodies_are_taken():
    with Scripted() as server, Client(server) as client:
        client.send("POST", "/chat/stream", transfer_encoding="chunked", content_type="application/json")
        for piece in (b'{"pro', b'mpt": "Hi"}'):
            client.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        client.socket.sendall(b"0\r\n\r\n")
        assert client.reply()[0] == 200
    assert server.generations[0].asked.prompt == "Hi"


def test_continue_is_said_to_those_who_ask_and_are_let_in():
    with Scripted(max_body=1000) as server:
        with Client(server) as client:
            client.send("POST", "/chat/stream", b"", content_length="16", expect="100-continue")
            client.until(b"HTTP/1.1 100 Continue\r\n\r\n")
            client.seen = b""
            client.socket.sendall(b'{"prompt": "Hi"}')
            assert client.reply()[0] == 200
        with Client(server) as client:
            client.send("POST", "/chat/stream", b"", content_length="2000", expect="100-continue")
            assert client.rest().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_form_can_send_is_no_request(kind):
    with Scripted() as server:
        status, _, body = ask(server, content_type=kind)
        assert (status, b"application/json" in body) == (415, True)
        assert ask(server, content_type="Application/JSON; charset=utf-8")[0] == 200


# Numbers.


def test_beyond_the_queue_is_503():
    word = Word()
    script = ["x", word, END]
    with Scripted(script, ["second", END], jobs=1, queue=1) as server:
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
            word.give()
            assert b"[DONE]" in first.until(b"0\r\n\r\n")
            assert b"second" in second.until(b"[DONE]")
        assert ask(server)[0] == 200


def test_who_waits_is_kept_alive_and_served_in_order():
    words = [Word() for _ in range(3)]
    with Scripted(*(["x", word, END] for word in words), jobs=1, queue=2, keep_alive=0.05) as server:
        clients = [Client(server).post(body={"prompt": str(number)}) for number in range(3)]
        clients[2].until(b": keep-alive\n\n")
        for number, (client, word) in enumerate(zip(clients, words, strict=True)):
            assert word.awaited.wait(WAIT_S)
            assert server.generations[number].asked.prompt == str(number)
            word.give()
            client.until(b"[DONE]")
            client.socket.close()


def test_a_failed_answer_gives_its_place_back():
    with Scripted([ZeroDivisionError()], [UsageError("no")], ["x", END], jobs=1, queue=0) as server:
        for _ in range(2):
            ask(server)
            server.settle()
        assert frames(ask(server)[2])[-1] == ("", "[DONE]")


def test_several_requests_on_one_connection():
    with Scripted() as server, Client(server) as client:
        for _ in range(3):
            assert client.post().reply()[0] == 200
            assert client.send("GET", "/nowhere").reply()[0] == 404
            assert client.post(body={"prompt": ""}).reply()[0] == 422
    assert len(server.generations) == 3


def test_requests_in_a_row_without_waiting():
    with Scripted() as server, Client(server) as client:
        client.post().post()
        while client.seen.count(b"[DONE]") < 2:
            client.seen += client.socket.recv(65536)
    assert len(server.generations) == 2


def test_the_kernel_looks_after_vanished_clients():
    with Scripted() as server, Client(server) as client:
        client.send("GET", "/healthz").reply()
        (connection,) = server.server.server_state.connections
        theirs = connection.transport.get_extra_info("socket")
        assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
