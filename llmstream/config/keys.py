"""Keys that the configuration keeps in a file, or has a command print: a password store, a vault.

No key is ever part of a message.
"""

from __future__ import annotations

import os
import stat
import time

from ..core.secrets import Secrets
from ..errors import UsageError
from ..providers.registry import Provider
from ..providers.resolve import checked_key

LONGEST = 65536  # bytes of a key file
HOLDS = 300.0  # seconds for which a command's key is good: tokens last longer, and a server asks at every request
PATIENCE = 60.0  # seconds for a command; it may have to ask for a passphrase, or for a finger

_printed: dict[tuple[str, ...], tuple[float, str]] = {}  # by command: until when, and the key


def read(provider: str, row: Provider) -> str:
    """The key of a row that has a key_file or a key_cmd. Raises UsageError."""
    if row.key_file:
        return _checked(from_file(row.key_file), f"the key_file of {provider}")
    now = time.monotonic()
    until, key = _printed.get(row.key_cmd, (now, ""))
    if now >= until:
        key = _checked(_from_command(provider, row.key_cmd), f"what the key_cmd of {provider} prints")
        _printed[row.key_cmd] = now + HOLDS, key
    return key


def from_file(path: str) -> bytes:
    """What the file holds. Raises UsageError where it cannot be read, or where others can."""
    try:
        with open(path, "rb", opener=_open) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(f"the key_file {path} is not a regular file")
            if mode & 0o077:
                what = f"the key_file {path} is open to others (mode {stat.S_IMODE(mode):04o})"
                raise UsageError(f"{what}: chmod 600 {path}")
            return file.read(LONGEST)
    except OSError as error:
        raise UsageError(f"cannot read the key_file {path}: {error.strerror}") from None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO without a writer would be waited for


def _checked(data: bytes, source: str) -> str:
    """The key in what was read: all but one newline at its end."""
    key = data.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "replace")
    if not key:
        raise UsageError(f"{source} is not a valid key: it is empty")
    return checked_key(key, source)


def _from_command(provider: str, command: tuple[str, ...]) -> bytes:
    """What the command prints. It has the terminal to ask for a passphrase, but not our stdin: the prompt is there."""
    import subprocess

    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise UsageError(f"cannot run the key_cmd of {provider}: {command[0]}: {error.strerror}") from None
    with process:
        try:
            out, said = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise UsageError(
                f"the key_cmd of {provider} took longer than {PATIENCE:g} s: does it wait for input?"
            ) from None
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise UsageError(f"the key_cmd of {provider} {_ended(process.returncode)}{_last_line(said, out)}")
    return out


def _ended(status: int) -> str:
    return f"failed with status {status}" if status > 0 else f"was ended by signal {-status}"


def _last_line(said: bytes, out: bytes) -> str:
    """Returns the last line of stderr, for the message, without the words on stdout, which may be the key."""
    lines = said.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    last = Secrets(out.decode("utf-8", "replace").split()).hide_credential(last)
    return f": {last[:300]}" if last else ""
