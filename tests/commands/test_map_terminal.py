"""`map` on a terminal: prompts that are typed, and the progress line."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..conftest import at
from ..support.limits import WAIT_S
from ..support.loopback import Provider, chat, head
from ..support.mapping import MAP, echo, texts_of


class Terminal:
    """A pseudo-terminal; `inner` is the process's end, to be closed once the process has it."""

    def __init__(self) -> None:
        self._outer, self.inner = pty.openpty()
        self._seen = b""

    def type(self, text: bytes) -> None:
        os.write(self._outer, text)

    def expect(self, text: bytes) -> bytes:
        """Reads until the text has come, or the terminal's end; returns all output so far."""
        while not text or text not in self._seen:
            ready, _, _ = select.select([self._outer], [], [], WAIT_S)
            assert ready, f"no {text!r} in {self._seen!r}"
            try:
                self._seen += os.read(self._outer, 65536)
            except OSError:  # EIO: no process has it open any more
                break
        return self._seen

    def close(self) -> None:
        os.close(self._outer)


@contextmanager
def mapping(url: str, *args: str, stdin: int | None = None) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """Runs map with a terminal as stderr, and as stdin unless one is passed."""
    terminal = Terminal()
    process = subprocess.Popen(
        [*MAP, *args],
        stdin=terminal.inner if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=terminal.inner,
        env=at(url, TERM="xterm"),
    )
    os.close(terminal.inner)
    with process:
        try:
            yield process, terminal
        finally:
            process.kill()
            terminal.close()


def test_prompts_are_typed_without_progress_on_their_line():
    with Provider(echo) as provider, mapping(provider.url) as (process, terminal):
        terminal.expect(b"llmstream map: type or paste prompts, one a line, then Ctrl-D\r\n")
        terminal.type(b"Hello\n")
        assert json.loads(process.stdout.readline())["text"] == "Hello"  # before the input ends
        terminal.type(b"\x04")
        assert process.wait(WAIT_S) == 0
        seen = terminal.expect(b"")
    assert b"llmstream map: 1 prompt: 1 done, 0 failed; " in seen
    assert b"running" not in seen


def test_progress_is_drawn_on_a_terminal_and_cleared_at_the_end():
    gate = threading.Event()

    def script(request):
        return [head(), gate, *chat("x")]

    with Provider(script) as provider, mapping(provider.url, stdin=subprocess.PIPE) as (process, terminal):
        process.stdin.write(b"a\nb\nc\n")
        process.stdin.close()
        terminal.expect(b"0 done, 3 running")
        gate.set()
        assert texts_of(process.stdout.read()) == ["x"] * 3
        assert process.wait(WAIT_S) == 0
        last = terminal.expect(b"").strip().rpartition(b"\r")[2]
    assert last.startswith(b"llmstream map: 3 prompts: 3 done, 0 failed; ")


def test_progress_says_why_the_next_prompt_waits():
    with (
        Provider(echo) as provider,
        mapping(provider.url, "--rpm", "0.1", stdin=subprocess.PIPE) as (process, terminal),
    ):
        process.stdin.write(b"a\nb\n")
        process.stdin.close()
        terminal.expect(b"1 done, 0 running")
        terminal.expect(b"waits: at most 0.1 requests a minute")
        process.kill()
