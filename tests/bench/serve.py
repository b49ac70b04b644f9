"""A thousand clients at once: `llmstream serve` compared with the server of a tutorial.

    python -m tests.bench.serve [CLIENTS [RUNS]]

Three processes: the provider (tests/bench/crowd.py), the server, and this one with all clients: raw sockets and an
epoll. On two cores the server has one, and the others share the other. The clients start within RAMP_S seconds.

Each text is the time at which the provider sent it, so a client sees the delay of each token. The row `nothing`, with
no server between, shows what the provider and the clients add. First tokens are timed from the request, since an
overloaded server delays new requests while its running streams look good. `waits` is how much of the time the server
could run but had no core: where that is more than a few percent, other processes of the machine make its tokens late.
`over` is the time by which the last answer ended late, in seconds. A token is lost if its answer ends before it.

Then all clients disconnect in the middle of their answers: how long until the provider sees each connection close.

Linux only: it reads /proc.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
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
from .measure import environment, goal, machine, pin, progress

ANSWER_S = 6
RATES = (4, 10)  # tokens a second, for each client
RAMP_S = 2.0
MAX_P99_MS = 20.0  # that later tokens of `llmstream serve` may be late, in each run
TIMEOUT_S = 30.0  # after the ramp; a token that has not arrived by then is lost
ENDLESS = "1000@4!"
STAMP = re.compile(rb'"(\d+\.\d{6}) "')
TAIL_BYTES = 64  # kept between reads: more than a stamp's text or the end of an answer
LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")
SERVERS = {
    "nothing": None,
    "llmstream serve": ["llmstream", "serve", "--port", "0", "--jobs", "{clients}", "--allow-model", "openai/*"],
    "the tutorial's": ["uvicorn", "tests.bench.tutorial:app", "--port", "0"],
}


class ServerUnderTest:
    """A server's address, and its costs as /proc has them; a pid of 0 is the provider, without a server between."""

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
        """Returns the seconds of user and system time so far."""
        if not self.pid:
            return 0.0
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited(self) -> float:
        """Returns the seconds so far for which the server could run, but had no core; 0 if the kernel does not tell."""
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
        return 0.0

    def peak(self) -> float:
        """Returns the peak of resident memory in megabytes."""
        if not self.pid:
            return 0.0
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1000  # type: ignore[index]

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@contextmanager
def serving(name: str, url: str, clients: int) -> Iterator[ServerUnderTest]:
    command = SERVERS[name]
    if command is None:
        yield ServerUnderTest(int(url.rpartition(":")[2]), 0, "/v1/chat/completions", "")
        return
    argv = [sys.executable, "-m", *(word.format(clients=clients) for word in command)]
    env = environment(OPENAI_BASE_URL=f"{url}/v1", OPENAI_API_KEY="k")
    with (
        tempfile.NamedTemporaryFile("r") as log,  # a pipe would have to be read
        open(log.name, "w") as stderr,
        subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=stderr) as process,
    ):
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setaffinity(process.pid, {0})
        try:
            while not (address := LISTENING.search(log.read())):
                log.seek(0)
                time.sleep(0.05)
            is_llmstream = command[0] != "uvicorn"
            yield ServerUnderTest(int(address[1]), process.pid, "/chat/stream", "openai/" if is_llmstream else "")
        finally:
            process.kill()


class TimedClient:
    """A client with one request; `count` is its tokens so far."""

    __slots__ = ("count", "done", "sent_at", "socket", "tail")

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.sent_at = time.monotonic()
        self.socket.sendall(request)
        self.socket.setblocking(False)
        self.tail = b""
        self.count, self.done = 0, False

    def read(self, late: array[float], first: array[float]) -> None:
        """Reads what has arrived; appends the delay of each token, or the time of the first one, in seconds."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.monotonic()
        received, end = self.tail + data, 0
        for stamp in STAMP.finditer(received):
            if self.count:
                late.append(now - float(stamp[1]))
            else:
                first.append(now - self.sent_at)
            self.count += 1
            end = stamp.end()
        self.tail = received[end:][-TAIL_BYTES:]
        self.done = not data or b"[DONE]" in received


class Clients:
    """Clients that send the same request, one after the other within RAMP_S seconds."""

    def __init__(self, server: ServerUnderTest, model: str, clients: int) -> None:
        self.late, self.first = array("d"), array("d")
        self.clients: list[TimedClient] = []
        self._epoll = select.epoll()
        self._open: dict[int, TimedClient] = {}
        request, start = server.request(model), time.monotonic()
        for number in range(clients):
            self._read_until(start + number * RAMP_S / clients)
            client = TimedClient(server.port, request)
            self.clients.append(client)
            self._open[client.socket.fileno()] = client
            self._epoll.register(client.socket, select.EPOLLIN)

    def _read_until(self, when: float) -> None:
        while (rest := when - time.monotonic()) > 0 and (self._open or not self.clients):
            for fd, _ in self._epoll.poll(rest):
                client = self._open[fd]
                client.read(self.late, self.first)
                if client.done:
                    self._epoll.unregister(fd)
                    del self._open[fd]

    def read(self) -> None:
        """Reads until all answers have ended."""
        self._read_until(time.monotonic() + TIMEOUT_S)

    def read_first_tokens(self) -> None:
        """Reads until each client has a token."""
        deadline = time.monotonic() + TIMEOUT_S
        while min(client.count for client in self.clients) == 0 and time.monotonic() < deadline:
            self._read_until(time.monotonic() + 0.1)

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()
        self._epoll.close()


class Figures(NamedTuple):
    """The figures of one run."""

    first_p50: float  # milliseconds from a request to its first token
    first_p99: float
    p50: float  # milliseconds that a later token is late
    p99: float
    worst: float
    over: float  # seconds by which the last answer ended late
    lost: int  # tokens
    cpu: float  # of the server, percent of a core
    waits: float  # of the server for a core, percent of the time
    peak: float  # memory of the server, megabytes
    provider: float  # milliseconds that the provider itself was late, at most


def answers(name: str, url: str, clients: int, rate: int) -> Figures:
    """Lets all clients read their answers to the end."""
    count = rate * ANSWER_S
    with serving(name, url, clients) as server:
        warm = Clients(server, "1!", 1)  # the first request imports and builds what all use
        warm.read()
        warm.close()
        crowd.stats(url, reset=True)
        cpu, waited, start = server.cpu(), server.waited(), time.monotonic()
        gc.collect()
        gc.disable()
        group = Clients(server, f"{count}@{rate}!", clients)
        group.read()
        gc.enable()
        group.close()
        cpu, waited, wall = server.cpu() - cpu, server.waited() - waited, time.monotonic() - start
        peak = server.peak()
    first = statistics.quantiles(group.first, n=100)
    late = statistics.quantiles(group.late, n=100)
    lost = sum(count - client.count for client in group.clients)
    times = [first[49], first[98], late[49], late[98], max(group.late)]
    return Figures(
        *(1000 * value for value in times),
        wall - RAMP_S - ANSWER_S,
        lost,
        100 * cpu / wall,
        100 * waited / wall,
        peak,
        1000 * crowd.stats(url)["late"],
    )


def disconnect_all(name: str, url: str, clients: int) -> tuple[list[float], int, int]:
    """Closes all clients at once.

    Returns the milliseconds until the provider saw each close, the descriptors left open, and the clients with a token.
    """
    with serving(name, url, clients) as server:
        warm = Clients(server, "1!", 1)
        warm.read()
        warm.close()
        crowd.stats(url, reset=True)
        before = server.descriptors() if server.pid else 0
        group = Clients(server, ENDLESS, clients)
        group.read_first_tokens()
        at = time.monotonic()
        group.close()
        while len(closes := crowd.stats(url)["disconnected"]) < clients and time.monotonic() < at + 20:
            time.sleep(0.1)
        leftover = server.descriptors() - before if server.pid else 0
    return [1000 * (when - at) for when in closes], leftover, len(group.first)


def main(clients: int = 1000, runs: int = 3) -> None:
    print(machine())
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"server, and provider with clients, {pin(1)}")
    with crowd.running() as url:
        for rate in RATES:
            rows: dict[str, list[Figures]] = {name: [] for name in SERVERS}
            for run in range(runs):
                for name in SERVERS:
                    progress(f"{run}/{runs} {rate} a second: {name}")
                    rows[name].append(answers(name, url, clients, rate))
            progress("")
            print(f"\n{clients} clients, {rate} a second each, {ANSWER_S} s; ms a token is late: medians of {runs}")
            print(
                f"{'between':18}{'first p50':>10}{'p99':>8}{'p50':>9}{'p99':>9}{'max':>9}{'over s':>8}{'lost':>7}"
                f"{'CPU %':>7}{'waits %':>9}{'peak MB':>9}{'provider':>10}"
            )
            for name, figures in rows.items():
                one = Figures(*map(statistics.median, zip(*figures, strict=True)))
                print(
                    f"{name:18}{one.first_p50:10.1f}{one.first_p99:8.1f}{one.p50:9.2f}{one.p99:9.2f}{one.worst:9.1f}{one.over:8.1f}"
                    f"{one.lost:7.0f}{one.cpu:7.0f}{one.waits:9.1f}{one.peak:9.0f}{one.provider:10.1f}"
                )
            worst = max(rows["llmstream serve"], key=lambda one: one.p99)
            goal(f"llmstream serve: p99 of the worst run, ms (waits {worst.waits:.1f} %)", worst.p99, MAX_P99_MS)
        print(f"\nall {clients} clients disconnect: ms until the provider saw the close")
        print(f"{'':18}{'open':>7}{'closed':>8}{'median':>9}{'max':>9}{'descriptors left':>18}")
        for name in SERVERS:
            closed, leftover, opened = disconnect_all(name, url, clients)
            median, worst = statistics.median(closed or [math.nan]), max(closed, default=math.nan)
            print(f"{name:18}{opened:7}{len(closed):8}{median:9.1f}{worst:9.1f}{leftover:18}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
