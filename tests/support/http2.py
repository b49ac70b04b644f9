"""A provider that speaks HTTP/2 over TLS on loopback; the test says what is sent on which stream."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events

HEAD = [(":status", "200"), ("content-type", "text/event-stream")]


class Http2:
    """Collects the ids of the requested `streams`, in order, and of those that the client `reset`."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        tls.set_alpn_protocols(["h2"])
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.streams: list[int] = []
        self.reset: list[int] = []
        self.connections = 0
        self.closed = 0  # connections that the client closed, or `drop`
        self.waiting = 0  # connections that have come, with or without a TLS handshake
        self.may_accept = threading.Event()  # a TLS handshake begins when this is set
        self.may_accept.set()
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()  # of the protocol's state, which the test and the reader share
        self._headed: set[int] = set()

    def __enter__(self) -> Http2:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.may_accept.set()
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def send(self, stream: int, data: bytes, *, end: bool = False, flush: bool = True) -> None:
        """Sends data on the stream, after its head if that was not sent yet."""
        with self._lock:
            if stream not in self._headed:
                self._headed.add(stream)
                self._protocol.send_headers(stream, HEAD)
            self._protocol.send_data(stream, data, end_stream=end)
            if flush:
                self._flush()

    def refuse(self, stream: int) -> None:
        with self._lock:
            self._protocol.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
            self._flush()

    def drop(self) -> None:
        """Closes the newest connection."""
        self._sockets[-1].shutdown(socket.SHUT_RDWR)

    def _flush(self) -> None:
        self._sockets[-1].sendall(self._protocol.data_to_send())

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                self.waiting += 1
                self.may_accept.wait()
                self._sockets.append(self._tls.wrap_socket(plain, server_side=True))
                self.connections += 1
                threading.Thread(target=self._read, args=(self._sockets[-1],), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        config = h2.config.H2Configuration(client_side=False)
        self._protocol = protocol = h2.connection.H2Connection(config)
        with contextlib.suppress(OSError):
            protocol.initiate_connection()
            self._flush()
            while data := connection.recv(65536):
                with self._lock:
                    for event in protocol.receive_data(data):
                        if isinstance(event, h2.events.RequestReceived):
                            self.streams.append(event.stream_id)
                        elif isinstance(event, h2.events.StreamReset):
                            self.reset.append(event.stream_id)
                    self._flush()
        self.closed += 1
