"""A provider for thousands of streams at once: one process, one epoll, connections that are kept.

    python -m tests.bench.crowd [--port N] [--first S] [--limit R] [--burst B] [--no-hint]

Prints its URL (http://127.0.0.1:PORT) and serves until it is killed. The path says the dialect (.../chat/completions,
.../responses, .../messages), the model's name what the answer is:

    200           200 chunks, all at once
    200@50        200 chunks, 50 a second, the first at once; what is late is made up for
    200@50!       the same, and each text is the time at which it was sent: seconds of the monotonic clock and a blank
    endless       chunks for ever, as fast as they are taken

--first S waits S seconds before the first chunk. --limit R and --burst B: a token bucket that is full with B requests
and gets R more a second; one that finds it empty is answered by 429 with a Retry-After in whole seconds, or with
--no-hint without one.

GET /seen tells what happened so far, and DELETE /seen begins anew:

    requests      answers asked for, those refused included
    limited       of these, refused by 429
    whole         answers sent to their end
    left          for each client that left in mid-answer, when that was seen, by the monotonic clock
    connections   taken so far; open: those there now; most: answers under way at once, at most
    chunks        sent; late: by how many seconds at most one was behind its time (then this is the bottleneck)
    prompts       how often each prompt was asked, where ?prompts is added to the path
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
LAST = b"0\r\n\r\n"
STAMP = "\ue000"  # where the time goes
ENOUGH = 1 << 18  # bytes of an endless answer at once


def in_chunk(data: bytes) -> bytes:
    """A chunk of chunked transfer coding (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Bucket:
    """Requests that may pass: `burst` at first, and `rate` more a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, time.monotonic()

    def wait(self, now: float) -> float:
        """Takes a token and returns 0, or the seconds until there is one."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate


class Answer:
    """What is sent, piece by piece; `frames` is cut so that the first piece has what comes before the first text."""

    __slots__ = ("connection", "due", "frames", "gap", "next", "stamped")

    def __init__(self, connection: Connection, frames: list[bytes], gap: float, due: float, stamped: bool) -> None:
        self.connection, self.frames, self.gap, self.due, self.stamped = connection, frames, gap, due, stamped
        self.next = 0

    def piece(self, now: float) -> bytes:
        """What is to be sent by now."""
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


class Connection:
    __slots__ = ("answer", "endless", "out", "received", "socket")

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self.received = b""
        self.out = b""
        self.answer: Answer | None = None
        self.endless = b""


class Crowd:
    """Serves; `limit` 0 is none."""

    def __init__(self, listener: socket.socket, first: float, limit: float, burst: float, hint: bool) -> None:
        self._listener, self._first, self._hint = listener, first, hint
        self._limit, self._burst = limit, burst
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Answer]] = []
        self._number = 0
        self._made: dict[tuple[str, str], list[bytes]] = {}  # once, and so at no client's expense
        self._begin()
        listener.setblocking(False)
        self._epoll.register(listener, select.EPOLLIN)

    def _begin(self) -> None:
        self._bucket = Bucket(self._limit, self._burst) if self._limit else None
        self._seen: Counter[str] = Counter()
        self._left: list[float] = []
        self._late, self._most = 0.0, 0
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
                    with contextlib.suppress(OSError):  # epoll tells of it, too
                        self._go_on(connection, answer, now)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = self._listener.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[client.fileno()] = Connection(client)
                self._epoll.register(client, select.EPOLLIN | select.EPOLLRDHUP)
                self._seen["connections"] += 1

    def _serve(self, connection: Connection, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._send(connection, connection.endless if len(connection.out) < ENOUGH else b"", ready=True)
        if mask & ~select.EPOLLOUT:
            data = connection.socket.recv(1 << 20)
            if not data:
                self._close(connection)
                return
            connection.received += data
            while self._request(connection):
                pass

    def _request(self, connection: Connection) -> bool:
        """Answers the next request, once it is here whole and the one before is answered."""
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
            self._tell(connection, method, path)
        return True

    def _tell(self, connection: Connection, method: str, path: str) -> None:
        under_way = sum(1 for one in self._connections.values() if one.answer or one.endless)
        names = ("requests", "limited", "whole", "connections", "chunks")
        seen: dict[str, Any] = {name: self._seen[name] for name in names}
        seen |= {"left": self._left, "open": len(self._connections), "under_way": under_way}
        seen |= {"most": self._most, "late": self._late}
        if path.endswith("?prompts"):
            seen["prompts"] = self._prompts
        self._whole(connection, "200 OK", seen)
        if method == "DELETE":
            self._begin()

    def _whole(self, connection: Connection, status: str, value: object, *headers: str) -> None:
        body = json.dumps(value).encode()
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
        self._send(connection, "\r\n".join([*lines, "\r\n"]).encode() + body)

    def _answer(self, connection: Connection, path: str, body: dict[str, Any]) -> None:
        now = time.monotonic()
        self._seen["requests"] += 1
        self._prompts[_prompt(body)] += 1
        if self._bucket and (wait := self._bucket.wait(now)):
            self._seen["limited"] += 1
            hint = [f"Retry-After: {math.ceil(wait)}"] if self._hint else []
            error = {"error": {"message": "too many requests", "type": "rate_limit_error", "code": "rate_limit"}}
            self._whole(connection, "429 Too Many Requests", error, *hint)
            return
        model = body["model"]
        if model == "endless":
            frames = self._frames(path, "1000")
            connection.endless = b"".join(frames[1:-2])
            self._send(connection, HEAD + frames[0] + connection.endless)
            return
        _, _, rate = model.rstrip("!").partition("@")
        gap = 1 / float(rate) if rate else 0.0
        answer = Answer(connection, self._frames(path, model), gap, now + self._first, model.endswith("!"))
        connection.answer = answer
        self._most = max(self._most, self._seen["begun"] - self._seen["whole"] - len(self._left) + 1)
        self._seen["begun"] += 1
        self._send(connection, HEAD)
        if self._first:
            self._plan(answer)
        else:
            self._go_on(connection, answer, now)

    def _frames(self, path: str, model: str) -> list[bytes]:
        """The pieces of an answer: one a text, with what comes before the first and after the last of them."""
        if (path, model) not in self._made:
            count, stamped = int(model.rstrip("!").partition("@")[0]), model.endswith("!")
            dialect = next(dialect for end, dialect in DIALECTS.items() if path.endswith(end))
            texts = [STAMP] * count if stamped else words(count)
            frames = dialect(texts)
            before = next((i for i, frame in enumerate(frames) if _has(frame, texts)), 0)
            pieces = [b"".join(frames[: before + 1]), *frames[before + 1 : before + count]]
            pieces[-1] += b"".join(frames[before + count :])
            mark = STAMP.encode()
            made = [piece.replace(b"%", b"%%").replace(mark, b"%.6f ") for piece in pieces]
            if stamped:  # whole answers, which some dialects repeat at their end, are left without
                made = [_once(piece) for piece in made]
            self._made[path, model] = made if stamped else list(map(in_chunk, pieces))
        return self._made[path, model]

    def _go_on(self, connection: Connection, answer: Answer, now: float) -> None:
        before = answer.next
        data = answer.piece(now)
        self._seen["chunks"] += answer.next - before
        if answer.next == len(answer.frames):
            connection.answer = None
            self._seen["whole"] += 1
        else:
            self._plan(answer)
        self._send(connection, data)

    def _plan(self, answer: Answer) -> None:
        self._number += 1
        heapq.heappush(self._due, (answer.due, self._number, answer))

    def _send(self, connection: Connection, data: bytes, ready: bool = False) -> None:
        blocked = bool(connection.out)
        connection.out += data
        if connection.out and (ready or not blocked):
            with contextlib.suppress(BlockingIOError):
                connection.out = connection.out[connection.socket.send(connection.out) :]
        waits = bool(connection.out or connection.endless)
        if waits or blocked:
            mask = select.EPOLLIN | select.EPOLLRDHUP | (select.EPOLLOUT if waits else 0)
            self._epoll.modify(connection.socket, mask)

    def _close(self, connection: Connection) -> None:
        if connection.answer or connection.endless or connection.out:
            self._left.append(time.monotonic())
        connection.answer, connection.endless = None, b""
        del self._connections[connection.socket.fileno()]
        connection.socket.close()


def _prompt(body: dict[str, Any]) -> str:
    turns = body.get("messages", body.get("input", ""))
    return str(turns[-1]["content"] if isinstance(turns, list) else turns)


def _has(frame: bytes, texts: list[str]) -> bool:
    return json.dumps(texts[0], ensure_ascii=False).encode() in frame


def _once(piece: bytes) -> bytes:
    """The piece with one place for the time."""
    first, mark, rest = piece.partition(b"%.6f ")
    return first + mark + rest.replace(b"%.6f ", b"")


# For the programs that measure.


@contextmanager
def running(*options: str) -> Iterator[str]:
    """Runs the provider in a process of its own; gives its URL."""
    command = [sys.executable, "-m", __spec__.name, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def seen(url: str, anew: bool = False, prompts: bool = False) -> dict[str, Any]:
    """What it has seen; `anew`: and lets it forget that."""
    request = urllib.request.Request(f"{url}/seen{'?prompts' * prompts}", method="DELETE" if anew else "GET")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first", type=float, default=0.0, metavar="S")
    parser.add_argument("--limit", type=float, default=0.0, metavar="R")
    parser.add_argument("--burst", type=float, default=1.0, metavar="B")
    parser.add_argument("--no-hint", action="store_true")
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with socket.create_server(("127.0.0.1", given.port), backlog=4096) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        Crowd(listener, given.first, given.limit, given.burst, not given.no_hint).serve()


if __name__ == "__main__":
    main()
