"""The server process: listens, reports its URL, serves, and ends by the signal that stopped it.

After the first signal new requests are refused. Running answers have `grace_s` seconds to end; after that they are cut
with an error. A second signal cuts them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import ipaddress
import math
import signal
import socket
import time
from functools import partial
from types import FrameType

import uvicorn
import uvloop
from fastapi import FastAPI

from .. import signals, stdio
from ..core import json_codec
from ..core.kinds import shorten
from ..errors import Signalled, UsageError, option
from .answer_response import ServerState
from .arrivals import Arrivals
from .body_limits import REGEX_CPU_S
from .connection import Connection, set_options
from .error_responses import NAME

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # malloc.h
BACKLOG = 2048
CUT_GRACE_S = 2  # for the errors of answers that are cut to reach their clients

# All answers wait while the garbage collector runs, and each client has 250 objects that it would visit. So it visits a
# few at a time, each twice (1 ms, where a command's rare collections take 25), and then all those of a thousand clients
# (100 ms) only after a million new ones.
GC_THRESHOLDS = (500, 0, 1000)


def run(app: FastAPI, host: str, port: int) -> None:
    """Serves until a signal arrives, and raises it as Signalled; port 0 is any free one.

    Writes the model and, at the end of the line, the URL to stderr.
    """
    state: ServerState = app.state.server
    listener = listen(host, port, state.settings.token)
    server = Server(app)
    return_large_blocks()
    stdio.raise_open_files()
    settings = state.settings
    model = f"model {settings.model}{settings.model_note}, " if settings.model else ""
    stdio.note(NAME, f"{model}listening on {url(listener)}")
    json_codec.use_msgspec()
    gc.collect()
    gc.freeze()  # the objects of the start live as long as the process
    gc.set_threshold(*GC_THRESHOLDS)
    signals.call_after_cpu_time(partial(_charge, state))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        signum = runner.run(_serve(server, state, listener))
    raise Signalled(signum)


def _charge(state: ServerState, frame: FrameType | None, seconds: float) -> None:
    state.regex_limit.charge(frame, seconds, REGEX_CPU_S, time.monotonic())


def return_large_blocks() -> None:
    """Makes glibc give freed blocks of a megabyte back; by default it keeps many of them, of up to 32 MB each."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 1024 * 1024)
        mallopt(M_ARENA_MAX, 2)


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, and with Arrivals."""

    def __init__(self, app: FastAPI) -> None:
        grace = app.state.server.settings.grace_s
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",  # the routes report bugs themselves, and a cancelled task is no bug
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=math.ceil(grace) + CUT_GRACE_S,
        )
        super().__init__(config)

    capture_signals = contextlib.nullcontext  # type: ignore[assignment]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = []
        self._connecting = set[asyncio.Task[object]]()
        self._protocol = partial(
            Connection, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        self._arrivals = [Arrivals(one, self._connect) for one in sockets or ()]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for arrivals in self._arrivals:
            arrivals.close()
        await super().shutdown(sockets)

    def _connect(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._protocol, client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)


async def _serve(server: Server, state: ServerState, listener: socket.socket) -> int:
    """Serves until a signal arrives and the answers have ended; returns the first signal's number."""
    loop = asyncio.get_running_loop()
    signals: list[int] = []

    def on_signal(signum: int) -> None:
        if not signals:
            state.closing = server.should_exit = True
            loop.call_later(state.settings.grace_s, state.cut)
            if state.answers:
                stdio.note(NAME, _running(len(state.answers), signum, state.settings.grace_s))
        else:
            state.cut()
            server.force_exit = True
        signals.append(signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) != signal.SIG_IGN:
            loop.add_signal_handler(signum, on_signal, signum)
    await server.serve(sockets=[listener])
    return signals[0]


def _running(count: int, signum: int, grace_s: float) -> str:
    """Returns what the user is told who stops the server while answers are running, or wait to."""
    answers, them = ("1 answer", "it") if count == 1 else (f"{count} answers", "them")
    if signum == signal.SIGINT:
        return f"{answers} still running, Ctrl-C again to end {them}"
    return f"{answers} still running, cut after {grace_s:g} s ({option('grace')}) or at a second signal"


def listen(host: str, port: int, token: str) -> socket.socket:
    """Returns a listening socket.

    Raises UsageError if the address is not available, or if other hosts can reach it and there is no token.
    """
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror}") from None
    except UnicodeError:  # a label that is empty, longer than 63 characters, or no text
        raise UsageError(f"cannot listen on {shorten(host)!r}: this cannot be a host's name") from None
    family, _, _, _, address = addresses[0]
    if not token and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise UsageError(f"other hosts can reach {host}: set a token in LLMSTREAM_SERVE_TOKEN")
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        set_options(listener)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host}, port {port}: {error.strerror}: choose another {option('port')}"
        raise UsageError(message) from None
    return listener


def url(listener: socket.socket) -> str:
    """Returns the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
