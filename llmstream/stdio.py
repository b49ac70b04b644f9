"""Standard streams and signals, as a filter needs them.

Reading waits on stdin and, in the same poll, on stdout's reader: a pipe's write end reports POLLERR (a socket or
a terminal POLLHUP) the moment its reader leaves, without a write. Nothing is buffered here: what is handed to
`write` is on its way when `write` returns.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import stat
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

from .errors import OutputFailed, ReaderGone, Signalled, UsageError, command_line, spell

STDIN, STDOUT, STDERR = 0, 1, 2
CHUNK = 65536
DAY = 86400.0  # poll can wait for 24 days
GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL

_closed_at_start: set[int] = set()


def open_missing() -> None:
    """Puts /dev/null where a standard descriptor was closed, so that no socket gets its number."""
    for fd in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            _closed_at_start.add(fd)


def require_stdout() -> None:
    """Raises OutputFailed where stdout was closed at the start (`>&-`): before anything is paid for."""
    if STDOUT in _closed_at_start:
        raise OutputFailed("stdout is closed: redirect it to a file or to /dev/null")


class _Stdout(io.RawIOBase):
    """stdout as a file for those who print, click's help among them: with our errors, and nothing held back."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return STDOUT

    def isatty(self) -> bool:
        return os.isatty(STDOUT)

    def write(self, data: bytes) -> int:  # type: ignore[override]
        require_stdout()
        write(bytes(data))
        return len(data)


_ours = False


def is_ours() -> bool:
    """Whether the process is the command line's, and not another program that imports the package."""
    return _ours


def take_stdout() -> None:
    """Makes sys.stdout write through `write`."""
    global _ours
    _ours = True
    sys.stdout = io.TextIOWrapper(_Stdout(), encoding="utf-8", write_through=True)


OPEN_FILES = 65536  # more than any number of streams needs that one process carries
OPEN_MAX = 10240  # macOS: what it allows where it says that there is no limit


def raise_open_files(count: int = OPEN_FILES) -> int:
    """Lets the process open `count` files, or as many as the system allows; returns how many, at most `count`.

    A stream takes one to three descriptors, and the usual limit is 1024 or, on macOS, 256.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return count
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    for limit in (allowed, min(allowed, OPEN_MAX)):
        if limit > soft:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
    return soft


# Signals. The handler raises, so that a blocked read, write or poll ends at once; but inside libcurl, which would
# print and swallow an exception from its callbacks, the signal is only noted and raised on the way out.

_deferring = False
_pending = 0


def catch_signals() -> None:
    """Makes INT, TERM and HUP raise Signalled, where they are not ignored (nohup, background jobs)."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, _on_signal)


def _on_signal(signum: int, frame: FrameType | None) -> None:
    global _pending
    if _deferring:
        _pending = signum
        return
    signal.signal(signum, signal.SIG_DFL)  # a second one, while the first is cleaned up after, kills
    raise Signalled(signum)


class SignalsDeferred:
    """`with SignalsDeferred():` raises what came meanwhile at its end."""

    def __enter__(self) -> None:
        global _deferring
        _deferring = True

    def __exit__(self, *exc: object) -> None:
        global _deferring, _pending
        _deferring = False
        if _pending:
            signum, _pending = _pending, 0
            _on_signal(signum, None)


def die_by(signum: int) -> None:
    """Ends the process by the signal, so that the shell sees it (130, 143, 129) and stops its loop."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


# Streams.

_in_line = False


def write(data: bytes) -> None:
    """Writes all of data to stdout. Raises ReaderGone, or OutputFailed for any other failure."""
    global _in_line
    if not data:
        return
    _in_line = data[-1] != 0x0A
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(STDOUT, view) :]
        except (BrokenPipeError, ConnectionResetError):
            raise ReaderGone from None
        except BlockingIOError:  # somebody else made the descriptor non-blocking
            _wait_writable(STDOUT)
        except OSError as error:
            raise OutputFailed(f"cannot write to stdout: {os.strerror(error.errno or errno.EIO)}") from None


def _wait_writable(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()


def note(command: str, text: str) -> None:
    """Writes one line to stderr, `llmstream COMMAND: text`, with the options in it as the shell spells them.

    Control characters, which may be a server's, become blanks.
    """
    prefix = f"llmstream {command}".rstrip()
    line = "".join(c if c.isprintable() else " " for c in f"{prefix}: {spell(text, command_line)}").rstrip()
    lead = "\n" if _in_line and os.isatty(STDOUT) and os.isatty(STDERR) else ""
    write_stderr(f"{lead}{line}\n".encode("utf-8", "replace"))


def write_stderr(data: bytes) -> None:
    """Writes to stderr; one that is full, closed or gone is no reason to fail."""
    while data:
        try:
            data = data[os.write(STDERR, data) :]
        except BlockingIOError:
            _wait_writable(STDERR)
        except OSError:
            return


class Input:
    """A descriptor read as its bytes arrive, while stdout's reader is watched."""

    def __init__(self, fd: int = STDIN) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(STDOUT, 0)
        self._poll.register(fd, select.POLLIN)

    def read(self, timeout: float | None = None) -> bytes | None:
        """What has arrived, at most CHUNK bytes; b"" at the end, None after `timeout` seconds, or a day, of silence."""
        ready = dict(self._poll.poll(None if timeout is None else max(0, round(min(timeout, DAY) * 1000))))
        if ready.get(STDOUT, 0) & GONE:
            raise ReaderGone
        if not ready:
            return None
        return self._read()

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, CHUNK)
        except OSError as error:
            raise UsageError(f"cannot read the input: {os.strerror(error.errno or errno.EIO)}") from None

    def close(self) -> None:
        """Nothing more is wanted: whoever writes is told by EPIPE, while this process still winds up."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def drain(self) -> None:
        """Reads to the end and drops it, so that whoever writes ends by itself; nobody needs to read stdout."""
        while self._read():
            pass


def open_operands(paths: Sequence[str]) -> Iterator[Input]:
    """The inputs that FILE operands name, opened one after the other; `-`, and no operand at all, are stdin.

    Raises UsageError at the first that cannot be read; what came before it has been read by then.
    """
    for path in paths or ("-",):
        if path == "-":
            yield Input()
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {os.strerror(error.errno or errno.EIO)}") from None
        source = Input(fd)
        try:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise UsageError(f"cannot read {path}: {os.strerror(errno.EISDIR)}")
            yield source
        finally:
            source.close()
