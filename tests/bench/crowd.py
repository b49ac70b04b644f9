"""A provider for thousands of streams at once: one process, one epoll, keep-alive connections.

    python -m tests.bench.crowd [--port N] [--first S] [--limit R] [--burst B] [--no-hint] [--quota N]

Prints its URL (http://127.0.0.1:PORT) and serves until it is killed. The path selects the dialect
(.../chat/completions, .../responses, .../messages), the model's name the answer:

    200           200 chunks, all at once
    200@50        200 chunks, 50 a second, the first at once; late chunks catch up
    200@50!       the same, and each text is the time at which it was sent: seconds of the monotonic clock and a blank
    endless       chunks for ever, as fast as they are read

--first S waits S seconds before the first chunk. --limit R and --burst B make a token bucket of B requests that is
refilled by R a second; a request that finds it empty gets a 429 with a Retry-After in whole seconds, or with --no-hint
without one. --quota N says in the headers of each answer that N requests a minute are allowed, and none is used up.

GET /stats counts since the start or since the last DELETE /stats:

    requests      all requests for an answer
    limited       of these, refused by 429
    completed     answers sent to their end
    disconnected  a list: the time of each disconnect in the middle of an answer, seconds of the monotonic clock
    connections   accepted; open: now open
    under_way     answers being sent now; peak: the most at once
    chunks        sent; late: the longest delay of one in seconds, above which this provider is the bottleneck
    prompts       the count of each prompt, only with ?prompts in the path
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import math
import resource
import select
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .provider import DIALECTS, words

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
QUOTA = (
    b"\r\nX-RateLimit-Limit-Requests: %d\r\nX-RateLimit-Remaining-Requests: %d\r\n"
    b"X-RateLimit-Reset-Requests: 0s\r\n\r\n"
)
LAST = b"0\r\n\r\n"
STAMP = "\ue000"  # placeholder of the time
ENDLESS_BYTES = 1 << 18  # of an endless answer


def in_chunk(data: bytes) -> bytes:
    """Encodes a chunk in chunked transfer coding (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Bucket:
    """A token bucket: `burst` requests at first, and `rate` more a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, time.monotonic()

    def wait(self, now: float) -> float:
        """Removes a token and returns 0, or returns the seconds until there is one."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate


class PacedAnswer:
    """An answer and the schedule of its frames: the first is `due` at once, each further one `gap` seconds later."""

    __slots__ = ("connection", "due", "frames", "gap", "next", "stamped")

    def __init__(self, connection: Peer, frames: list[bytes], gap: float, due: float, stamped: bool) -> None:
        self.connection, self.frames, self.gap, self.due, self.stamped = connection, frames, gap, due, stamped
        self.next = 0

    def due_bytes(self, now: float) -> bytes:
        """Returns the frames that are due by now, and the end after the last one."""
        frames, first = self.frames, self.next
        if not self.gap:
            self.next = len(frames)
        while self.next < len(frames) and self.due <= now:
            self.next += 1
            self.due += self.gap
        data = b"".join(frames[first : self.next])
        if self.stamped:
            data = b"".join(map(in_chunk, (frame % now for frame in frames[first : self.next])))
        return data + LAST if self.next == len(frames) else data


class Peer:
    """A client's connection and its buffers; `endless` is the block that an endless answer repeats."""

    __slots__ = ("answer", "endless", "out", "received", "socket")

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self.received = b""
        self.out = b""
        self.answer: PacedAnswer | None = None
        self.endless = b""


class CrowdProvider:
    """Serves all connections in one loop; a `limit` of 0 switches the rate limit off."""

    def __init__(
        self, listener: socket.socket, first: float, limit: float, burst: float, hint: bool, quota: int
    ) -> None:
        self._listener, self._first, self._hint = listener, first, hint
        self._head = HEAD.replace(b"\r\n\r\n", QUOTA % (quota, quota)) if quota else HEAD
        self._limit, self._burst = limit, burst
        self._epoll = select.epoll()
        self._connections: dict[int, Peer] = {}
        self._due: list[tuple[float, int, PacedAnswer]] = []
        self._number = 0
        self._frames_cache: dict[tuple[str, str], list[bytes]] = {}  # building them would delay the other clients
        self._reset()
        listener.setblocking(False)
        self._epoll.register(listener, select.EPOLLIN)

    def _reset(self) -> None:
        self._bucket = Bucket(self._limit, self._burst) if self._limit else None
        self._counts: Counter[str] = Counter()
        self._disconnected: list[float] = []
        self._late, self._peak = 0.0, 0
        self._prompts: Counter[str] = Counter()

    def serve(self) -> None:
        due = self._due
        while True:
            timeout = max(0.0, due[0][0] - time.monotonic()) if due else -1
            for fd, mask in self._epoll.poll(timeout):
                if fd == self._listener.fileno():
                    self._accept()
                elif connection := self._connections.get(fd):
                    try:
                        self._serve(connection, mask)
                    except OSError:
                        self._close(connection)
            now = time.monotonic()
            while due and due[0][0] <= now:
                planned, _, answer = heapq.heappop(due)
                connection = answer.connection
                if connection.answer is answer:
                    self._late = max(self._late, now - planned)
                    with contextlib.suppress(OSError):  # epoll reports the error as well
                        self._continue(connection, answer, now)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = self._listener.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[client.fileno()] = Peer(client)
                self._epoll.register(client, select.EPOLLIN | select.EPOLLRDHUP)
                self._counts["connections"] += 1

    def _serve(self, connection: Peer, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._send(connection, connection.endless if len(connection.out) < ENDLESS_BYTES else b"", ready=True)
        if mask & ~select.EPOLLOUT:
            data = connection.socket.recv(1 << 20)
            if not data:
                self._close(connection)
                return
            connection.received += data
            while self._request(connection):
                pass

    def _request(self, connection: Peer) -> bool:
        """Answers the next request if it is complete and the one before has been answered; returns whether it did."""
        head, end, rest = connection.received.partition(b"\r\n\r\n")
        if not end or connection.answer or connection.endless:
            return False
        line, *fields = head.decode("latin-1").split("\r\n")
        length = next((int(field[15:]) for field in fields if field.lower().startswith("content-length:")), 0)
        if len(rest) < length:
            return False
        connection.received = rest[length:]
        method, path, _ = line.split(" ")
        if method == "POST":
            self._answer(connection, path, json.loads(rest[:length]))
        else:
            self._send_stats(connection, method, path)
        return True

    def _send_stats(self, connection: Peer, method: str, path: str) -> None:
        under_way = sum(1 for one in self._connections.values() if one.answer or one.endless)
        names = ("requests", "limited", "completed", "connections", "chunks")
        stats: dict[str, Any] = {name: self._counts[name] for name in names}
        stats |= {"disconnected": self._disconnected, "open": len(self._connections), "under_way": under_way}
        stats |= {"peak": self._peak, "late": self._late}
        if path.endswith("?prompts"):
            stats["prompts"] = self._prompts
        self._send_json(connection, "200 OK", stats)
        if method == "DELETE":
            self._reset()

    def _send_json(self, connection: Peer, status: str, value: object, *headers: str) -> None:
        body = json.dumps(value).encode()
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
        self._send(connection, "\r\n".join([*lines, "\r\n"]).encode() + body)

    def _answer(self, connection: Peer, path: str, body: dict[str, Any]) -> None:
        now = time.monotonic()
        self._counts["requests"] += 1
        self._prompts[_prompt(body)] += 1
        if self._bucket and (wait := self._bucket.wait(now)):
            self._counts["limited"] += 1
            hint = [f"Retry-After: {math.ceil(wait)}"] if self._hint else []
            error = {"error": {"message": "too many requests", "type": "rate_limit_error", "code": "rate_limit"}}
            self._send_json(connection, "429 Too Many Requests", error, *hint)
            return
        model = body["model"]
        if model == "endless":
            frames = self._frames(path, "1000")
            connection.endless = b"".join(frames[1:-2])
            self._send(connection, self._head + frames[0] + connection.endless)
            return
        _, _, rate = model.rstrip("!").partition("@")
        gap = 1 / float(rate) if rate else 0.0
        answer = PacedAnswer(connection, self._frames(path, model), gap, now + self._first, model.endswith("!"))
        connection.answer = answer
        self._peak = max(self._peak, self._counts["started"] - self._counts["completed"] - len(self._disconnected) + 1)
        self._counts["started"] += 1
        self._send(connection, self._head)
        if self._first:
            self._plan(answer)
        else:
            self._continue(connection, answer, now)

    def _frames(self, path: str, model: str) -> list[bytes]:
        """Returns the frames of an answer, one per text; the first and the last include the dialect's other events."""
        if (path, model) not in self._frames_cache:
            count, stamped = int(model.rstrip("!").partition("@")[0]), model.endswith("!")
            dialect = next(dialect for end, dialect in DIALECTS.items() if path.endswith(end))
            texts = [STAMP] * count if stamped else words(count)
            frames = dialect(texts)
            before = next((i for i, frame in enumerate(frames) if _has(frame, texts)), 0)
            pieces = [b"".join(frames[: before + 1]), *frames[before + 1 : before + count]]
            pieces[-1] += b"".join(frames[before + count :])
            mark = STAMP.encode()
            templates = [piece.replace(b"%", b"%%").replace(mark, b"%.6f ") for piece in pieces]
            if stamped:  # some dialects repeat the complete answer at the end: that copy gets no times
                templates = [_once(piece) for piece in templates]
            self._frames_cache[path, model] = templates if stamped else list(map(in_chunk, pieces))
        return self._frames_cache[path, model]

    def _continue(self, connection: Peer, answer: PacedAnswer, now: float) -> None:
        before = answer.next
        data = answer.due_bytes(now)
        self._counts["chunks"] += answer.next - before
        if answer.next == len(answer.frames):
            connection.answer = None
            self._counts["completed"] += 1
        else:
            self._plan(answer)
        self._send(connection, data)

    def _plan(self, answer: PacedAnswer) -> None:
        self._number += 1
        heapq.heappush(self._due, (answer.due, self._number, answer))

    def _send(self, connection: Peer, data: bytes, ready: bool = False) -> None:
        blocked = bool(connection.out)
        connection.out += data
        if connection.out and (ready or not blocked):
            with contextlib.suppress(BlockingIOError):
                connection.out = connection.out[connection.socket.send(connection.out) :]
        waits = bool(connection.out or connection.endless)
        if waits or blocked:
            mask = select.EPOLLIN | select.EPOLLRDHUP | (select.EPOLLOUT if waits else 0)
            self._epoll.modify(connection.socket, mask)

    def _close(self, connection: Peer) -> None:
        if connection.answer or connection.endless or connection.out:
            self._disconnected.append(time.monotonic())
        connection.answer, connection.endless = None, b""
        del self._connections[connection.socket.fileno()]
        connection.socket.close()


def _prompt(body: dict[str, Any]) -> str:
    turns = body.get("messages", body.get("input", ""))
    return str(turns[-1]["content"] if isinstance(turns, list) else turns)


def _has(frame: bytes, texts: list[str]) -> bool:
    return json.dumps(texts[0], ensure_ascii=False).encode() in frame


def _once(piece: bytes) -> bytes:
    """Removes all placeholders of the time but the first."""
    first, mark, rest = piece.partition(b"%.6f ")
    return first + mark + rest.replace(b"%.6f ", b"")


# For the benchmarks.


@contextmanager
def running(*options: str) -> Iterator[str]:
    """Runs the provider in a process of its own; yields its URL."""
    command = [sys.executable, "-m", __spec__.name, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def stats(url: str, reset: bool = False, prompts: bool = False) -> dict[str, Any]:
    """Returns what the provider has counted, and with `reset` makes it start again."""
    request = urllib.request.Request(f"{url}/stats{'?prompts' * prompts}", method="DELETE" if reset else "GET")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        counts: dict[str, Any] = json.load(answer)
        return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first", type=float, default=0.0, metavar="S")
    parser.add_argument("--limit", type=float, default=0.0, metavar="R")
    parser.add_argument("--burst", type=float, default=1.0, metavar="B")
    parser.add_argument("--no-hint", action="store_true")
    parser.add_argument("--quota", type=int, default=0, metavar="N")
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with socket.create_server(("127.0.0.1", args.port), backlog=4096) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        CrowdProvider(listener, args.first, args.limit, args.burst, not args.no_hint, args.quota).serve()


if __name__ == "__main__":
    main()
