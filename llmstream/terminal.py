"""The terminal behind standard output and standard error, and where its lines begin."""

from __future__ import annotations

import os
import stat
import time
from typing import Protocol

STDOUT, STDERR = 1, 2
READ_S, WRITE_S = (
    0.1,
    0.02,
)  # that the reader of stdout has to read what is in the pipe, and to write what it makes of it


class Display(Protocol):
    """Turns bytes into those that a terminal gets."""

    def feed(self, data: bytes) -> bytes:
        """Returns what can be shown."""

    def flush(self) -> bytes:
        """Returns what is held back; the next output begins a line of the screen."""

    def close(self) -> bytes:
        """Returns the rest."""


def columns(fd: int) -> int:
    """Returns the width of a terminal, 0 where it is unknown."""
    try:
        return os.get_terminal_size(fd).columns
    except OSError:
        return 0


def is_capable() -> bool:
    """Returns whether a carriage return brings the cursor back to the start of a line."""
    return os.environ.get("TERM", "") not in ("", "dumb")


def have_common_lines() -> bool:
    """Returns whether a note stands behind the text on stdout: in the same file or pipe, or on a terminal."""
    if os.isatty(STDOUT):
        return os.isatty(STDERR)
    try:
        return os.path.sameopenfile(STDOUT, STDERR)
    except OSError:
        return False


def may_have_other_text() -> bool:
    """Returns whether the reader of stdout may write to the terminal that is stderr."""
    try:
        mode = os.fstat(STDOUT).st_mode
    except OSError:
        return False
    return (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) and os.isatty(STDERR) and is_capable()


def may_show_stdout() -> bool:
    """Returns whether what is written to stdout may appear on the terminal, at once or by way of its reader."""
    return os.isatty(STDOUT) or may_have_other_text()


def wait_for_reader() -> None:
    """Lets the reader of stdout write what it makes of the output, so that a note about it comes after that."""
    for _ in range(round(READ_S / WRITE_S)):
        if not unread_bytes():
            break
        time.sleep(WRITE_S)
    time.sleep(WRITE_S)


def line_start() -> bytes:
    """Returns what begins a line on stderr where another process may have left the cursor behind text.

    So many blanks that the terminal goes to its next line, unless the cursor is at the start of one; zsh does the same
    before its prompt.
    """
    return b" " * (columns(STDERR) - 1) + b"\r" if columns(STDERR) else b""


def unread_bytes() -> int:
    """Returns the bytes in the pipe of stdout that its reader has not read, 0 where stdout is no pipe."""
    import fcntl
    import struct
    import termios

    try:
        return int(struct.unpack("i", fcntl.ioctl(STDOUT, termios.FIONREAD, b"\0" * 4))[0])
    except OSError:
        return 0
