"""A thousand clients at once: `llmstream serve` beside the server that a tutorial writes.

    python -m tests.bench.serve [CLIENTS [RUNS]]

Three processes: the provider (tests/bench/crowd.py), the server, and the clients, which are this one: raw sockets and
an epoll. The server has a core of its own, the others share one, where there are two. The clients begin within RAMP
seconds. Each text is the time at which the provider sent it, so a client sees by how much it is late: what is late
without a server between, `nothing`, is what the provider and the clients themselves add. First tokens are counted from
the request: a server that is behind lets new requests wait, and what it streams looks well. `over` is by how many
seconds the last answer ended after it might have. A token is lost where an answer ends before it.

Then all clients vanish in mid-answer: how long until the provider saw each connection close.

Linux only: it reads /proc.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from . import crowd
from .measure import environment, machine, pin, progress

SECONDS = 6  # of an answer
RATES = (4, 10)  # tokens a second, for each client
RAMP = 2.0
STUCK = 30.0  # seconds after the ramp: what has not come is lost
ENDLESS = "1000@4!"
STAMP = re.compile(rb'"(\d+\.\d{6}) "')
LONGEST = 64  # bytes of a stamp's text, and of what ends an answer
LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")
SERVERS = {
    "nothing": None,
    "llmstream serve": ["llmstream", "serve", "--port", "0", "--jobs", "{clients}"],
    "the tutorial's": ["uvicorn", "tests.bench.tutorial:app", "--port", "0"],
}


class Server:
    """A server under test, as seen from without; pid 0 is none."""

    def __init__(self, port: int, pid: int, path: str, model: str) -> None:
        self.port, self.pid, self.path, self.model = port, pid, path, model

    def request(self, model: str) -> bytes:
        name = self.model + model
        body = {"prompt": "Hi", "model": name}
        if not self.pid:
            body = {"messages": [{"role": "user", "content": "Hi"}], "model": name, "stream": True}
        data = json.dumps(body).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data

    def cpu(self) -> float:
        """Seconds of user and system time so far."""
        if not self.pid:
            return 0.0
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> float:
        """Megabytes that it had at most."""
        if not self.pid:
            return 0.0
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1000  # type: ignore[index]

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@contextmanager
def serving(name: str, url: str, clients: int) -> Iterator[Server]:
    command = SERVERS[name]
    if command is None:
        yield Server(int(url.rpartition(":")[2]), 0, "/v1/chat/completions", "")
        return
    argv = [sys.executable, "-m", *(word.format(clients=clients) for word in command)]
    env = environment(OPENAI_BASE_URL=f"{url}/v1", OPENAI_API_KEY="k")
    with (
        tempfile.NamedTemporaryFile("r") as said,  # not a pipe: nobody would read it
        open(said.name, "w") as stderr,
        subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=stderr) as process,
    ):
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setaffinity(process.pid, {0})
        try:
            while not (found := LISTENING.search(said.read())):
                said.seek(0)
                time.sleep(0.05)
            ours = command[0] != "uvicorn"
            yield Server(int(found[1]), process.pid, "/chat/stream", "openai/" if ours else "")
        finally:
            process.kill()


class Client:
    __slots__ = ("asked", "count", "done", "socket", "tail")

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.asked = time.monotonic()
        self.socket.sendall(request)
        self.socket.setblocking(False)
        self.tail = b""
        self.count, self.done = 0, False

    def read(self, late: array[float], first: array[float]) -> None:
        """Notes what the tokens that are there are late by, in seconds."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.monotonic()
        held, end = self.tail + data, 0
        for stamp in STAMP.finditer(held):
            if self.count:
                late.append(now - float(stamp[1]))
            else:
                first.append(now - self.asked)
            self.count += 1
            end = stamp.end()
        self.tail = held[end:][-LONGEST:]
        self.done = not data or b"[DONE]" in held


class Crowd:
    """Clients that ask all the same."""

    def __init__(self, server: Server, model: str, clients: int) -> None:
        self.late, self.first = array("d"), array("d")
        self.clients: list[Client] = []
        self._epoll = select.epoll()
        self._open: dict[int, Client] = {}
        request, begun = server.request(model), time.monotonic()
        for number in range(clients):
            self._read_until(begun + number * RAMP / clients)
            client = Client(server.port, request)
            self.clients.append(client)
            self._open[client.socket.fileno()] = client
            self._epoll.register(client.socket, select.EPOLLIN)

    def _read_until(self, when: float) -> None:
        while (left := when - time.monotonic()) > 0 and (self._open or len(self.clients) == 0):
            for fd, _ in self._epoll.poll(left):
                client = self._open[fd]
                client.read(self.late, self.first)
                if client.done:
                    self._epoll.unregister(fd)
                    del self._open[fd]

    def read(self) -> None:
        """Until all answers have ended."""
        self._read_until(time.monotonic() + STUCK)

    def read_all_begun(self) -> None:
        """Until each has had a token."""
        deadline = time.monotonic() + STUCK
        while min(client.count for client in self.clients) == 0 and time.monotonic() < deadline:
            self._read_until(time.monotonic() + 0.1)

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()
        self._epoll.close()


class Figures(NamedTuple):
    """Milliseconds, of first tokens and of others; seconds; megabytes."""

    first_p50: float
    first_p99: float
    p50: float
    p99: float
    worst: float
    over: float
    lost: int
    cpu: float
    peak: float
    provider: float  # by how much the provider itself was behind, at most


def answers(name: str, url: str, clients: int, rate: int) -> Figures:
    """All of them to their ends."""
    count = rate * SECONDS
    with serving(name, url, clients) as server:
        warm = Crowd(server, "1!", 1)  # what is imported or built at the first use is
        warm.read()
        warm.close()
        crowd.seen(url, anew=True)
        cpu, begun = server.cpu(), time.monotonic()
        gc.collect()
        gc.disable()
        asked = Crowd(server, f"{count}@{rate}!", clients)
        asked.read()
        gc.enable()
        asked.close()
        cpu, wall = server.cpu() - cpu, time.monotonic() - begun
        peak = server.peak()
    first = statistics.quantiles(asked.first, n=100)
    late = statistics.quantiles(asked.late, n=100)
    lost = sum(count - client.count for client in asked.clients)
    times = [first[49], first[98], late[49], late[98], max(asked.late)]
    return Figures(
        *(1000 * value for value in times),
        wall - RAMP - SECONDS,
        lost,
        100 * cpu / wall,
        peak,
        1000 * crowd.seen(url)["late"],
    )


def vanishing(name: str, url: str, clients: int) -> tuple[list[float], int, int]:
    """Milliseconds after the first close of each close that the provider has seen; descriptors left over; tokens."""
    with serving(name, url, clients) as server:
        warm = Crowd(server, "1!", 1)
        warm.read()
        warm.close()
        crowd.seen(url, anew=True)
        before = server.descriptors() if server.pid else 0
        asked = Crowd(server, ENDLESS, clients)
        asked.read_all_begun()
        at = time.monotonic()
        asked.close()
        while len(left := crowd.seen(url)["left"]) < clients and time.monotonic() < at + 20:
            time.sleep(0.1)
        leftover = server.descriptors() - before if server.pid else 0
    return [1000 * (when - at) for when in left], leftover, len(asked.first)


def main(clients: int = 1000, runs: int = 3) -> None:
    print(machine())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"server, and provider with clients, {pin(1)}")
    with crowd.running() as url:
        for rate in RATES:
            rows: dict[str, list[Figures]] = {name: [] for name in SERVERS}
            for run in range(runs):
                for name in SERVERS:
                    progress(f"{run}/{runs} {rate} a second: {name}")
                    rows[name].append(answers(name, url, clients, rate))
            progress("")
            print(f"\n{clients} clients, {rate} a second each, {SECONDS} s; ms that a token is late: medians of {runs}")
            print(
                f"{'between':18}{'first p50':>10}{'p99':>8}{'p50':>9}{'p99':>9}{'max':>9}{'over s':>8}{'lost':>7}"
                f"{'CPU %':>7}{'peak MB':>9}{'provider':>10}"
            )
            for name, found in rows.items():
                one = Figures(*map(statistics.median, zip(*found, strict=True)))
                print(
                    f"{name:18}{one.first_p50:10.1f}{one.first_p99:8.1f}{one.p50:9.2f}{one.p99:9.2f}{one.worst:9.1f}{one.over:8.1f}"
                    f"{one.lost:7.0f}{one.cpu:7.0f}{one.peak:9.0f}{one.provider:10.1f}"
                )
        print(f"\nall {clients} clients vanish: ms until the provider saw the close")
        print(f"{'':18}{'begun':>7}{'seen':>7}{'median':>9}{'max':>9}{'descriptors left':>18}")
        for name in SERVERS:
            left, leftover, begun = vanishing(name, url, clients)
            print(f"{name:18}{begun:7}{len(left):7}{statistics.median(left):9.1f}{max(left):9.1f}{leftover:18}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
