"""The server on loopback with answers that a test scripts: real sockets, real uvicorn, a generation by the test's word.

A script is a list of steps, run for each request in turn (the last one for all that follow):

    str, Event, list of events   arrive together
    Word                         is waited for: the test's word
    Exception                    ends the generation
    float                        seconds pass, for pictures; no test waits for time
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncGenerator

from llmstream.core.events import Event, Finish, Start, Text, Usage
from llmstream.serve.app import create
from llmstream.serve.request import ChatRequest
from llmstream.serve.run import Server, listen
from llmstream.serve.settings import Settings

from .limits import WAIT_S

START = Start("p", "m", "i")
END = [Usage(3, 2), Finish("stop", "stop")]
ASK = {"prompt": "Hi"}


class Word:
    """What a script waits for; `awaited` says that it does."""

    def __init__(self) -> None:
        self.awaited = threading.Event()
        self._given = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.awaited.set()
        await self._given.wait()

    def give(self) -> None:
        assert self.awaited.wait(WAIT_S)
        self._loop.call_soon_threadsafe(self._given.set)


class Generation:
    """One run of a script, as the test sees it."""

    def __init__(self, asked: ChatRequest) -> None:
        self.asked = asked
        self.given = 0  # lists of events that were taken
        self.closed = threading.Event()  # by the server, at its end or before
        self.whole = False


class Scripted:
    """Serves scripts on 127.0.0.1 until the `with` block ends."""

    def __init__(self, *scripts: list, **settings: object) -> None:
        self.scripts = scripts or (["Hello", END],)
        self.generations: list[Generation] = []
        self.app = create(self.generate, Settings(**{"grace": 0.0, **settings}))
        self.state = self.app.state.server
        self.server = Server(self.app)
        self._listener = listen("127.0.0.1", 0, "")
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def generate(self, asked: ChatRequest) -> AsyncGenerator[list[Event], None]:
        script = self.scripts[min(len(self.generations), len(self.scripts) - 1)]
        generation = Generation(asked)
        self.generations.append(generation)
        try:
            for step in script:
                if isinstance(step, Word):
                    await step.wait()
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, Exception):
                    raise step
                else:
                    events = [Text(step)] if isinstance(step, str) else step if isinstance(step, list) else [step]
                    generation.given += 1
                    yield events
            generation.whole = True
        finally:
            generation.closed.set()

    def __enter__(self) -> Scripted:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        return self

    async def _run(self) -> None:
        """Serves, and ends quicker than uvicorn would, which looks around ten times a second."""
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        running = asyncio.create_task(self.server.serve(sockets=[self._listener]))
        while not self.server.started:
            await asyncio.sleep(0)
        self._ready.set()
        await self._stop.wait()
        self.state.cut()
        while self.state.answers:
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait([running])
        for server in self.server.servers:
            server.close()
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()
        while self.server.server_state.connections:
            await asyncio.sleep(0)

    def __exit__(self, *exc: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def on_loop(self, call) -> object:
        """What call() returns in the server's thread."""

        async def run() -> object:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(WAIT_S)

    def settle(self) -> None:
        """Until no answer is on its way."""
        done = threading.Event()

        def look() -> None:
            if self.state.answers:
                self.loop.call_later(0.005, look)
            else:
                done.set()

        self.loop.call_soon_threadsafe(look)
        assert done.wait(WAIT_S)


class Client:
    """A raw connection."""

    def __init__(self, server: Scripted, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(("127.0.0.1", server.port))
        self.host = f"127.0.0.1:{server.port}"
        self.seen = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def post(self, path: str = "/chat/stream", body: object = ASK, **headers: str) -> Client:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, data, **headers)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Client:
        fields = {"host": self.host} | ({"content-type": "application/json"} if body is not None else {})
        if body is not None:
            fields["content-length"] = str(len(body))
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value != "")
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b""))
        return self

    def until(self, mark: bytes) -> bytes:
        """All that has come, up to and with a chunk that holds the mark."""
        start = 0
        while self.seen.find(mark, start) < 0:
            start = max(0, len(self.seen) - len(mark))
            data = self.socket.recv(65536)
            assert data, self.seen
            self.seen += data
        return self.seen

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                self.seen += data
        return self.seen

    def reply_after(self, begun: bytes) -> tuple[int, dict[str, str], bytes]:
        """As `reply`, where a part was read already."""
        self.seen = begun
        return self.reply()

    def reply(self) -> tuple[int, dict[str, str], bytes]:
        """A whole response: status, headers, body."""
        head, _, body = self.until(b"\r\n\r\n").partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        if headers.get("transfer-encoding") == "chunked":
            body = dechunked(self.until(b"\r\n0\r\n\r\n").partition(b"\r\n\r\n")[2])
        else:
            while len(body) < int(headers.get("content-length", 0)):
                data = self.socket.recv(65536)
                assert data
                body += data
        self.seen = b""
        return int(line.split()[1]), headers, body


def dechunked(data: bytes) -> bytes:
    pieces, at = [], 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        size = int(data[at:end], 16)
        pieces.append(data[end + 2 : end + 2 + size])
        at = end + size + 4
    return b"".join(pieces)


def ask(server: Scripted, path: str = "/chat/stream", body: object = ASK, **headers: str) -> tuple[int, dict, bytes]:
    """One request on a connection of its own."""
    with Client(server) as client:
        return client.post(path, body, **headers).reply()


def get(server: Scripted, path: str, method: str = "GET", **headers: str) -> tuple[int, dict, bytes]:
    with Client(server) as client:
        return client.send(method, path, **headers).reply()


def frames(body: bytes) -> list[tuple[str, str]]:
    """The events of a stream, (event, data) each."""
    found = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        lines = [line.partition(": ") for line in block.split("\n")]
        fields = {name: value for name, _, value in lines}
        found.append((fields.get("event", ""), fields.get("data", "")))
    return found
