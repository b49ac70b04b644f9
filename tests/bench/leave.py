"""How soon the provider sees the connection close after stdout's reader left, while the model is silent.

    python -m tests.bench.leave [RUNS]

Goal: within 50 ms, in a pipe, a FIFO and a socketpair.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from ..conftest import LLMSTREAM, at
from ..support.loopback import HOLD, Provider, chat_text, head

GOAL = 50.0  # milliseconds


def pipe() -> tuple[int, int]:
    return os.pipe()


def fifo() -> tuple[int, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "fifo")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(path, os.O_WRONLY)
    os.set_blocking(reader, True)
    return reader, writer


def socketpair() -> tuple[int, int]:
    reader, writer = socket.socketpair()
    return reader.detach(), writer.detach()


def leave(channel) -> float:
    """Milliseconds from the reader's close to the provider's seeing it."""
    reader, writer = channel()
    with Provider([head(), chat_text("Hello"), HOLD]) as provider:
        command = [*LLMSTREAM, "gen", "-n", "-m", "openai/m", "Hi"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer, env=at(provider.url)) as process:
            os.close(writer)
            assert os.read(reader, 100) == b"Hello"
            time.sleep(0.05)  # the process is back in its wait
            gone_at = time.monotonic()
            os.close(reader)
            assert provider.client_left.wait(10)
        assert process.returncode == 0
    return (provider.client_left_at - gone_at) * 1000


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"{'channel':12}{'median ms':>10}{'max ms':>10}   within {GOAL:g} ms ({runs} runs)")
    for channel in (pipe, fifo, socketpair):
        times = [leave(channel) for _ in range(runs)]
        met = "yes" if max(times) < GOAL else "NO"
        print(f"{channel.__name__:12}{statistics.median(times):10.2f}{max(times):10.2f}   {met}")


if __name__ == "__main__":
    main()
