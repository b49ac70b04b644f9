"""An HTTP proxy on loopback that opens a tunnel (CONNECT) when the test allows it."""

from __future__ import annotations

import contextlib
import socket
import threading


class Tunnel:
    """Leads each tunnel to `port`, whatever host the client names; nothing passes before `opened` is set."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.opened = threading.Event()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Tunnel:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.opened.set()
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            near, _ = self._listener.accept()
            self._sockets.append(near)
            data = b""
            while b"\r\n\r\n" not in data:
                data += near.recv(65536)
            near.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: 1\r\n\r\n")
            self.opened.wait()
            far = socket.create_connection(("127.0.0.1", self._port))
            self._sockets.append(far)
            threading.Thread(target=_pump, args=(near, far), daemon=True).start()
            _pump(far, near)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
