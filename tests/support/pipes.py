"""A running filter whose stdin the test holds open, to see what it writes before more input arrives."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ..conftest import LLMSTREAM, environment
from .limits import WAIT_S


class Filter:
    """A process; `give` writes to its stdin, `take` reads from its stdout."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def give(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def take(self, size: int) -> bytes:
        """Reads `size` bytes; fewer if the filter ends or is silent for WAIT_S seconds."""
        assert self.process.stdout is not None
        data, fd = b"", self.process.stdout.fileno()
        while len(data) < size and select.select([fd], [], [], WAIT_S)[0]:
            piece = os.read(fd, size - len(data))
            if not piece:
                break
            data += piece
        return data

    def status(self) -> int:
        return self.process.wait(WAIT_S)


@contextmanager
def filter(*args: str) -> Iterator[Filter]:
    """Starts `llmstream ARGS` on pipes; kills it at the end of the block."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([*LLMSTREAM, *args], env=environment(), bufsize=0, **pipes) as process:
        try:
            yield Filter(process)
        finally:
            process.kill()
