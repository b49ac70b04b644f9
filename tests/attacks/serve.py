"""Attacks on `llmstream serve`, each for a few seconds from several clients at once.

Meanwhile another process asks for /healthz every few milliseconds, each time on a new connection. The server's memory
is its peak during the attack, above what it took before the first one. Linux only: it reads /proc.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..bench.measure import environment
from ..conftest import LLMSTREAM
from ..support.loopback import Provider, chat, head

ATTACK_S = 3.0
MAX_P99_MS = 200
MAX_MEMORY_MB = 300
PROBE = """
import socket, sys, time
host, port = sys.argv[1].split(":")
times = []
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    start = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(b"GET /healthz HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
    assert b'"ok"' in answer, answer
    times.append(time.monotonic() - start)
    time.sleep(0.005)
print(*times)
"""


class Result(NamedTuple):
    """What was measured: milliseconds, megabytes, and the statuses of the answers."""

    p50: float
    p99: float
    memory: float
    answers: str


class Attack(NamedTuple):
    """`run(address)` is repeated by `clients` threads until the time is over; it returns the status of the answer."""

    name: str
    bound: str
    clients: int
    run: Callable[[str], str]
    expected: str  # a pattern of the statuses


def connect(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def post(path: str, body: bytes, *more: str) -> Callable[[str], str]:
    """Returns an attack that sends a body, and reads the answer's status."""
    fields = ["host: localhost", "content-type: application/json", f"content-length: {len(body)}", *more]
    request = "\r\n".join([f"POST {path} HTTP/1.1", *fields, "", ""]).encode() + body

    def run(address: str) -> str:
        with connect(address) as client:
            try:
                client.sendall(request)
                return client.recv(65536)[9:12].decode() or "closed"
            except OSError:
                return "closed"

    return run


def endless(address: str) -> str:
    """Sends a body without end that is refused."""
    piece = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
    with connect(address) as client, contextlib.suppress(OSError):
        client.sendall(b"POST /chat/stream HTTP/1.1\r\nhost: evil.example\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(1000):
            client.sendall(piece)
        return "open"
    return "closed"


def silent(address: str) -> str:
    """Opens connections that are refused, and says nothing more."""
    clients = [connect(address) for _ in range(50)]
    for client in clients:
        client.sendall(b"POST /chat/stream HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 9\r\n\r\n")
    end = time.monotonic() + 10
    open_ = 0
    for client in clients:
        client.settimeout(max(0.01, end - time.monotonic()))
        try:
            while client.recv(65536):
                pass
        except TimeoutError:
            open_ += 1
        except OSError:
            pass
        client.close()
    return "open" if open_ else "closed"


def half_bodies(address: str) -> str:
    """Sends most of a large body, and holds it."""
    with connect(address) as client:
        try:
            head = b"POST /chat/stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            client.sendall(head + b"content-length: 15000001\r\n\r\n" + b'{"prompt": "' + b"x" * 14_900_000)
            client.settimeout(2.0)
            return client.recv(65536)[9:12].decode() or "closed"
        except TimeoutError:
            return "held"
        except OSError:
            return "closed"


def unread(address: str) -> str:
    """Asks, and does not read."""
    with connect(address) as client:
        body = b'{"prompt": "x"}'
        client.sendall(b"POST /chat/stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
        client.sendall(b"content-length: %d\r\n\r\n%s" % (len(body), body))
        time.sleep(1.0)
    return "left"


def dripped(start: bytes) -> Callable[[str], str]:
    """Returns an attack that opens 50 connections and sends one byte a second on each: slowloris."""

    def run(address: str) -> str:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(address)) for _ in range(50)]
            for data in (start, *[b"x"] * 3):
                for client in clients:
                    with contextlib.suppress(OSError):
                        client.sendall(data)
                time.sleep(1.0)
        return "open"

    return run


def crowd(address: str) -> str:
    """Opens 300 connections and sends a request on each, of which the server runs some and refuses the rest."""
    request = b"POST /chat/stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    request += b'content-length: 15\r\nconnection: close\r\n\r\n{"prompt": "x"}'
    statuses = set()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(address)) for _ in range(300)]
        for client in clients:
            client.sendall(request)
        for client in clients:
            with contextlib.suppress(OSError):
                statuses.add(client.recv(65536)[9:12].decode())
    return " ".join(sorted(statuses))


CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Hi"}]}


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


TOOLS = [{"type": "function", "function": {"name": f"f{number}"}} for number in range(40_000)]
REFUSED = "400|413|503|closed"
ATTACKS = (
    Attack("a refused body without end", "2 s, 16 MiB", 8, endless, "closed"),
    Attack("200 refused, silent connections", "2 s", 4, silent, "closed"),
    Attack("40,000 tools", "100,000 values", 4, post(CHAT, as_json(HELLO | {"tools": TOOLS})), REFUSED),
    Attack("20,000 tools", "256 tools", 4, post(CHAT, as_json(HELLO | {"tools": TOOLS[:20_000]})), REFUSED),
    Attack(
        "12 MB of empty messages", "100,000 values", 4, post(CHAT, b'{"messages": [' + b"{}," * 4_000_000 + b"{}]}"),
        REFUSED,
    ),
    Attack("4,000 wrong messages", "4096 messages", 4, post(CHAT, b'{"messages": [' + b"{}," * 4000 + b"1]}"), REFUSED),
    Attack(
        "a million unknown keys", "100,000 values", 4,
        post("/chat/stream", as_json({f"k{number}": 1 for number in range(1_000_000)})), REFUSED,
    ),
    Attack(
        "100,000 texts in until.fixed", "32 texts", 4,
        post("/chat/stream", as_json({"prompt": "x", "until": {"fixed": ["a"] * 99_000}})), REFUSED,
    ),
    Attack(
        "a model's name of 15 MB", "256 characters", 4,
        post("/chat/stream", as_json({"prompt": "x", "model": "m" * 15_000_000})), REFUSED,
    ),
    Attack("10 MB of brackets", "100,000 values", 4, post("/chat/stream", b"[" * 10_000_000), REFUSED),
    Attack("150 bodies of 15 MB, held", "32 MiB for all", 150, half_bodies, "503|closed|held"),
    Attack(
        "prompts of 15 MB", "32 MiB for all", 8, post("/chat/stream", as_json({"prompt": "x" * 15_000_000})),
        "200|503|closed",
    ),
    Attack(
        "the same with a wide character", "32 MiB for all", 8,
        post("/chat/stream", as_json({"prompt": "\U0001f600" + "x" * 14_000_000})), "200|503|closed",
    ),
    Attack(
        "a schema of 99,000 values", "32 MiB for all", 8,
        post(CHAT, as_json(HELLO | {"tools": [{"name": "f", "parameters": {"enum": [0] * 99_000}}]})), "200|503|closed",
    ),
    Attack(
        "models by distinct names", "404", 4, post("/chat/stream", as_json({"prompt": "x", "model": "local/n"})), "404"
    ),
    Attack("100 clients that do not read", "60 s", 100, unread, "left"),
    Attack("a byte a second of 200 heads", "20 s", 4, dripped(b"GET / HTTP/1.1\r\nx: "), "open"),
    Attack(
        "a byte a second of 200 bodies", "60 s", 4,
        dripped(b"POST /chat/stream HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n"), "open",
    ),
    Attack("crowd: 3,000 clients", "100 run, 100 wait", 10, crowd, "200|503"),
    Attack(
        "a regex that takes years", "0.4 s for all", 4,
        post("/chat/stream", as_json({"prompt": "x", "until": {"regex": "([a-z ]+)+!"}})), "200|400|503",
    ),
    Attack("a body in gzip", "400", 4, post("/chat/stream", b"\x1f\x8b" + bytes(9), "content-encoding: gzip"), REFUSED),
)  # fmt: skip


class Server:
    """A running server; `idle` is its memory before the first attack, in bytes."""

    def __init__(self, pid: int, address: str) -> None:
        self.pid, self.address = pid, address
        post("/chat/stream", b'{"prompt": "x"}')(address)
        self.idle = self._status("VmRSS")

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024

    def measure(self, attack: Attack, seconds: float = ATTACK_S) -> Result:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the peak begins anew
        answers: set[str] = set()
        end = time.monotonic() + seconds

        def repeat() -> None:
            while time.monotonic() < end:
                answers.add(attack.run(self.address))

        threads = [threading.Thread(target=repeat, daemon=True) for _ in range(attack.clients)]
        command = [sys.executable, "-c", PROBE, self.address, str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as probe:
            for thread in threads:
                thread.start()
            text = probe.communicate()[0]
        for thread in threads:
            thread.join(30)
        times = sorted(1000 * float(word) for word in text.split())
        p99 = times[int(0.99 * (len(times) - 1))]
        memory = (self._status("VmHWM") - self.idle) / 1e6
        return Result(statistics.median(times), p99, memory, " ".join(sorted(answers)))


def held(attack: Attack, result: Result) -> bool:
    """Whether a server withstood an attack."""
    answers = all(re.fullmatch(attack.expected, answer) for answer in result.answers.split())
    return answers and result.p99 <= MAX_P99_MS and result.memory <= MAX_MEMORY_MB


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Runs a server, and a provider whose answers are long."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with Provider([head(), *chat(*["some words " * 1000] * 20)]) as provider:
        env = environment(OPENAI_API_KEY="sk-attack", OPENAI_BASE_URL=f"{provider.url}/v1")
        command = [*LLMSTREAM, "serve", "--port", "0", "-m", "openai/m", "--retries", "0"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env) as process:
            try:
                line = process.stderr.readline()
                threading.Thread(target=process.stderr.read, daemon=True).start()
                yield Server(process.pid, line.strip().rpartition("/")[2])
            finally:
                process.kill()
