"""The server as a process: it listens, says so, and ends by the signal that ended it.

After the first signal nobody new is served; who is being answered has `grace` seconds, and is then told that the answer
ends here. A second signal does not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import math
import resource
import signal
import socket
from collections.abc import Iterator

import uvicorn
import uvloop
from fastapi import FastAPI

from .. import stdio
from ..core import values
from ..errors import Signalled, UsageError
from .answer import Serving
from .connection import Connection

NAME = "serve"
BACKLOG = 2048
DESCRIPTORS = 65536
LAST_WORDS = 2  # seconds in which those who are cut can be told so

# While the garbage collector looks, all answers wait. A client has 250 objects that it would look at: often at a few
# (1 ms, not the 25 that a command's rare collections take), and seldom at all of a thousand clients' (100 ms).
COLLECTIONS = (1000, 5, 100)


def run(app: FastAPI, host: str, port: int) -> None:
    """Serves until a signal comes, which is raised as Signalled. A port of 0 is any that is free; it is told.

    Raises UsageError where the address cannot be had, or would let in everybody.
    """
    serving: Serving = app.state.serving
    listener = listen(host, port, serving.settings.token)
    server = Server(app)
    _raise_limit()
    stdio.note(NAME, f"listening on {url(listener)}")
    values.use_msgspec()
    gc.collect()
    gc.freeze()  # what is there now stays
    gc.set_threshold(*COLLECTIONS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        signum = runner.run(_serve(server, serving, listener))
    raise Signalled(signum)


class Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals to others."""

    def __init__(self, app: FastAPI) -> None:
        grace = app.state.serving.settings.grace
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",  # bugs are told by the routes; that a task is cancelled is none
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=math.ceil(grace) + LAST_WORDS,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(server: Server, serving: Serving, listener: socket.socket) -> int:
    """Returns the signal that ended it."""
    loop = asyncio.get_running_loop()
    signals: list[int] = []

    def on_signal(signum: int) -> None:
        if not signals:
            serving.closing = server.should_exit = True
            loop.call_later(serving.settings.grace, serving.cut)
        else:
            serving.cut()
            server.force_exit = True
        signals.append(signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) != signal.SIG_IGN:
            loop.add_signal_handler(signum, on_signal, signum)
    await server.serve(sockets=[listener])
    return signals[0]


def _raise_limit() -> None:
    """Lets the process have as many descriptors as it may: an answer takes two, and the usual limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(host: str, port: int, token: str) -> socket.socket:
    """A socket that listens. Raises UsageError."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror}") from None
    family, _, _, _, address = found[0]
    if not token and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise UsageError(f"{host} can be reached by others: set a token in LLMSTREAM_SERVE_TOKEN")
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot listen on {host}, port {port}: {error.strerror}: choose another --port") from None
    return listener


def url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
