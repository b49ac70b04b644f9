"""libcurl on the loop, over real sockets: pauses, heads, connections that serve again, proxies, HTTP/2."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
import trustme

from llmstream.net import curl as curls
from llmstream.net.curl import Curl, CurlTransfer
from llmstream.net.loop import Loop
from llmstream.net.transfer import HttpRequest, Transfer

from ..support.http2 import Http2
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, Script, chat, chat_text, head
from ..support.tunnel import Tunnel

LARGE = 16 << 20  # bytes: more than the network's buffers hold


class RequestBuilder:
    """Transfers on a loop of their own."""

    def __init__(self) -> None:
        self.loop = Loop(watch_stdout=False)
        self.curl = Curl(self.loop)
        self.woken: list[str] = []

    def post(self, url: str, name: str = "", wake: Callable[[], object] = lambda: None) -> Transfer:
        return self.curl.send(HttpRequest("POST", url, [], {}), 10.0, lambda: (self.woken.append(name), wake()))

    def until(self, true: Callable[[], object]) -> None:
        """Lets the loop work until it is true, which a server's thread may make it."""
        end = self.loop.now() + 20
        while not true():
            assert self.loop.wait(self.loop.now() + 0.01) < end, "the test is stuck"

    def whole(self, transfer: Transfer) -> bytes:
        """What comes to the end."""
        body = bytearray()
        while not transfer.ended:
            self.until(lambda: transfer.chunks or transfer.ended)
            body += transfer.take()
        return bytes(body)

    def quiet(self) -> None:
        """Lets all happen that happens without the test's doing."""
        end = self.loop.now() + 0.1
        while self.loop.wait(end) < end:
            pass

    def close(self) -> None:
        self.curl.close()
        self.loop.close()


@pytest.fixture(params=["epoll", "poll"])
def asking(request, monkeypatch) -> Iterator[RequestBuilder]:
    if request.param == "poll":
        monkeypatch.delattr(select, "epoll", raising=False)
    asking = RequestBuilder()
    yield asking
    asking.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority, tmp_path, monkeypatch) -> ssl.SSLContext:
    """A server's context that is trusted here."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "far.test").configure_cert(context)
    return context


def open_sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


def test_the_head_arrives_before_the_body(asking):
    with Provider([head(), HOLD]) as provider:
        transfer = asking.post(provider.url)
        asking.until(lambda: asking.woken)
        assert transfer.head()[0] == 200
        assert transfer.chunks == []
        asking.curl.end(transfer)
        assert provider.client_left.wait(WAIT_S)


def test_a_pause_before_there_is_a_connection(asking):
    with Provider([head(), *chat("Hello")]) as provider:
        transfer = asking.post(provider.url)
        transfer.pause(True)
        asking.quiet()
        assert transfer.head() is not None
        assert transfer.chunks == []
        transfer.pause(False)
        assert asking.whole(transfer) == b"".join(chat("Hello"))


def test_a_pause_that_ends_before_anything_arrives(asking):
    with Provider([head(), *chat("Hello")]) as provider:
        transfer = asking.post(provider.url)
        transfer.pause(True)
        transfer.pause(False)
        assert asking.whole(transfer) == b"".join(chat("Hello"))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_pause_within_the_body_holds_the_server_back_and_loses_nothing(asking, tls, secure):
    sent = threading.Event()
    body = os.urandom(1 << 20) * (LARGE >> 20)

    def script(request: object) -> Iterator[bytes]:
        yield head("200 OK", "text/event-stream", f"Content-Length: {LARGE}")
        yield body
        sent.set()

    with Provider(script, tls=tls if secure else None) as provider:
        transfer = asking.post(provider.url)
        asking.until(lambda: transfer.chunks)
        got = bytearray()
        for _ in range(3):
            transfer.pause(True)
            got += transfer.take()
            asking.quiet()
            assert transfer.chunks == []
            assert not sent.is_set()
            transfer.pause(False)
            asking.until(lambda: transfer.chunks)
        assert bytes(got) + asking.whole(transfer) == body
        assert transfer.reason == ""


def test_what_libcurl_holds_at_a_pause_arrives_when_it_ends(asking, tls):
    """One TLS record, of which nothing is left in the kernel."""
    with Provider([head(), chat_text("a"), HOLD], tls=tls) as provider:
        transfer = asking.post(provider.url)
        transfer.pause(True)
        asking.quiet()
        asking.woken.clear()
        transfer.pause(False)
        asking.until(lambda: asking.woken)
        assert transfer.take() == chat_text("a")
        asking.curl.end(transfer)


def test_a_paused_transfer_can_be_ended(asking):
    with Provider([head(), chat_text("a"), HOLD]) as provider:
        transfer = asking.post(provider.url)
        asking.until(lambda: transfer.chunks)
        transfer.pause(True)
        asking.curl.end(transfer)
        assert provider.client_left.wait(WAIT_S)


def test_one_ends_another_of_the_same_round(asking):
    go = threading.Event()
    with Provider([go, head(), chat_text("a"), HOLD]) as provider:
        transfers: list[Transfer] = []

        def end_the_others() -> None:
            for transfer in [other for other in transfers if not other.chunks]:
                transfers.remove(transfer)
                asking.curl.end(transfer)

        transfers += [asking.post(provider.url, wake=end_the_others) for _ in range(4)]
        asking.until(lambda: len(provider.requests) == 4)
        go.set()
        asking.quiet()
        assert transfers == [transfer for transfer in transfers if transfer.chunks]
        for transfer in transfers:
            asking.curl.end(transfer)


def test_one_that_raises_keeps_the_others_from_nothing(asking, tls):
    """Two streams of one connection, so that both are told of in one go."""

    def fail() -> None:
        raise ZeroDivisionError

    with Http2(tls) as server:
        first = asking.post(server.url, "first")
        asking.until(lambda: server.streams)
        server.send(server.streams[0], b"a", end=True)
        asking.whole(first)
        asking.curl.end(first)
        bad, good = asking.post(server.url, "bad", fail), asking.post(server.url, "good")
        asking.until(lambda: len(server.streams) == 3)
        asking.woken.clear()
        server.send(server.streams[1], b"b", flush=False)
        server.send(server.streams[2], b"c")
        with contextlib.suppress(ZeroDivisionError):
            asking.until(lambda: "bad" in asking.woken)
        with contextlib.suppress(ZeroDivisionError):
            asking.until(lambda: "good" in asking.woken)
        assert server.connections == 1
        for transfer in (bad, good):
            asking.curl.end(transfer)


# Connections.


def kept_open(end: threading.Event) -> Script:
    """An answer whose chunks end when the test says so."""
    lines = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [lines.encode() + b"1\r\na\r\n", end, b"0\r\n\r\n", HOLD]


def test_a_whole_answer_leaves_its_connection_to_the_next(asking):
    end = threading.Event()
    with Provider(kept_open(end)) as provider:
        before = open_sockets()
        transfer = asking.post(provider.url)
        asking.until(lambda: transfer.chunks)
        transfer.complete = True
        asking.curl.end(transfer)
        woken = len(asking.woken)
        end.set()
        asking.quiet()
        assert not provider.client_left.is_set()
        assert len(asking.woken) == woken  # whoever ended it hears no more
        assert asking.curl._transfers == {}
        assert open_sockets() == before + 2  # the client's, which is kept, and the server's


def test_an_answer_whose_response_does_not_end_is_not_waited_for(asking, monkeypatch):
    monkeypatch.setattr(curls, "LINGER_S", 0.05)
    with Provider([kept_open(threading.Event())[0], HOLD]) as provider:
        transfer = asking.post(provider.url)
        asking.until(lambda: transfer.chunks)
        transfer.complete = True
        asking.curl.end(transfer)
        asking.quiet()
        assert asking.curl._transfers == {}
        assert provider.client_left.wait(WAIT_S)


def test_an_answer_that_is_not_whole_closes_its_connection_at_once(asking):
    with Provider([kept_open(threading.Event())[0], HOLD]) as provider:
        transfer = asking.post(provider.url)
        asking.until(lambda: transfer.chunks)
        asking.curl.end(transfer)
        assert provider.client_left.wait(WAIT_S)


def test_nothing_is_left_of_many(asking):
    with Provider(lambda request: [head(), *chat("Hello")]) as provider:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            transfer = asking.post(provider.url)
            asking.whole(transfer)
            asking.curl.end(transfer)
        asking.quiet()
        assert asking.curl._transfers == {}
        assert asking.curl.to_wake == {}
        assert asking.loop._ready == {}
    assert len(os.listdir("/proc/self/fd")) <= before + 5


def test_forgotten_requests_are_sent_before_the_end(monkeypatch):
    asking = RequestBuilder()
    with Provider([head(), HOLD]) as provider:
        monkeypatch.setattr(curls, "FORGOTTEN_S", 0.2)
        asking.curl.send_and_forget(HttpRequest("DELETE", provider.url, []))
        asking.close()
        assert provider.requests[0].line.startswith("DELETE ")


def test_a_tunnels_own_head_is_not_the_responses(asking, tls, monkeypatch):
    script = [head("429 Slow down"), b"no"]
    with Provider(script, tls=tls) as provider, Tunnel(provider.port) as tunnel:
        monkeypatch.setenv("https_proxy", tunnel.url)
        transfer = asking.post("https://far.test/v1")
        asking.until(lambda: transfer.head_lines)
        asking.quiet()
        assert transfer.head() is None
        tunnel.opened.set()
        assert asking.whole(transfer) == b"no"
        assert transfer.head()[0] == 429


# HTTP/2.


def begin(asking: RequestBuilder, server: Http2, data: bytes) -> CurlTransfer:
    """Returns the first transfer of a server, of which the data has arrived."""
    transfer = asking.post(server.url)
    asking.until(lambda: server.streams)
    server.send(server.streams[0], data)
    asking.until(lambda: transfer.chunks)
    return transfer


def test_a_stream_that_waits_holds_up_no_other_of_its_connection(asking, tls):
    with Http2(tls) as server:
        first = begin(asking, server, b"x" * 1000)
        first.take()
        first.pause(True)
        second = asking.post(server.url)
        asking.until(lambda: len(server.streams) == 2)
        for _ in range(20):
            server.send(server.streams[0], b"x" * 1000)
            server.send(server.streams[1], b"y" * 1000)
        server.send(server.streams[1], b"", end=True)
        assert asking.whole(second) == b"y" * 20_000
        assert first.chunks == []
        asking.curl.end(second)
        first.pause(False)
        server.send(server.streams[0], b"", end=True)
        assert asking.whole(first) == b"x" * 20_000
        asking.curl.end(first)
        assert server.connections == 1


def test_one_stream_is_ended_and_the_connection_stays(asking, tls):
    with Http2(tls) as server:
        first = begin(asking, server, b"x")
        second = asking.post(server.url)
        asking.until(lambda: len(server.streams) == 2)
        asking.curl.end(first)
        asking.until(lambda: server.reset)
        assert server.reset == [server.streams[0]]
        server.send(server.streams[1], b"y", end=True)
        assert asking.whole(second) == b"y"
        asking.curl.end(second)
        assert server.connections == 1


def test_a_whole_stream_is_not_reset(asking, tls):
    """Servers take many resets for an attack."""
    with Http2(tls) as server:
        transfer = begin(asking, server, b"x")
        transfer.complete = True
        asking.curl.end(transfer)
        server.send(server.streams[0], b"", end=True)
        asking.until(lambda: not asking.curl._transfers)
        asking.quiet()
        assert server.reset == []


def test_refused_streams_end_with_a_reason(asking, tls):
    with Http2(tls) as server:
        transfer = asking.post(server.url)
        asking.until(lambda: server.streams)
        server.refuse(server.streams[0])
        asking.until(lambda: transfer.ended)
        assert transfer.reason
        asking.curl.end(transfer)


def test_a_port_where_nobody_listens(asking):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transfer = asking.post(f"http://127.0.0.1:{port}")
    asking.until(lambda: transfer.ended)
    assert "is the server running?" in transfer.reason
    assert transfer.head() is None
    asking.curl.end(transfer)
