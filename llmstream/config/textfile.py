"""Reads small text files: system prompts, schemas, prompt files, the configuration."""

from __future__ import annotations

from .. import inputs
from ..errors import UsageError


def read_text(path: str, what: str = "") -> str:
    """Returns the text of a UTF-8 file, without its byte order mark; `what` names the file in messages.

    Raises UsageError, for a byte that is not UTF-8 with its line.
    """
    return decode(inputs.read_file(path, what), path)


def decode(data: bytes, path: str) -> str:
    """Returns the text of a file's bytes, as `read_text` does."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: invalid UTF-8") from None
