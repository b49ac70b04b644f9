"""Runs of `map`: a provider that echoes the prompts, and a process whose stdin and stdout the test holds."""

from __future__ import annotations

import json
import os
import select
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..conftest import LLMSTREAM, Run, at, environment
from .limits import WAIT_S
from .loopback import Provider, Request, Script, Step, chat, head, messages, responses

MAP = [*LLMSTREAM, "map", "-m", "openai/m"]


def echo(request: Request) -> list[Step]:
    """Makes the answer that repeats the prompt, in the dialect of the request's path."""
    if "/chat/" in request.line:
        return [head(), *chat(request.prompt)]
    if "/responses" in request.line:
        return [head(), *responses(request.json["input"])]
    return [head(), *messages(request.json["messages"][-1]["content"])]


def lines(data: bytes) -> list[dict]:
    """Parses the records of an output, which has to end with a complete line."""
    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def texts(data: bytes) -> list[str]:
    return [record["text"] for record in lines(data)]


def until(true: Callable[[], object]) -> None:
    """Waits until true() holds, by polling: for conditions that no event signals."""
    patience = threading.Event()
    for _ in range(int(WAIT_S * 100)):
        if true():
            return
        patience.wait(0.01)
    raise AssertionError("it never came true")


def mapped(
    run: Run, *args: str, input: bytes, script: Script = echo
) -> tuple[subprocess.CompletedProcess[bytes], list[Request]]:
    """Runs map against a new provider; returns the result and the requests, sorted by their bodies."""
    with Provider(script) as provider:
        done = run("map", "-m", "openai/m", *args, input=input, url=provider.url)
    return done, sorted(provider.requests, key=lambda request: request.body)


class Running:
    """A run of map: `give` writes to its stdin, `line` and `rest` read its stdout."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._held = b""

    def give(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def line(self) -> dict:
        """Reads the next record; fails after WAIT_S seconds of silence."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        while b"\n" not in self._held:
            assert select.select([fd], [], [], WAIT_S)[0], "no line came"
            piece = os.read(fd, 65536)
            assert piece, "the output has ended"
            self._held += piece
        line, _, self._held = self._held.partition(b"\n")
        return json.loads(line)

    @property
    def state(self) -> str:
        """The state of the process in /proc: R running, S sleeping."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def rest(self) -> bytes:
        """Reads stdout to its end."""
        assert self.process.stdout is not None
        return self._held + self.process.stdout.read()

    def stderr(self) -> bytes:
        """Reads stderr to its end, which is the end of the process."""
        assert self.process.stderr is not None
        return self.process.stderr.read()


@contextmanager
def running(*args: str, url: str, **more: object) -> Iterator[Running]:
    """Starts `llmstream map ARGS` on pipes; kills it at the end of the block."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | more
    env = at(url) if url else environment()
    with subprocess.Popen([*MAP, *args], env=env, bufsize=0, **pipes) as process:
        try:
            yield Running(process)
        finally:
            process.kill()
