"""Standard streams, signals and descriptors, as a filter needs them.

Reading waits for stdin and, in the same poll, for the reader of stdout to leave: the write end of a pipe then reports
POLLERR (a socket or a terminal POLLHUP) at once, without a write. Nothing is buffered here: data is written when
`write` returns.
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
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from . import terminal
from .errors import OutputFailed, ReaderGone, Signalled, UsageError, command_line, spell

STDIN, STDOUT, STDERR = 0, 1, 2
CHUNK = 65536  # bytes of a read
DAY = 86400.0  # seconds; poll can wait for 24 days at most
GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL

_closed_at_start: set[int] = set()
_stdout_name = "stdout"  # for messages


def open_missing() -> None:
    """Opens /dev/null in place of closed standard descriptors, so that no socket gets their numbers."""
    for fd in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            _closed_at_start.add(fd)


def require_stdout() -> None:
    """Raises OutputFailed where stdout was closed at the start (`>&-`), before a request costs money."""
    if STDOUT in _closed_at_start:
        raise OutputFailed("stdout is closed: redirect it to a file or to /dev/null")


def redirect_stdout(fd: int, name: str) -> int:
    """Makes stdout what `fd` is, which is closed; `name` is for messages. Returns a duplicate of what it was."""
    global _stdout_name
    saved = os.dup(STDOUT)
    os.dup2(fd, STDOUT)
    os.close(fd)
    _closed_at_start.discard(STDOUT)
    _stdout_name = name
    return saved


def restore_stdout(saved: int) -> None:
    """Ends the output, and makes stdout what it was before `redirect_stdout`."""
    global _stdout_name, _line_open, _has_written
    end_output()
    os.dup2(saved, STDOUT)
    os.close(saved)
    _displays.pop(STDOUT, None)
    _stdout_name, _line_open, _has_written = "stdout", False, False


class _Stdout(io.RawIOBase):
    """stdout as a file for `print` and click: unbuffered, and with the errors of `write`."""

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


is_command_line = False  # not another program that imports the package


def take_stdout() -> None:
    """Makes sys.stdout write through `write`."""
    global is_command_line
    is_command_line = True
    sys.stdout = io.TextIOWrapper(_Stdout(), encoding="utf-8", write_through=True)


OPEN_FILES = 65536  # more than any number of streams needs that one process carries
OPEN_MAX = 10240  # macOS: what it allows where it says that there is no limit


def raise_open_files(count: int = OPEN_FILES) -> int:
    """Lets the process open `count` files, or as many as the system allows; returns how many, at most `count`.

    Never fails: macOS refuses limits that it says it allows. A stream takes one to three descriptors, and the usual
    limit is 1024 or, on macOS, 256.
    """
    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (ImportError, OSError, ValueError, OverflowError):
        return count
    if soft == resource.RLIM_INFINITY or soft >= count:
        return count
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    for limit in (allowed, min(allowed, OPEN_MAX)):
        if limit > soft:
            with contextlib.suppress(OSError, ValueError, OverflowError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
    return soft


# Signals. The handler raises, so that a blocked read, write or poll ends at once. Inside libcurl, which would print and
# swallow an exception from its callbacks, the signal is deferred until libcurl returns.

_deferring = False
_pending = 0


def catch_signals() -> None:
    """Makes INT, TERM and HUP raise Signalled, unless they are ignored (nohup, background jobs)."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, _on_signal)


def _on_signal(signum: int, frame: FrameType | None) -> None:
    global _pending
    if _deferring:
        _pending = signum
        return
    signal.signal(signum, signal.SIG_DFL)  # a second signal, during the clean-up, kills
    raise Signalled(signum)


class SignalsDeferred:
    """A context at whose end a signal that arrived within it is raised."""

    def __enter__(self) -> None:
        global _deferring
        _deferring = True

    def __exit__(self, *exc: object) -> None:
        global _deferring, _pending
        _deferring = False
        if _pending:
            signum, _pending = _pending, 0
            _on_signal(signum, None)


CPU_INTERVAL_S = 0.02


def call_after_cpu_time(callback: Callable[[FrameType | None, float], object]) -> None:
    """Calls `callback(frame, seconds)` after each CPU_INTERVAL_S of CPU time, while the process runs.

    Each call interrupts the main thread, at `frame` and perhaps within C code that looks at signals, as `re` does; an
    exception is raised there. `seconds` is the main thread's CPU time since the last call.
    An idle process is not woken.
    """
    last = time.thread_time()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.thread_time()
        seconds, last = now - last, now
        if not _deferring:
            callback(frame, seconds)

    signal.signal(signal.SIGVTALRM, on_signal)
    signal.siginterrupt(signal.SIGVTALRM, False)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_INTERVAL_S, CPU_INTERVAL_S)


def die_by(signum: int) -> None:
    """Ends the process by the signal, so that a shell sees it (130, 143, 129) and stops its own loop."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


# Streams.

make_display: Callable[[int, bool], terminal.Display | None] | None = (
    None  # for a terminal; None shows bytes as they are
)
wraps_words = False  # whether displays do
ends_lines = True  # whether the output ends with a newline on a terminal, whatever it is in a pipe
clear_progress: Callable[[], None] | None = None  # takes the progress off the screen, before other output
_displays: dict[int, terminal.Display | None] = {}  # by descriptor, once it is written to
_line_open = _stderr_line_open = False  # whether stdout, or text on stderr, ends within a line
_has_written = False  # whether stdout had any output since the last note


def write(data: bytes) -> None:
    """Writes all of data to stdout. Raises ReaderGone, and OutputFailed for other failures."""
    display = _display(STDOUT)
    _write(display.feed(data) if display else data)


def write_last(data: bytes, source: Input) -> None:
    """Writes the last data to stdout and closes the source, first of all, so that the producer stops at once.

    A terminal gets the data first, to the end of a line, because the producer may write a note there when it stops.
    """
    if os.isatty(STDOUT):
        write(data)
        end_output()
        source.close()
    else:
        source.close()
        write(data)


def end_output() -> None:
    """Ends the output: on a terminal the line, too. Ignores that it cannot be written."""
    with contextlib.suppress(ReaderGone, OutputFailed):
        if display := _displays.get(STDOUT):
            _write(display.close())
        if _line_open and ends_lines and os.isatty(STDOUT):
            _write(b"\n")


def suspend_output() -> None:
    """Brings the terminal to the start of a line, for other processes to write there; the output goes on later."""
    with contextlib.suppress(ReaderGone, OutputFailed):
        if display := _displays.get(STDOUT):
            _write(display.flush())


def _display(fd: int) -> terminal.Display | None:
    """Returns what turns bytes from elsewhere into those that are shown, None where the descriptor is no terminal."""
    if fd not in _displays:
        _displays[fd] = make_display(fd, wraps_words) if make_display and os.isatty(fd) else None
    return _displays[fd]


def _write(data: bytes) -> None:
    global _line_open, _has_written
    if not data:
        return
    if clear_progress and terminal.may_show_stdout():
        clear_progress()
    is_at_start = data[-1] == 0x0A or (data[-1] == 0x0D and _displays.get(STDOUT) is not None)
    _line_open, _has_written = not is_at_start, True
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(STDOUT, view) :]
        except (BrokenPipeError, ConnectionResetError):
            raise ReaderGone from None
        except BlockingIOError:  # another process made the descriptor non-blocking
            _wait(STDOUT, select.POLLOUT)
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            raise OutputFailed(f"cannot write to {_stdout_name}: {reason}") from None


def _wait(fd: int, event: int) -> None:
    """Waits for a descriptor that another process made non-blocking."""
    poll = select.poll()
    poll.register(fd, event)
    poll.poll()


MAX_HELD_NOTES = 100  # the last ones, of many retries
_held_notes: list[str] | None = None  # lines that wait for a failure; None where notes are written at once


def note(command: str, text: str, *, stays: bool = False) -> None:
    """Writes one line to stderr, `llmstream COMMAND: text`, with the options in it as the shell spells them.

    `stays`: the user needs it even of a quiet run that goes well: text is lost, or the line was asked for.
    """
    prefix = f"llmstream {command}".rstrip()
    line = f"{prefix}: {spell(text, command_line)}"
    if _held_notes is None or stays:
        write_stderr_line(line)
    else:
        _held_notes.append(line)
        del _held_notes[:-MAX_HELD_NOTES]


def hold_notes() -> None:
    """Holds the notes that do not stay until `release_notes`: those of a run that goes well are never written."""
    global _held_notes
    _held_notes = []


def release_notes() -> None:
    """Writes the notes that were held, before an error; later ones are written at once."""
    global _held_notes
    lines, _held_notes = _held_notes or (), None
    for line in lines:
        write_stderr_line(line)


def write_stderr_line(text: str) -> None:
    """Writes one line to stderr, made `one_line`."""
    write_stderr(_begin_line() + f"{one_line(text)}\n".encode("utf-8", "replace"))


def write_stderr_lines(text: str) -> None:
    """Writes lines to stderr, each made `one_line`."""
    lines = "".join(f"{one_line(line)}\n" for line in text.split("\n"))
    write_stderr(_begin_line() + lines.encode("utf-8", "replace"))


def one_line(text: str) -> str:
    """Returns text from elsewhere as one line: control characters, which a server may have sent, become blanks."""
    return "".join(c if c.isprintable() else " " for c in text).rstrip()


def _begin_line() -> bytes:
    """Returns what ends the line that the screen, or the file of both streams, is in, before a line on stderr."""
    global _line_open, _stderr_line_open, _has_written
    if clear_progress:
        clear_progress()
    if display := _displays.get(STDOUT):
        with contextlib.suppress(ReaderGone, OutputFailed):
            _write(display.flush())
    if _stderr_line_open or (_line_open and terminal.have_common_lines()):
        display = _displays.get(STDERR)
        _line_open = _stderr_line_open = False
        return (display.flush() if display else b"") + b"\n"
    if _has_written and terminal.may_have_other_text():
        _has_written = False
        terminal.wait_for_reader()
        return terminal.line_start()
    return b""


def write_stderr_text(data: bytes) -> None:
    """Writes text from elsewhere to stderr, which may be part of a line."""
    global _stderr_line_open
    display = _display(STDERR)
    data = display.feed(data) if display else data
    if data:
        write_stderr(data if _stderr_line_open else _begin_line() + data)
        _stderr_line_open = data[-1] != 0x0A


def write_stderr(data: bytes) -> None:
    """Writes to stderr; ignores that stderr is full, closed or gone."""
    while data:
        try:
            data = data[os.write(STDERR, data) :]
        except BlockingIOError:
            _wait(STDERR, select.POLLOUT)
        except OSError:
            return


class Input:
    """Reads a descriptor as bytes arrive, and watches for the reader of stdout to leave; `name` is for messages."""

    def __init__(self, fd: int = STDIN, name: str = "the input") -> None:
        self._fd, self._name = fd, name
        self._poll = select.poll()
        self._poll.register(STDOUT, 0)
        self._poll.register(fd, select.POLLIN)

    def read(self, timeout: float | None = None) -> bytes | None:
        """Returns what has arrived, at most CHUNK bytes; b"" at the end, None after `timeout` seconds, or a day.

        Raises ReaderGone and UsageError.
        """
        deadline = None if timeout is None else time.monotonic() + min(timeout, DAY)
        while True:
            wait = None if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
            ready = dict(self._poll.poll(wait))
            if not ready:  # the process may have been stopped for longer than that
                ready = dict(self._poll.poll(0))
            if ready.get(STDOUT, 0) & GONE:
                raise ReaderGone
            if not ready:
                return None
            with contextlib.suppress(BlockingIOError):  # another process has read what was there
                return self._read()

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, CHUNK)
        except BlockingIOError:
            raise
        except OSError as error:
            raise _unreadable(self._name, error) from None

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
                _wait(self._fd, select.POLLIN)


class Operands:
    """The inputs that FILE operands name, with their names, opened one after the other; `-`, or no operand, is stdin.

    As with cat, a file that cannot be read is noted, and the others are read; `status` is then that of UsageError.
    """

    def __init__(self, command: str, paths: Sequence[str]) -> None:
        self._command, self._paths = command, paths or ("-",)
        self.status = 0

    def __iter__(self) -> Iterator[tuple[str, Input]]:
        for path in self._paths:
            if path == "-":
                yield path, _Operand(STDIN, "the input", self._report)
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
        note(self._command, error.message)
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


def read_file(path: str, what: str = "", limit: int = MAX_FILE_BYTES) -> bytes:
    """Returns the content of a file; `what` names it in messages. Raises UsageError, for more than `limit` bytes, too.

    The limit is what ends a device such as /dev/zero. A FIFO is read to its end: a shell's <(...) is one.
    """
    try:
        with open(path, "rb") as file:
            return bounded(file.read(limit + 1), f"{what}{path}", limit)
    except OSError as error:
        raise _unreadable(f"{what}{path}", error) from None
    except ValueError:  # a NUL, or half a surrogate pair
        raise UsageError(f"cannot read {what}{path!r}: this cannot be a file's name") from None


def bounded(data: bytes, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
    """Returns the data. Raises UsageError where there is more than the limit."""
    if len(data) > limit:
        raise UsageError(f"{name} is too large: more than {limit / 1e6:g} MB")
    return data


def _unreadable(name: str, error: OSError) -> UsageError:
    return UsageError(f"cannot read {name or repr(name)}: {os.strerror(error.errno or errno.EIO)}")
