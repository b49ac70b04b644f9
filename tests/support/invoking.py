"""Runs the command line inside the test's process, which saves the start of an interpreter.

For what needs neither pipes that the test holds, nor signals, terminals or closed descriptors, nor a fresh interpreter.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from unittest.mock import patch

import click
from click.testing import CliRunner

from llmstream import stdio
from llmstream.cli import run
from llmstream.config import keys

COMMAND = ["llmstream"]
FRESH = {
    **dict.fromkeys(("is_command_line", "wraps_words", "_line_open", "_stderr_line_open", "_has_written"), False),
    "ends_lines": True,
    "make_display": None,
    "clear_progress": None,
    "_held_notes": None,
}  # the state of stdio in a new process


class _Program(click.Command):
    """The command line as `llmstream.__main__` runs it, without its changes to the process."""

    def main(self, args: Sequence[str], **more: object) -> int:  # type: ignore[override]
        click.formatting.FORCED_WIDTH = None  # like sys.stdout, it is CliRunner's, who restores it at the end
        stdio.take_stdout()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # a command leaves open what the end of its process closes
            return run(list(args))


def invoke(
    args: Sequence[str], env: dict[str, str], input: bytes | None = None, cwd: str | os.PathLike[str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs `llmstream ARGS` to its end in exactly this environment; without `input`, stdin is /dev/null."""
    runner = CliRunner(env=dict.fromkeys(os.environ) | env, capture="fd", catch_exceptions=False)
    with (
        _stdin(input),
        chdir(cwd or "."),
        patch.multiple(stdio, **FRESH),
        patch.multiple(stdio, _closed_at_start=set(), _displays={}),
    ):
        keys.cache.clear()
        result = runner.invoke(_Program("llmstream"), args)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)  # the clock of a command with a user's pattern
    logging.disable(logging.NOTSET)  # an SDK's target switches it off, for the rest of what should be a process
    status = result.return_value if result.exception is None else result.exit_code
    return subprocess.CompletedProcess([*COMMAND, *args], status, result.stdout_bytes, result.stderr_bytes)


@contextmanager
def _stdin(data: bytes | None) -> Iterator[None]:
    """Redirects descriptor 0 to the data, or to /dev/null."""
    with tempfile.TemporaryFile() if data is not None else open(os.devnull, "rb") as source:
        if data is not None:
            source.write(data)
            source.seek(0)
        saved = os.dup(0)
        os.dup2(source.fileno(), 0)
        try:
            yield
        finally:
            os.dup2(saved, 0)
            os.close(saved)
