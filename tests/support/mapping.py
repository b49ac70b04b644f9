"""Runs `map` for tests: a provider that echoes the prompts, and a process on pipes."""

from __future__ import annotations

import json
import os
import select
import signal
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
    """Answers with the prompt, in the dialect of the path."""
    if "/chat/" in request.line:
        return [head(), *chat(request.prompt)]
    if "/responses" in request.line:
        return [head(), *responses(request.json["input"])]
    return [head(), *messages(request.json["messages"][-1]["content"])]


def records_of(data: bytes) -> list[dict]:
    """Parses the records in an output, which must end with a complete line."""
    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def texts_of(data: bytes) -> list[str]:
    """Returns the texts of the records in an output."""
    return [record["text"] for record in records_of(data)]


def wait_until(true: Callable[[], object]) -> None:
    """Polls until `true()` holds, for conditions that no event signals; fails after WAIT_S seconds."""
    timer = threading.Event()
    for _ in range(int(WAIT_S * 100)):
        if true():
            return
        timer.wait(0.01)
    raise AssertionError("the condition never became true")


def terminated_while_it_prints(process: subprocess.Popen[bytes]) -> bytes:
    """Sends SIGTERM to a map whose pipe is full of the first line, and reads on; returns the whole output."""
    assert process.stdout
    stdout, output = process.stdout, bytearray(process.stdout.read(1))  # the rest fills the pipe
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    reader = threading.Thread(target=lambda: output.extend(stdout.read()))
    reader.start()
    process.send_signal(signal.SIGCONT)
    assert process.wait(WAIT_S) == -signal.SIGTERM
    reader.join(WAIT_S)
    return bytes(output)


def run_map(
    run: Run, *args: str, input: bytes, script: Script = echo
) -> tuple[subprocess.CompletedProcess[bytes], list[Request]]:
    """Runs map against a new provider; returns the result and the requests, sorted by body."""
    with Provider(script) as provider:
        done = run("map", "-m", "openai/m", *args, input=input, url=provider.url)
    return done, sorted(provider.requests, key=lambda request: request.body)


class Running:
    """A running map; `write` writes to its stdin, `read_record` and `read_rest` read its stdout."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._buffer = b""

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def read_record(self) -> dict:
        """Reads the next record; fails after WAIT_S seconds."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        while b"\n" not in self._buffer:
            assert select.select([fd], [], [], WAIT_S)[0], "no line came"
            piece = os.read(fd, 65536)
            assert piece, "the output has ended"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    @property
    def state(self) -> str:
        """The process's state in /proc: R is running, S sleeping."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def read_rest(self) -> bytes:
        """Reads stdout to its end; returns what has not been read before."""
        assert self.process.stdout is not None
        return self._buffer + self.process.stdout.read()

    def stderr(self) -> bytes:
        """Reads stderr to its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read()


@contextmanager
def running(*args: str, url: str, model: str = "openai/m", **more: object) -> Iterator[Running]:
    """Runs `llmstream map ARGS` on pipes; kills it at the end of the block."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | more
    env = at(url) if url else environment()
    with subprocess.Popen([*LLMSTREAM, "map", "-m", model, *args], env=env, bufsize=0, **pipes) as process:
        try:
            yield Running(process)
        finally:
            process.kill()
