"""New connections wait for their first bytes; those that ask for an answer come after all others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from llmstream.serve.arrivals import ACCEPTS, CONNECTS, Arrivals


def arrive(starts: list[bytes], until: Callable[[list[bytes]], bool]) -> tuple[list[bytes], list[bytes]]:
    """Returns the first bytes of the connections in the order in which they were passed on, and what the others got."""
    passed: list[socket.socket] = []

    async def main(listener: socket.socket) -> list[bytes]:
        arrivals = Arrivals(listener, passed.append)
        while not until([peek(one) for one in passed]):
            await asyncio.sleep(0)
        arrivals.close()
        return [peek(one) for one in passed]

    with socket.create_server(("127.0.0.1", 0), backlog=len(starts)) as listener:
        clients = [socket.create_connection(listener.getsockname(), timeout=30) for _ in starts]
        for client, start in zip(clients, starts, strict=True):
            client.sendall(start)
        order = asyncio.run(main(listener))
        ports = {one.getpeername()[1] for one in passed}
        rest = [client for client in clients if client.getsockname()[1] not in ports]
        received = [closed(client) for client in rest]
        for one in (*passed, *clients):
            one.close()
    return order, received


def peek(connection: socket.socket) -> bytes:
    return connection.recv(4, socket.MSG_PEEK)


def closed(client: socket.socket) -> bytes:
    try:
        return client.recv(1)
    except ConnectionResetError:  # what it sent was not read
        return b""


def test_a_check_of_health_overtakes_a_crowd() -> None:
    posts = 5 * CONNECTS
    order, _ = arrive([*[b"POST /"] * posts, b"GET /h"], lambda passed: len(passed) == posts + 1)
    assert order == [b"GET ", *[b"POST"] * posts]


def test_at_the_end_those_that_have_sent_something_are_passed_on_and_the_others_are_closed() -> None:
    starts = [b"GET /h", b"", *[b"POST /"] * 9 * CONNECTS, b"", b"GET /h"]
    order, received = arrive(starts, lambda passed: b"POST" in passed)
    assert sorted(order) == [b"GET "] * 2 + [b"POST"] * 9 * CONNECTS
    assert received == [b""] * 2


def test_connections_that_were_not_even_accepted_are_passed_on() -> None:
    starts = [b"", *[b"POST /"] * (ACCEPTS + 9)]
    order, received = arrive(starts, lambda passed: True)
    assert order == [b"POST"] * (ACCEPTS + 9)
    assert received == [b""]
