"""The server on loopback with scripted generations: real sockets, real uvicorn, and no provider.

A script is a list of steps, one script a request (the last one for all further requests):

    str, Event, list of events   arrive together
    Gate                         the script waits until the test opens it
    Exception                    ends the generation
    float                        seconds to sleep, for screenshots; no test waits for time
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
Reply = tuple[int, dict[str, str], bytes]  # status, headers, body


class Gate:
    """A step at which a script waits; `reached` is set as soon as it does."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reached.set()
        await self._open.wait()

    def open(self) -> None:
        """Waits until the gate is reached, and lets the script go on."""
        assert self.reached.wait(WAIT_S)
        self._loop.call_soon_threadsafe(self._open.set)


class Generation:
    """One run of a script, as the test sees it."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.batches = 0  # lists of events that the server has consumed
        self.closed = threading.Event()  # by the server, at the script's end or earlier
        self.complete = False


class ScriptedServer:
    """Serves scripts on 127.0.0.1 until the `with` block ends."""

    def __init__(self, *scripts: list, **settings: object) -> None:
        self.scripts = scripts or (["Hello", END],)
        self.generations: list[Generation] = []
        self.app = create(self.generate, Settings(**{"grace_s": 0.0, "allow_models": ("*",), **settings}))
        self.state = self.app.state.server
        self.server = Server(self.app)
        self._listener = listen("127.0.0.1", 0, "")
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> set:
        """The open connections, as uvicorn's protocols."""
        return self.server.server_state.connections

    async def generate(self, request: ChatRequest) -> AsyncGenerator[list[Event], None]:
        """Runs the next script: the server's Generate."""
        script = self.scripts[min(len(self.generations), len(self.scripts) - 1)]
        generation = Generation(request)
        self.generations.append(generation)
        try:
            for step in script:
                if isinstance(step, Gate):
                    await step.wait()
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, Exception):
                    raise step
                else:
                    events = [Text(step)] if isinstance(step, str) else step if isinstance(step, list) else [step]
                    generation.batches += 1
                    yield events
            generation.complete = True
        finally:
            generation.closed.set()

    def __enter__(self) -> ScriptedServer:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        return self

    async def _run(self) -> None:
        """Serves, and stops at once: uvicorn itself polls for its end ten times a second."""
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
        for connection in list(self.connections):
            connection.transport.abort()
        while self.connections:
            await asyncio.sleep(0)

    def __exit__(self, *exc: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def on_loop(self, call) -> object:
        """Runs call() in the server's thread and returns its result."""

        async def run() -> object:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(WAIT_S)

    def settle(self) -> None:
        """Waits until no answer is running or queued."""
        done = threading.Event()

        def check() -> None:
            if self.state.answers:
                self.loop.call_later(0.005, check)
            else:
                done.set()

        self.loop.call_soon_threadsafe(check)
        assert done.wait(WAIT_S)


class Client:
    """A client's connection; `received` holds the bytes read that no response has consumed."""

    def __init__(self, server: ScriptedServer, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(("127.0.0.1", server.port))
        self.host = f"127.0.0.1:{server.port}"
        self.received = b""

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
        """Reads until `mark` has arrived; returns all bytes received, which may go beyond the mark."""
        start = 0
        while self.received.find(mark, start) < 0:
            start = max(0, len(self.received) - len(mark))
            data = self.socket.recv(65536)
            assert data, self.received
            self.received += data
        return self.received

    def rest(self) -> bytes:
        """Reads until the server closes; returns all bytes received."""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                self.received += data
        return self.received

    def reply(self) -> Reply:
        """Reads a complete response."""
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
        self.received = b""
        return int(line.split()[1]), headers, body


def dechunked(data: bytes) -> bytes:
    """Decodes a body in chunked transfer coding."""
    chunks, at = [], 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        size = int(data[at:end], 16)
        chunks.append(data[end + 2 : end + 2 + size])
        at = end + size + 4
    return b"".join(chunks)


def ask(server: ScriptedServer, path: str = "/chat/stream", body: object = ASK, **headers: str) -> Reply:
    """Posts one request on a new connection."""
    with Client(server) as client:
        return client.post(path, body, **headers).reply()


def get(server: ScriptedServer, path: str, method: str = "GET", **headers: str) -> Reply:
    """Sends one request without a body on a new connection."""
    with Client(server) as client:
        return client.send(method, path, **headers).reply()


def frames(body: bytes) -> list[tuple[str, str]]:
    """Returns the events of a stream, each as (event, data)."""
    events = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        lines = [line.partition(": ") for line in block.split("\n")]
        fields = {name: value for name, _, value in lines}
        events.append((fields.get("event", ""), fields.get("data", "")))
    return events
