"""Files that one process at a time appends to: a journal, a conversation."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from . import stdio
from .errors import OutputFailed, UsageError

fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


def require_own_file(fd: int, name: str) -> None:
    """Raises UsageError for anything but a regular file, and for the file that stdout or stderr goes to."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{name} is not a regular file: name a regular file")
    for number, stream in ((stdio.STDOUT, "stdout"), (stdio.STDERR, "stderr")):
        with contextlib.suppress(OSError):
            if os.path.samestat(status, os.fstat(number)):
                raise UsageError(f"{name} is the file that {stream} goes to: name another file")


def sync_directory(path: str) -> None:
    """Puts the name of a new file on the disk. Not all file systems allow that; then this does nothing."""
    with contextlib.suppress(OSError):
        directory = os.open(os.path.dirname(os.path.realpath(path)), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def append_whole(fd: int, data: bytes, start: int, path: str, advice: str) -> None:
    """As `write_through`, and a process that is killed within it leaves a NUL at `start`, or nothing.

    The kernel writes much data in parts, and a kill ends it between two. So the first byte comes last.
    """
    write_through(fd, data[1:], start + 1, path, advice, failed_end=start)
    write_through(fd, data[:1], start, path, advice)


def write_through(fd: int, data: bytes, start: int, path: str, advice: str, failed_end: int | None = None) -> int:
    """Writes data at the offset `start`, and through to the disk; returns the new end.

    Raises OutputFailed, whose message ends with the advice; the file then ends at `failed_end`, or else at `start`.
    """
    view, end = memoryview(data), start
    try:
        while view:
            size = os.pwrite(fd, view, end)
            view, end = view[size:], end + size
        fdatasync(fd)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, start if failed_end is None else failed_end)
        reason = os.strerror(error.errno or errno.EIO)
        raise OutputFailed(f"cannot write {path}: {reason}: {advice}") from None
    return end
