"""Inputs of filters: stdin, FILE operands, and small files that are read whole.

Reading waits for the input and, in the same poll, for the reader of stdout to leave: the write end of a pipe then
reports POLLERR (a socket or a terminal POLLHUP) at once, without a write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import time
from collections.abc import Callable, Iterator, Sequence

from . import stdio
from .errors import ReaderGone, UsageError

MOST_BYTES = 1 << 20  # of a read from a file
GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


def explain_terminal(command: str, what: str, hint: str = "") -> None:
    """Notes that `what` is expected where stdin is a terminal; `hint` follows."""
    if os.isatty(stdio.STDIN) and os.isatty(stdio.STDERR):
        stdio.note(command, f"type or paste {what}, then Ctrl-D{hint}")


class Input:
    """Reads a descriptor as bytes arrive, and watches for the reader of stdout to leave; `name` is for messages."""

    def __init__(self, fd: int = stdio.STDIN, name: str = "the input") -> None:
        self._fd, self._name = fd, name
        self._size = stdio.CHUNK_BYTES  # of the next read
        self._poll = select.poll()
        self._poll.register(stdio.STDOUT, 0)
        self._poll.register(fd, select.POLLIN)

    def read(self, timeout: float | None = None) -> bytes | None:
        """Returns what has arrived; b"" at the end, None after `timeout` seconds, or a day.

        That is at most CHUNK_BYTES bytes, and behind as many MOST_BYTES. Raises ReaderGone and UsageError.
        """
        deadline = None if timeout is None else time.monotonic() + min(timeout, stdio.DAY_S)
        while True:
            wait = None if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
            ready = dict(self._poll.poll(wait))
            if not ready:  # the process may have been stopped for longer than that
                ready = dict(self._poll.poll(0))
            if ready.get(stdio.STDOUT, 0) & GONE:
                raise ReaderGone
            if not ready:
                return None
            with contextlib.suppress(BlockingIOError):  # another process has read what was there
                return self._read()

    def _read(self) -> bytes:
        try:
            data = os.read(self._fd, self._size)
        except BlockingIOError:
            raise
        except OSError as error:
            raise _unreadable(self._name, error) from None
        self._size = MOST_BYTES if len(data) == self._size else stdio.CHUNK_BYTES
        return data

    def close(self) -> None:
        """Closes the descriptor early, so that the producer gets EPIPE while this process finishes."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def drain(self) -> None:
        """Reads to the end and drops the data, so that the producer is not killed; stdout is not watched."""
        while True:
            try:
                if not self._read():
                    return
            except BlockingIOError:
                stdio.wait(self._fd, select.POLLIN)


class Operands:
    """The inputs that FILE operands name, with their names, opened one after the other; `-`, or no operand, is stdin.

    As with cat, a file that cannot be read is noted, and the others are read; `status` is then that of UsageError.
    `what` is expected on a terminal: a note says so.
    """

    def __init__(self, command: str, paths: Sequence[str], what: str) -> None:
        self._command, self._paths, self._what = command, paths or ("-",), what
        self.status = 0

    def __iter__(self) -> Iterator[tuple[str, Input]]:
        for path in self._paths:
            if path == "-":
                explain_terminal(self._command, self._what)
                yield path, _Operand(stdio.STDIN, "the input", self._report)
                continue
            try:
                source = _Operand(_open(path), path, self._report)
            except OSError as error:
                self._report(_unreadable(path, error))
                continue
            try:
                yield path, source
            finally:
                source.close()

    def _report(self, error: UsageError) -> None:
        stdio.note(self._command, error.message)
        self.status = error.status


class _Operand(Input):
    """An input that ends where it cannot be read; `report` is called with the error."""

    def __init__(self, fd: int, name: str, report: Callable[[UsageError], None]) -> None:
        super().__init__(fd, name)
        self._report = report

    def _read(self) -> bytes:
        try:
            return super()._read()
        except UsageError as error:
            self._report(error)
            return b""


def write_last(data: bytes, source: Input) -> None:
    """Writes the last data to stdout and closes the source, first of all, so that the producer stops at once.

    A terminal gets the data first, to the end of a line, because the producer may write a note there when it stops.
    """
    if os.isatty(stdio.STDOUT):
        stdio.write(data)
        stdio.end_output()
        source.close()
    else:
        source.close()
        stdio.write(data)


def _open(path: str) -> int:
    """Returns a descriptor of a file to read. Raises OSError, for a directory too."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(errno.EISDIR, "")
    return fd


def check_file(path: str) -> None:
    """Raises UsageError where there is no such file, without opening it."""
    try:
        os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError:  # a NUL, or half a surrogate pair
        raise UsageError(f"cannot read {path!r}: this cannot be a file's name") from None


MAX_FILE_BYTES = 16_000_000  # of a file that is read whole


def read_file(path: str, what: str = "", limit: int = MAX_FILE_BYTES, only_regular: bool = False) -> bytes:
    """Returns the content of a file; `what` names it in messages. Raises UsageError, for more than `limit` bytes, too.

    The limit is what ends a device such as /dev/zero. A FIFO is read to its end: a shell's <(...) is one. With
    `only_regular` both are errors, so that nothing is waited for.
    """
    try:
        with open(path, "rb", opener=_open_regular if only_regular else None) as file:
            return bounded(file.read(limit + 1), f"{what}{path}", limit)
    except OSError as error:
        raise _unreadable(f"{what}{path}", error) from None
    except ValueError:  # a NUL, or half a surrogate pair
        raise UsageError(f"cannot read {what}{path!r}: this cannot be a file's name") from None


def _open_regular(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_NONBLOCK)  # which a FIFO does not hold up
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # which `open` reports
        return fd
    os.close(fd)
    raise UsageError(f"{path} is not a regular file")


def bounded(data: bytes, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
    """Returns the data. Raises UsageError where there is more than the limit."""
    if len(data) > limit:
        raise UsageError(f"{name} is too large: more than {limit / 1e6:g} MB")
    return data


def _unreadable(name: str, error: OSError) -> UsageError:
    return UsageError(f"cannot read {name or repr(name)}: {os.strerror(error.errno or errno.EIO)}")
