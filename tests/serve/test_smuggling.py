"""Request smuggling: bytes that two servers could take for different requests. One reading, or none, and a close.

Each case ends with a second request. A proxy that reads the head as we do not would take it for a part of the first
one's body, and never check it.
"""

from __future__ import annotations

import pytest

from ..support.serving import Client, ScriptedServer, ask

BODY = b'{"prompt": "x"}'
LENGTH = len(BODY)
SECOND = (
    b"POST /chat/stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b'content-length: 22\r\n\r\n{"prompt": "smuggled"}'
)
START = "POST /chat/stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (LENGTH, BODY)

# Two lengths: RFC 9112, 6.3.
HEADS = [
    f"content-length: {LENGTH}\r\ntransfer-encoding: chunked",
    f"transfer-encoding: chunked\r\ncontent-length: {LENGTH}",
    f"content-length: {LENGTH}\r\ncontent-length: 0",
    f"content-length: 0\r\ncontent-length: {LENGTH}",
    f"content-length: {LENGTH}, 0",
    f"content-length: 0, {LENGTH}",
    f"Content-Length: {LENGTH}\r\nCONTENT-LENGTH: 3",
    f"content-length: {LENGTH}\r\ntransfer-encoding: identity",
    f"transfer-encoding: identity\r\ncontent-length: {LENGTH}",
    f"content-length: {LENGTH}\r\ntransfer-encoding: xchunked",
    f"content-length: {LENGTH}\r\ntransfer-encoding:\r\n chunked",
    f"content-length: {LENGTH}\r\ntransfer-encoding\r\n : chunked",
    # A length that is no number
    f"content-length: +{LENGTH}",
    f"content-length: -{LENGTH}",
    f"content-length: {LENGTH}.0",
    f"content-length: 0x{LENGTH:x}",
    f"content-length: {LENGTH}e0",
    f"content-length: {LENGTH} 0",
    f"content-length: {LENGTH}_0",
    f"content-length: {LENGTH};0",
    "content-length: \u00b2",
    "content-length: 99999999999999999999999999",
    f"content-length: {2**64 + LENGTH}",
    "content-length: a",
    # Names that some servers take for others
    f"content-length : {LENGTH}",
    f"content-length\t: {LENGTH}",
    f" content-length: {LENGTH}",
    f"x: y\r\n content-length: {LENGTH}",
    f"x: y\r\n\tcontent-length: {LENGTH}",
    f"content-length\0: {LENGTH}",
    f"content-length: {LENGTH}\0",
    f"content length: {LENGTH}",
    f"(content-length): {LENGTH}",
    f": {LENGTH}",
    "x",
    "transfer-encoding : chunked",
    "transfer-encoding\t: chunked",
    " transfer-encoding: chunked",
    "x: y\r\n transfer-encoding: chunked",
    "x: y\rtransfer-encoding: chunked",
    # Codings that are not "chunked", or not at the end
    "transfer-encoding: chunked\0",
    "transfer-encoding: chunked, identity",
    "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    "transfer-encoding: chunked, gzip",
    "transfer-encoding: chunked;q=1",
    "transfer-encoding: \x0bchunked",
    "transfer-encoding: 'chunked'",
    'transfer-encoding: "chunked"',
    "transfer-encoding: chunke\u00e4",
    "transfer-encoding: chun\r\n ked",
]

# Chunks: RFC 9112, 7.1.
CODED = [
    b"-1\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"+f\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"0xf\r\n" + BODY + b"\r\n0\r\n\r\n",
    b" f\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"f g\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"g\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"f\r" + BODY + b"\r\n0\r\n\r\n",
    b"f\r\n" + BODY + b"0\r\n\r\n",
    b"f\r\n" + BODY + b"xx0\r\n\r\n",
    b"e\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"10\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"1000000000000000f\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"f\0\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"f\r\n" + BODY + b"\r\n0\r\nx\r\n\r\n",
]


def refused(server: ScriptedServer, data: bytes) -> bool:
    """Whether bytes get one response, a refusal, and the connection closes."""
    with Client(server) as client:
        client.socket.sendall(data)
        response = client.rest()
    return response.startswith(b"HTTP/1.1 4") and response.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("lines", HEADS)
def test_a_head_of_two_readings_is_refused(lines):
    body = CHUNKS if "chunk" in lines.lower() else BODY
    with ScriptedServer() as server:
        assert refused(server, f"{START}{lines}\r\n\r\n".encode("latin-1") + body + SECOND)
        assert server.generations == []
        assert ask(server)[0] == 200


@pytest.mark.parametrize("body", CODED)
def test_chunks_of_two_readings_are_refused(body):
    with ScriptedServer() as server:
        assert refused(server, f"{START}transfer-encoding: chunked\r\n\r\n".encode() + body + SECOND)
        assert server.generations == []
        assert ask(server)[0] == 200
