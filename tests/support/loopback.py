"""A provider on loopback that sends what a test's script says, byte for byte, and records the requests.

A script is a list of steps, run for each connection in turn (the last one for all that follow), or a function that
makes one of the request:

    bytes              are sent as they stand, in one segment where the kernel allows
    threading.Event    is waited for: a gate that the test opens
    CLOSE, RESET       end the connection by FIN or by RST; without either it ends by FIN after the last step
    HOLD               keeps the connection open until the client leaves

`chat`, `responses`, `messages`, `ollama` make the frames of a good answer in the dialects.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from .limits import WAIT_S

CLOSE, RESET, HOLD = "close", "reset", "hold"
Step = bytes | threading.Event | str


class Request:
    """A client's request."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.line, self.headers, self.body = line, headers, body
        self.at = time.monotonic()

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def prompt(self) -> str:
        """The content of the last message, in the chat dialect."""
        return self.json["messages"][-1]["content"]


Script = Iterable[Step] | Callable[[Request], Iterable[Step]]


class Provider:
    """Serves scripts on 127.0.0.1 until the `with` block ends; `most_running` is the peak of concurrent requests."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.scripts = [script if callable(script) else list(script) for script in scripts]
        self.requests: list[Request] = []
        self.running = self.most_running = 0
        self._counting = threading.Lock()
        self.first_request = threading.Event()  # set when the first request has arrived
        self.client_left = threading.Event()  # set when a client closes its connection before the script's end
        self.client_left_at = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._tls = tls

    def __enter__(self) -> Provider:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_S)
        for connection in self._sockets:
            connection.close()

    def _accept(self) -> None:
        served = 0
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(connection)
            script = self.scripts[min(served, len(self.scripts) - 1)]
            served += 1
            thread = threading.Thread(target=self._serve, args=(connection, script), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket, script: Script) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            request = read_request(connection)
            if request is None:
                return
            self.requests.append(request)
            self.first_request.set()
            with self._counted():
                steps = script(request) if callable(script) else script
                # The last step of a list is not counted: once its bytes are sent a client may send the next request.
                counted, last = (steps[:-1], steps[-1:]) if isinstance(steps, list) else (steps, [])
                for step in counted:
                    self.do(connection, step)
            for step in last:
                self.do(connection, step)
            connection.shutdown(socket.SHUT_WR)
            if callable(script):  # which may serve more than there may be open files
                connection.close()
        except OSError:
            self._note_client_left()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._counting:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            yield
        finally:
            with self._counting:
                self.running -= 1

    def do(self, connection: socket.socket, step: Step) -> None:
        """Takes one step of a script."""
        if isinstance(step, bytes):
            connection.sendall(step)
        elif isinstance(step, threading.Event):
            if not step.wait(WAIT_S):
                raise AssertionError("the test never opened the gate")
        elif step == HOLD:
            connection.settimeout(WAIT_S)
            while connection.recv(65536):
                pass
            self._note_client_left()
        elif step == RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        elif step == CLOSE:
            connection.close()

    def _note_client_left(self) -> None:
        if not self.client_left.is_set():
            self.client_left_at = time.monotonic()
            self.client_left.set()


def read_request(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    pieces, held, length = [body], len(body), int(headers.get("content-length", 0))
    while held < length:
        chunk = connection.recv(1 << 20)
        if not chunk:
            return None
        pieces.append(chunk)
        held += len(chunk)
    return Request(line, headers, b"".join(pieces))


# Responses.


def head(status: str = "200 OK", content_type: str = "text/event-stream", *more: str) -> bytes:
    """Makes a response head; the body ends with the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Connection: close", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def reply(status: str, body: bytes, content_type: str = "application/json", *more: str) -> list[Step]:
    """Makes a complete response."""
    return [head(status, content_type, f"Content-Length: {len(body)}", *more) + body]


def frame(data: object, event: str = "") -> bytes:
    """Makes one frame of an event stream; data other than a string is sent as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


DONE = frame("[DONE]")


def chat_text(text: str) -> bytes:
    return frame({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]})


def chat_end(reason: str = "stop", usage: bool = True) -> bytes:
    end = frame({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    counts = {"prompt_tokens": 3, "completion_tokens": 2}
    return end + (frame({"id": "c1", "model": "m", "choices": [], "usage": counts}) if usage else b"")


def chat(*texts: str) -> list[bytes]:
    return [*map(chat_text, texts), chat_end() + DONE]


def responses(*texts: str) -> list[bytes]:
    def one(kind: str, **data: object) -> bytes:
        return frame({"type": kind, **data}, kind)

    usage = {"input_tokens": 3, "output_tokens": 2}
    return [
        one("response.created", response={"id": "r1", "model": "m", "status": "in_progress"}),
        *(one("response.output_text.delta", delta=text, output_index=0) for text in texts),
        one("response.completed", response={"id": "r1", "model": "m", "status": "completed", "usage": usage}),
    ]


def messages(*texts: str) -> list[bytes]:
    def one(kind: str, **data: object) -> bytes:
        return frame({"type": kind, **data}, kind)

    return [
        one("message_start", message={"id": "m1", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}),
        one("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(one("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts),
        one("content_block_stop", index=0),
        one("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
        one("message_stop"),
    ]


NDJSON = "application/x-ndjson"


def ollama(*texts: str) -> list[bytes]:
    """Makes the lines of an answer of Ollama's own API, whose content type is NDJSON."""

    def line(content: str, **more: object) -> bytes:
        message = {"role": "assistant", "content": content}
        return json.dumps({"model": "m", "message": message, "done": False, **more}).encode() + b"\n"

    return [*map(line, texts), line("", done=True, done_reason="stop", prompt_eval_count=3, eval_count=2)]


DIALECTS = {"chat": chat, "responses": responses, "messages": messages}
