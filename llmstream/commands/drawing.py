"""Draws Markdown on the terminal that is stdout."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from .. import stdio, terminal
from ..errors import UsageError

if TYPE_CHECKING:
    from types import FrameType

    from ..core.pretty.display import Document

PIPE_COLUMNS = 80  # where the width is unknown


def draw_stdout(command: str) -> bool:
    """Draws what is written to stdout, where that is a terminal; returns whether it is one that can be drawn on.

    Raises UsageError without the extra `pretty`.
    """
    if not (os.isatty(stdio.STDOUT) and terminal.is_capable()):
        return False
    try:
        from ..core.pretty.display import PrettyDisplay
    except ModuleNotFoundError as error:
        raise _missing(command, error) from None
    others = stdio.make_display

    def make(fd: int, wraps_words: bool) -> terminal.Display | None:
        if fd == stdio.STDOUT:
            return PrettyDisplay(_size, has_colors())
        return others(fd, wraps_words) if others else None

    stdio.make_display = make
    signal.signal(signal.SIGTSTP, _on_stop)
    return True


def document(command: str) -> Document:
    """Returns what lays out a text for a pipe. Raises UsageError without the extra `pretty`."""
    try:
        from ..core.pretty.display import Document
    except ModuleNotFoundError as error:
        raise _missing(command, error) from None
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and 0 < int(columns) < 10_000 else PIPE_COLUMNS
    return Document(width, has_colors())


def has_colors() -> bool:
    """Whether NO_COLOR is unset or empty."""
    return not os.environ.get("NO_COLOR")


def _missing(command: str, error: ModuleNotFoundError) -> UsageError:
    name = (error.name or "").partition(".")[0]
    if name == __name__.partition(".")[0]:
        raise error
    what = "--pretty" if command == "gen" else command
    return UsageError(f"{what} needs {name}: pip install 'llmstream-cli[pretty]'")


def _size() -> tuple[int, int]:
    """Returns columns and rows of the terminal."""
    try:
        size = os.get_terminal_size(stdio.STDOUT)
    except OSError:
        return PIPE_COLUMNS, 24
    return size.columns or PIPE_COLUMNS, size.lines or 24


def _on_stop(signum: int, frame: FrameType | None) -> None:
    """Takes the draft off the screen before the process stops: what has arrived is drawn when it goes on."""
    stdio.suspend_output()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    signal.signal(signum, _on_stop)
