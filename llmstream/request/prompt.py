"""Reads the prompt from operands and stdin, and notes a stdin that stays silent."""

from __future__ import annotations

import os
import stat

from .. import stdio
from ..core.text import is_utf8, original
from ..errors import UsageError, option

PROMPT = "the prompt"
MAX_PROMPT_BYTES = 64_000_000  # on stdin: more than any model takes
SILENCE_S = 2.0  # until a note explains a silent stdin


def read(command: str, operands: tuple[str, ...], no_stdin: bool, required: bool = True) -> str:
    """Returns the operands, then stdin if it is a pipe or a file; without operands, stdin alone.

    Raises UsageError for an empty prompt that is required. Notes carry the command's name.
    """
    words = join_words(command, operands)
    if no_stdin or ((operands or not required) and not is_data(stdio.STDIN)):
        text = words
    else:
        piped = read_stdin(command)
        text = f"{words}\n\n{piped}" if words and piped else words or piped
    if not text.strip():
        if not required:
            return ""
        raise UsageError("the prompt is empty: give one as an operand or on stdin")
    return text


def join_words(command: str, operands: tuple[str, ...]) -> str:
    """Returns the operands with blanks between them. Invalid UTF-8 becomes U+FFFD, with a note."""
    words = " ".join(operands)
    if not is_utf8(words):
        stdio.note(command, "the prompt has invalid UTF-8: replaced by U+FFFD")
        words = original(words).decode("utf-8", "replace")
    return words


def is_data(fd: int) -> bool:
    """Returns whether a descriptor is a pipe or a file, and not a terminal or /dev/null."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def read_bytes(command: str, what: str, limit: int = stdio.MAX_FILE_BYTES) -> bytes:
    """Returns all of stdin. `what` names in messages what is expected there.

    Raises UsageError for more than `limit` bytes.
    """
    if os.isatty(stdio.STDIN) and os.isatty(stdio.STDERR):
        stdio.note(command, f"type {what}, then Ctrl-D")
    source, chunks, timeout = stdio.Input(), [], None if os.isatty(stdio.STDIN) else SILENCE_S
    size = 0
    while size <= limit and (chunk := source.read(timeout)) != b"":
        if chunk is None:
            stdio.note(
                command,
                f"waiting for {what} on stdin"
                + (f": {option('no_stdin')} leaves stdin alone" if what == PROMPT else ""),
            )
        else:
            chunks.append(chunk)
            size += len(chunk)
        timeout = None
    return stdio.bounded(b"".join(chunks), what, limit)


def read_stdin(command: str) -> str:
    """Returns all of stdin without one final newline. Invalid UTF-8 becomes U+FFFD, with a note."""
    data = read_bytes(command, PROMPT, MAX_PROMPT_BYTES).removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        stdio.note(command, f"the prompt has invalid UTF-8 at byte {error.start}: replaced by U+FFFD")
        text = data.decode("utf-8", "replace")
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
