"""What `gen` saves by connecting while it reads stdin: a slow producer, and a provider that is some way off.

    python -m tests.bench.early_connection [--delay MS] [--runs N]

The provider speaks HTTP/2 over TLS on loopback, behind a proxy that holds everything back for half a round trip. The
first data of a connection waits for another one, as TCP's handshake would. `--retries 0` is the way without an early
connection.
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue

import h2.config
import h2.connection
import h2.events
import trustme

from ..support.loopback import chat
from . import measure
from .gen import ROOT, llmstream

STDIN_MS = (0, 100, 200, 300, 500, 1000)
PROMPT = "Tell me of a river."
ANSWER = b"".join(chat("A", " river"))


@contextmanager
def provider(folder: str) -> Iterator[int]:
    """A provider that answers each request at once; gives its port. Its CA is in the folder."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(f"{folder}/ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    tls.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener, lambda plain: answer(tls, plain)), daemon=True).start()
        yield listener.getsockname()[1]


def accept(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def answer(tls: ssl.SSLContext, plain: socket.socket) -> None:
    """Answers the requests of one connection."""
    protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    with suppress(OSError), tls.wrap_socket(plain, server_side=True) as connection:
        protocol.initiate_connection()
        connection.sendall(protocol.data_to_send())
        while data := connection.recv(65536):
            for event in protocol.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    protocol.send_headers(event.stream_id, [(":status", "200"), ("content-type", "text/event-stream")])
                    protocol.send_data(event.stream_id, ANSWER, end_stream=True)
            connection.sendall(protocol.data_to_send())


@contextmanager
def distance(port: int, round_trip: float) -> Iterator[str]:
    """A proxy before the port; gives its URL."""

    def serve(near: socket.socket) -> None:
        far = socket.create_connection(("127.0.0.1", port))
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=carry, args=(far, near, round_trip / 2, 0.0), daemon=True).start()
        carry(near, far, round_trip / 2, round_trip)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener, serve), daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


def carry(source: socket.socket, target: socket.socket, delay: float, handshake: float) -> None:
    """Carries data one way, each part `delay` seconds after it came, and nothing before the handshake is over."""
    parts: SimpleQueue[tuple[float, bytes]] = SimpleQueue()

    def deliver() -> None:
        with suppress(OSError):
            while True:
                due, data = parts.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)

    threading.Thread(target=deliver, daemon=True).start()
    opened = time.monotonic() + handshake
    data = b"-"
    while data:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        parts.put((max(time.monotonic(), opened) + delay, data))


def run(argv: list[str], env: dict[str, str], folder: str, stdin_ms: int) -> measure.Cost:
    """Runs gen with a producer that writes the prompt, and ends, `stdin_ms` after the start."""
    fifo = f"{folder}/prompt"
    started = time.monotonic()

    def produce() -> None:
        with open(fifo, "wb") as pipe:
            time.sleep(max(0.0, started + stdin_ms / 1000 - time.monotonic()))
            pipe.write(PROMPT.encode())

    producer = threading.Thread(target=produce)
    producer.start()
    cost = measure.run(argv, env, fifo)
    producer.join()
    return cost


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.early_connection", description=__doc__.splitlines()[0])
    parser.add_argument("--delay", type=float, default=30, help="round trip in ms (30)")
    parser.add_argument("--runs", type=int, default=15, help="runs of each row (15)")
    options = parser.parse_args()
    command = [*llmstream(), "gen", "-m", "openai/m"]
    with (
        tempfile.TemporaryDirectory() as folder,
        provider(folder) as port,
        distance(port, options.delay / 1000) as url,
    ):
        os.mkfifo(f"{folder}/prompt")
        keys = {"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": f"{url}/v1", "CURL_CA_BUNDLE": f"{folder}/ca.pem"}
        env = measure.environment(PYTHONPATH=str(ROOT), **keys)
        print(f"early connection: {measure.machine()}, round trip {options.delay:g} ms, {options.runs} runs")
        print(f"{'stdin ends after, ms':22} {'first byte, ms':>15} {'without':>9} {'saved':>7} {'round trips':>12}")
        for stdin_ms in STDIN_MS:
            ways = {"with": command, "without": [*command, "--retries", "0"]}
            measures = {name: partial(run, argv, env, folder, stdin_ms) for name, argv in ways.items()}
            costs = measure.in_turn(measures, options.runs)
            first = {name: [cost.first * 1000 for cost in costs[name]] for name in ways}
            saved = statistics.median(b - a for a, b in zip(first["with"], first["without"], strict=True))
            medians = [statistics.median(first[name]) for name in ways]
            print(
                f"{stdin_ms:22} {medians[0]:15.0f} {medians[1]:9.0f} {saved:7.0f} {saved / options.delay:12.1f}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
