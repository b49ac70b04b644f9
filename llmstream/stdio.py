"""Standard output and standard error, as a filter needs them, and the process's descriptors.

Nothing is buffered here: data is written when `write` returns.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Callable

from . import terminal
from .errors import OutputFailed, ReaderGone, command_line, spell

STDIN, STDOUT, STDERR = 0, 1, 2
CHUNK_BYTES = 65536  # of a read
DAY_S = 86400.0  # poll can wait for 24 days at most

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


make_display: Callable[[int, bool], terminal.Display | None] | None = (
    None  # for a terminal; None shows bytes as they are
)
wraps_words = False  # whether displays do
ends_lines = True  # whether the output ends with a newline on a terminal, whatever it is in a pipe
clear_progress: Callable[[], None] | None = None  # takes the progress off the screen, before other output
_displays: dict[int, terminal.Display | None] = {}  # by descriptor, once it is written to
_line_open = _stderr_line_open = False  # whether stdout, or text on stderr, ends within a line
_has_written = False  # whether stdout had any output since the last note


def write(data: bytes, *, is_drawn: bool = False, counts: list[int] | None = None) -> None:
    """Writes all of data to stdout; `is_drawn` says that it is for the terminal as it is.

    `counts` gets how many bytes were written each time: so a caller knows what is left after a signal.
    Raises ReaderGone, and OutputFailed for other failures.
    """
    global _line_open, _has_written
    display = _displays[STDOUT] if STDOUT in _displays else _display(STDOUT)
    if display and not is_drawn:
        data = display.feed(data)
    if not data:
        return
    if clear_progress and terminal.may_show_stdout():
        clear_progress()
    is_at_start = data[-1] == 0x0A or (data[-1] == 0x0D and display is not None)
    _line_open, _has_written = not is_at_start, True
    rest: bytes | memoryview = data
    while rest:
        try:
            if counts is None:
                written = os.write(STDOUT, rest)
            else:
                counts += map(os.write, (STDOUT,), (rest,))  # C code, which a signal's exception does not interrupt
                written = counts[-1]
            rest = memoryview(rest)[written:] if written < len(rest) else b""
        except (BrokenPipeError, ConnectionResetError):
            raise ReaderGone from None
        except BlockingIOError:  # another process made the descriptor non-blocking
            wait(STDOUT, select.POLLOUT)
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            raise OutputFailed(f"cannot write to {_stdout_name}: {reason}") from None


def write_while_read(data: bytes, patience_s: float) -> bytes:
    """Writes data as long as the reader takes some of it every `patience_s`; returns the rest.

    Raises ReaderGone and OutputFailed.
    """
    poll, rest = select.poll(), memoryview(data)
    poll.register(STDOUT, select.POLLOUT)
    while rest and poll.poll(patience_s * 1000):
        write(bytes(rest[: select.PIPE_BUF]))  # for which a pipe that is ready has room
        rest = rest[select.PIPE_BUF :]
    return bytes(rest)


def end_output() -> None:
    """Ends the output: on a terminal the line, too. Ignores that it cannot be written."""
    with contextlib.suppress(ReaderGone, OutputFailed):
        if display := _displays.get(STDOUT):
            write(display.close(), is_drawn=True)
        if _line_open and ends_lines and os.isatty(STDOUT):
            write(b"\n", is_drawn=True)


def suspend_output() -> None:
    """Brings the terminal to the start of a line, for other processes to write there; the output goes on later."""
    with contextlib.suppress(ReaderGone, OutputFailed):
        if display := _displays.get(STDOUT):
            write(display.flush(), is_drawn=True)


def _display(fd: int) -> terminal.Display | None:
    """Returns what turns bytes from elsewhere into those that are shown, None where the descriptor is no terminal."""
    if fd not in _displays:
        _displays[fd] = make_display(fd, wraps_words) if make_display and os.isatty(fd) else None
    return _displays[fd]


def wait(fd: int, event: int) -> None:
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
            write(display.flush(), is_drawn=True)
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
            wait(STDERR, select.POLLOUT)
        except OSError:
            return
