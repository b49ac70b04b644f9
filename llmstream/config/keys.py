"""Keys that the configuration keeps in a file, or has a command print: a password store, a vault.

No key is ever part of a message.
"""

from __future__ import annotations

import os
import stat
import threading
import time

from ..core.secrets import Secrets
from ..errors import UsageError
from ..providers.registry import Provider
from ..providers.resolve import checked_key

MAX_KEY_BYTES = 65536  # of a key file
KEY_CMD_TTL_S = 300.0  # for which a command's key is reused: tokens last longer, and a server needs it often
KEY_CMD_TIMEOUT_S = 60.0  # a command may have to ask for a passphrase, or for a fingerprint

cache: dict[tuple[str, ...], tuple[float, str]] = {}  # by command: when the key expires, and the key
_locks: dict[tuple[str, ...], threading.Lock] = {}  # by command: it runs once at a time


class NotCached(Exception):
    """The key has to be read from a command, which takes a while."""


def read(row: Provider, wait: bool = True) -> str:
    """Returns the key of a row that has a key_file or a key_cmd.

    Raises UsageError, whose message continues after the name of the setting, and NotCached where a command would have
    to run and the caller cannot `wait`.
    """
    if row.key_file:
        return _parse(from_file(row.key_file), f"the text in {row.key_file}")
    if wait:
        with _locks.setdefault(row.key_cmd, threading.Lock()):
            return _from_cache(row) or _run(row.key_cmd)
    if key := _from_cache(row):
        return key
    raise NotCached


def _from_cache(row: Provider) -> str:
    """Returns the key that a command has printed lately, "" without one."""
    expires, key = cache.get(row.key_cmd, (0.0, ""))
    return key if time.monotonic() < expires else ""


def _run(command: tuple[str, ...]) -> str:
    key = _parse(_from_command(command), "what it prints")
    cache[command] = time.monotonic() + KEY_CMD_TTL_S, key
    return key


def from_file(path: str) -> bytes:
    """Returns the content of a key file. Raises UsageError if it cannot be read, or if other users can read it."""
    try:
        with open(path, "rb", opener=_open) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(f"{path} is not a regular file")
            if mode & 0o077:
                problem = f"other users can read {path} (mode {stat.S_IMODE(mode):04o})"
                raise UsageError(f"{problem}: chmod 600 {path}")
            return file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a FIFO without a writer would wait for one


def _parse(data: bytes, source: str) -> str:
    """Returns the key: the data without a byte order mark, and without blanks and line ends around it."""
    key = checked_key(data.decode("utf-8-sig", "replace"), source)
    if not key:
        raise UsageError(f"{source} is not a valid key: it is empty")
    return key


def _from_command(command: tuple[str, ...]) -> bytes:
    """Returns what a command prints. The command has the terminal, for a passphrase, but not stdin, for the prompt."""
    import subprocess

    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise UsageError(f"cannot run {command[0]}: {error.strerror}") from None
    with process:
        try:
            out, stderr = process.communicate(timeout=KEY_CMD_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise UsageError(f"took longer than {KEY_CMD_TIMEOUT_S:g} s: does it wait for input?") from None
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise UsageError(f"{_describe(process.returncode)}{_last_line(stderr, out)}")
    return out


def _describe(status: int) -> str:
    return f"failed with status {status}" if status > 0 else f"was killed by signal {-status}"


def _last_line(stderr: bytes, out: bytes) -> str:
    """Returns the last line of stderr, for the message, without the words on stdout, which may be the key."""
    lines = stderr.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    last = Secrets(out.decode("utf-8", "replace").split()).hide_credential(last)
    return f": {last[:300]}" if last else ""
