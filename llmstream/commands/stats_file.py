"""`--stats-file`: each run appends a line of JSON with its tokens, times and cost."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .. import stdio
from ..core.json_codec import to_json
from ..core.kinds import OUTPUT
from ..errors import OutputFailed, UsageError
from .parameters import FILE, in_group

F = TypeVar("F", bound=Callable[..., Any])


def stats_file(function: F) -> F:
    """Decorates a command's function with the option."""
    help = "Append tokens, times, cost to FILE as JSON."
    return in_group(OUTPUT, "--stats-file", kind=FILE, metavar="FILE", help=help)(function)


class StatsFile:
    """The file at `path`, created if missing, for notes of a command. Raises UsageError where it cannot be opened."""

    def __init__(self, path: str, command: str) -> None:
        self._path, self._command = path, command
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None

    def append(self, record: Mapping[str, object], failed: bool) -> None:
        """Appends a line with the time and the record. Raises OutputFailed; where another error ends the command
        (`failed`), a note says so instead.
        """
        line = (to_json({"time": round(time.time(), 3), **record}) + "\n").encode("utf-8", "replace")
        try:
            if os.write(self._fd, line) < len(line):  # one write to a file for appending is atomic
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            message = f"cannot write {self._path}: {error.strerror}"
            if not failed:
                raise OutputFailed(message) from None
            stdio.note(self._command, message)
