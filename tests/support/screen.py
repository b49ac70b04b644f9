"""A terminal with a shell in it, kept by tmux, whose screen a test reads as a user does."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import needs
from .limits import WAIT_S

tmux = needs.program("tmux")
PROMPT = "$"


class Screen:
    """`run` types a command, `expect` waits for text, `output` for the command's end; they see what scrolled away."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._prompts = 0  # at the last command

    def tmux(self, *args: str) -> str:
        done = subprocess.run([*self._command, *args], capture_output=True, text=True, timeout=WAIT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, command: str) -> None:
        """Types a command after the prompt; `llmstream` in it is the checkout's."""
        self._prompts = len(prompts(self.rows()))
        self.type(command + "\n")

    def type(self, text: str) -> None:
        for number, line in enumerate(text.split("\n")):
            self.tmux("send-keys", *(["Enter"] if number else []))
            if line:
                self.tmux("send-keys", "-l", line)

    def rows(self) -> list[str]:
        return self.tmux("capture-pane", "-p", "-S", "-").rstrip("\n").split("\n")

    def expect(self, *texts: str) -> list[str]:
        """Waits until a row has each of the texts; returns the rows."""
        return self._wait(lambda rows: all(any(text in row for row in rows) for text in texts), texts)

    def output(self) -> list[str]:
        """Waits for the prompt that follows the last command; returns the rows between the two."""
        rows = self._wait(lambda rows: len(prompts(rows)) > self._prompts and rows[-1] == PROMPT, (PROMPT,))
        return rows[prompts(rows)[-2] + 1 : -1]

    def resize(self, columns: int) -> None:
        self.tmux("resize-window", "-x", str(columns))

    def _wait(self, done: Callable[[list[str]], bool], texts: tuple[str, ...]) -> list[str]:
        deadline = time.monotonic() + WAIT_S
        while not done(rows := self.rows()):
            assert time.monotonic() < deadline, "\n".join([f"no {texts} on the screen:", *rows])
        return rows


def prompts(rows: list[str]) -> list[int]:
    return [number for number, row in enumerate(rows) if row == PROMPT or row.startswith(f"{PROMPT} ")]


@contextmanager
def screen(env: dict[str, str], columns: int = 60, lines: int = 40) -> Iterator[Screen]:
    """Opens a terminal of this size, with a shell in this environment and a directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["tmux", "-S", f"{folder}/socket", "-f", "/dev/null"]
        shell = f"PS1='{PROMPT} ' ENV= exec sh"
        program = f'llmstream() {{ {shlex.quote(sys.executable)} -m llmstream "$@"; }}'
        opened = Screen(command)
        start = [*command, "new-session", "-d", "-x", str(columns), "-y", str(lines), "-c", folder, shell]
        env = {name: value for name, value in env.items() if name != "TMUX"}  # the tests may run in one
        subprocess.run(start, env=env | {"SHELL": "/bin/sh"}, check=True, timeout=WAIT_S, capture_output=True)
        try:
            opened.expect(PROMPT)
            opened.run(program)
            opened.output()
            yield opened
        finally:
            subprocess.run([*command, "kill-server"], capture_output=True, timeout=WAIT_S)
