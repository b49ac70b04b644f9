"""Reads the prompt from operands and stdin, and notes a stdin that stays silent."""

from __future__ import annotations

import os
import stat

from .. import inputs, stdio
from ..core.text import is_utf8, original
from ..errors import UsageError, option

PROMPT, MORE = "the prompt", "more of the prompt"
EMPTY = "stdin is empty"
MAX_PROMPT_BYTES = 64_000_000  # on stdin: more than any model takes
SILENCE_S = 2.0  # until a note explains a silent stdin


def read(
    command: str, operands: tuple[str, ...], no_stdin: bool, required: bool = True, source: inputs.Input | None = None
) -> str:
    """Returns the operands, then stdin if it is a pipe or a file; without operands, or with a last one `-`, stdin too.

    `source` is stdin, if it is read in another way than as an Input. Raises UsageError for an empty prompt that is
    required. Notes carry the command's name.
    """
    operands, reads_stdin = split_stdin(operands)
    if reads_stdin and no_stdin:
        raise UsageError(
            f"- cannot read stdin, which another option reads or {option('no_stdin')} excludes: leave - out"
        )
    note_files(command, operands)
    words = join_words(command, operands)
    if no_stdin or ((operands or not required) and not reads_stdin and not is_data(stdio.STDIN)):
        text = words
    else:
        if words:
            _note_position(command)
        piped = read_stdin(command, MORE if words else PROMPT, source)
        if words and not piped and is_empty_data():
            stdio.note(command, f"{EMPTY}: the prompt is only the operand{'s' if len(operands) > 1 else ''}")
        text = f"{words}\n\n{piped}" if words and piped else words or piped
    if not text.strip():
        if not required:
            return ""
        raise UsageError("the prompt is empty: give one as an operand or on stdin")
    return text


def split_stdin(operands: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """Returns the operands without a last one `-`, and whether there is one: it means stdin."""
    reads_stdin = operands[-1:] == ("-",)
    return operands[:-1] if reads_stdin else operands, reads_stdin


def note_files(command: str, operands: tuple[str, ...]) -> None:
    """Notes operands that are names of files: only the names are in the prompt."""
    if files := [operand for operand in operands if os.path.isfile(operand)]:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        are = "are files, but only their names are" if more else "is a file, but only its name is"
        first = files[0]
        stdio.note(
            command, f"{first}{more} {are} in the prompt: {option('attach', first)} attaches it, < {first} reads it"
        )


def _note_position(command: str) -> None:
    """Notes that stdin is a file of which a part was read before, as by a shell's loop."""
    try:
        within = stat.S_ISREG(os.fstat(stdio.STDIN).st_mode) and os.lseek(stdio.STDIN, 0, os.SEEK_CUR) > 0
    except OSError:
        within = False
    if within:
        stdio.note(
            command,
            f"the rest of stdin follows the prompt: in a loop that reads it, {option('no_stdin')} leaves it alone",
        )


def join_words(command: str, operands: tuple[str, ...]) -> str:
    """Returns the operands with blanks between them. Invalid UTF-8 becomes U+FFFD, with a note."""
    words = " ".join(operands)
    if not is_utf8(words):
        stdio.note(command, "the prompt has invalid UTF-8: replaced by U+FFFD", stays=True)
        words = original(words).decode("utf-8", "replace")
    return words


def is_data(fd: int) -> bool:
    """Returns whether a descriptor is a pipe or a file, and not a terminal or /dev/null."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def is_empty_data() -> bool:
    """Returns whether stdin, of which nothing came, is a pipe or an empty file: perhaps a program has failed.

    What has no data on purpose is not: /dev/null, and a file that a loop has read to its end.
    """
    state = os.fstat(stdio.STDIN)
    return stat.S_ISFIFO(state.st_mode) or (stat.S_ISREG(state.st_mode) and not state.st_size)


def read_bytes(
    command: str, what: str, limit: int = inputs.MAX_FILE_BYTES, source: inputs.Input | None = None
) -> bytes:
    """Returns all of stdin. `what` names in messages what is expected there.

    Raises UsageError for more than `limit` bytes.
    """
    inputs.explain_terminal(command, what)
    source = source or inputs.Input()
    chunks, timeout = [], None if os.isatty(stdio.STDIN) else SILENCE_S
    size = 0
    while size <= limit and (chunk := source.read(timeout)) != b"":
        if chunk is None:
            stdio.note(
                command,
                f"waiting for {what} on stdin"
                + (f": {option('no_stdin')} leaves it alone" if what in (PROMPT, MORE) else ""),
            )
        else:
            chunks.append(chunk)
            size += len(chunk)
        timeout = None
    return inputs.bounded(b"".join(chunks), PROMPT if what == MORE else what, limit)


def read_stdin(command: str, what: str = PROMPT, source: inputs.Input | None = None) -> str:
    """Returns all of stdin without one final newline. Invalid UTF-8 becomes U+FFFD, with a note."""
    data = read_bytes(command, what, MAX_PROMPT_BYTES, source).removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        note = f"the prompt has invalid UTF-8 at byte {error.start}: replaced by U+FFFD"
        stdio.note(command, note, stays=True)
        text = data.decode("utf-8", "replace")
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
