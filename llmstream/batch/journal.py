"""The journal: what is finished, on disk before anybody is told, so that a second run does only what is missing.

It is NDJSON, a head and then one line a finished prompt:

    {"journal": 1}
    {"key": "...", "digest": "...", "record": {...}}

Lines are only ever added, and of two with one key the later counts. Those of one commit are written at the end of
the whole lines that are known to be on disk, so that a write which broke off, by a full disk, a crash or a signal,
leaves at most a torn end: it is cut off at once or else by the next run, and writing it again is harmless.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
from typing import Any, NamedTuple

from .. import stdio
from ..errors import OutputFailed, UsageError

HEAD = b'{"journal": 1}\n'
BLOCK = 1 << 16  # bytes read at once
# An answer is named in the index by a hash of this size: with fewer than 16 bytes the object is a quarter smaller.
SIZE = 15
SYNC = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


def digest(parts: object) -> str:
    """What makes a request, any JSON, as 32 hexadecimal digits: the order of the members of an object means nothing."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Journal:
    """The journal at `path`, which is created where there is none, for this process alone.

    `torn` is how many bytes of a torn last line were cut off, `changed` how many keys `find` knew with another
    digest. Memory: about 130 bytes an earlier line, the longest line, and what is pending.

    Raises UsageError where the file is no journal (it is left as it is), cannot be opened, or is at work already;
    OutputFailed where a new one cannot be begun.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._pending: list[bytes] = []
        self.changed = self.torn = 0
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        try:
            self._require_file(fd)
            self._file = open(fd, "rb", buffering=BLOCK)  # noqa: SIM115 - the journal is the context
        except BaseException:
            os.close(fd)
            raise
        try:
            self._begin()
            self._index, self._end = self._read()
        except BaseException:
            self._file.close()
            raise

    def find(self, key: str, digest: str) -> dict[str, Any] | None:
        """The record that an earlier run has kept; None where it has none, or one of another request."""
        name = _hash(key)
        offset = self._index.get(name)
        if offset is None:
            return None
        try:
            self._file.seek(offset)
            entry = _entry(self._file.readline())
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from None
        if entry is None or _hash(entry.key) != name:  # overwritten by somebody else meanwhile
            return None
        if entry.digest != digest:
            self.changed += 1
            return None
        return entry.record

    def add(self, key: str, digest: str, record: dict[str, Any]) -> None:
        """Notes a finished prompt, to be written by the next commit."""
        self._pending.append(json.dumps({"key": key, "digest": digest, "record": record}).encode() + b"\n")

    @property
    def pending(self) -> int:
        """How many prompts the next commit will write."""
        return len(self._pending)

    def commit(self) -> None:
        """Puts all that is pending on disk; raises OutputFailed where it does not fit, and it stays pending."""
        if self._pending:
            self._end = self._write(b"".join(self._pending), self._end)
            self._pending.clear()

    def close(self) -> None:
        """Leaves the file to others. What is pending is lost: commit comes first."""
        self._file.close()

    def _require_file(self, fd: int) -> None:
        """Raises UsageError for what cannot be cut, and for the file that the output goes to."""
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"the journal {self._path} is not a regular file: name one")
        for number, name in ((stdio.STDOUT, "stdout"), (stdio.STDERR, "stderr")):
            with contextlib.suppress(OSError):
                if os.path.samestat(status, os.fstat(number)):
                    raise UsageError(f"the journal {self._path} is the file that {name} goes to: name another one")

    def _begin(self) -> None:
        """Locks the file, and gives it its head where it is new."""
        fd = self._file.fileno()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another llmstream map is at work on {self._path}") from None
        except OSError as error:
            raise UsageError(f"cannot lock {self._path}: {error.strerror}") from None
        try:
            head = os.pread(fd, len(HEAD), 0)
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from None
        if head == HEAD:
            return
        if not HEAD.startswith(head):
            raise UsageError(f"{self._path}:1 is not a journal of map: name another file")
        self._write(HEAD, 0)
        # The name is on disk as well only when the directory is; where that cannot be done, nothing is lost but that.
        with contextlib.suppress(OSError):
            directory = os.open(os.path.dirname(os.path.realpath(self._path)), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _read(self) -> tuple[dict[bytes, int], int]:
        """Where each key's last line begins, and where the whole lines end; cuts off what follows them."""
        index: dict[bytes, int] = {}
        try:
            end = self._file.seek(len(HEAD))
            for number, line in enumerate(self._file, 2):
                if not line.endswith(b"\n"):
                    self.torn = len(line)
                    os.ftruncate(self._file.fileno(), end)
                    break
                entry = _entry(line)
                if entry is None:
                    what = f"{self._path}:{number} is not a line of a journal of map"
                    raise UsageError(f"{what}: name another file, or delete the line")
                index[_hash(entry.key)] = end
                end += len(line)
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from None
        return index, end

    def _write(self, data: bytes, offset: int) -> int:
        """Writes at the offset, onto the disk; returns where the next write goes."""
        fd, view = self._file.fileno(), memoryview(data)
        end = offset
        try:
            while view:
                size = os.pwrite(fd, view, end)
                view, end = view[size:], end + size
            SYNC(fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, offset)
            what = f"cannot write {self._path}: {os.strerror(error.errno or errno.EIO)}"
            raise OutputFailed(f"{what}: run the same again when it can be written, it goes on from there") from None
        return end


class _Entry(NamedTuple):
    key: str
    digest: str
    record: dict[str, Any]


def _entry(line: bytes) -> _Entry | None:
    """What a line says, None where it is not one of ours."""
    try:
        entry = json.loads(line)
        key, digest, record = entry["key"], entry["digest"], entry["record"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    if not isinstance(key, str) or not isinstance(digest, str) or not isinstance(record, dict):
        return None
    return _Entry(key, digest, record)


def _hash(key: str) -> bytes:
    # In UTF-16 a character and its two surrogates are one, as they are after JSON.
    return hashlib.blake2b(key.encode("utf-16-le", "surrogatepass"), digest_size=SIZE).digest()
