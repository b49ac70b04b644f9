"""The journal of map: answers are on disk before they are printed, so that a second run sends only what is missing.

It is NDJSON, a head and then one line for each finished prompt:

    {"journal": 1}
    {"key": "...", "digest": "...", "record": {...}}

Lines are only appended; of two lines with one key the later counts. Each commit writes behind the complete lines that
are on disk. So a write that is interrupted leaves at most an incomplete line at the end: it is cut off at once or by
the next run, and writing it again is harmless.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

from .. import stdio
from ..errors import OutputFailed, UsageError

HEAD = b'{"journal": 1}\n'
READ_BYTES = 1 << 16  # at once
HASH_BYTES = 15  # of a key in the index; from 16 bytes on the object is a quarter larger
fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


def digest(parts: object) -> str:
    """Returns a hash of a JSON value: 32 hexadecimal digits that do not depend on the order of members."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Journal:
    """The journal at `path`, created if missing, and locked for this process alone.

    Memory: about 130 bytes for each line of earlier runs, the longest line, and the pending lines. Raises UsageError
    if the file is not a journal (it is left as it is), cannot be opened, or is in use; OutputFailed if the head of a
    new one cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.pending: list[bytes] = []  # lines for the next commit
        self.changed = 0  # keys that `find` has found with another digest
        self.torn_bytes = 0  # of an incomplete last line that was cut off
        self._index: dict[bytes, int] = {}  # by the hash of a key: the offset of its last line
        self._end = 0  # of the complete lines
        with self._usage_errors("write"):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._file = open(path, "rb", READ_BYTES, opener=lambda path, _: os.open(path, flags, 0o600))  # noqa: SIM115
        try:
            self._require_file()
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise

    def find(self, key: str, digest: str) -> dict[str, Any] | None:
        """Returns the record of an earlier run; None if there is none, or only one with another digest."""
        name = _hash(key)
        if name not in self._index:
            return None
        with self._usage_errors("read"):
            self._file.seek(self._index[name])
            entry = _entry(self._file.readline())
        if entry is None or _hash(entry["key"]) != name:  # another program has written to the file meanwhile
            return None
        if entry["digest"] != digest:
            self.changed += 1
            return None
        record: dict[str, Any] = entry["record"]
        return record

    def add(self, key: str, digest: str, record: dict[str, Any]) -> None:
        """Adds a finished prompt, to be written by the next commit."""
        self.pending.append(json.dumps({"key": key, "digest": digest, "record": record}).encode() + b"\n")

    def commit(self) -> None:
        """Writes the pending prompts to the disk. Raises OutputFailed if that fails; they stay pending then."""
        if self.pending:
            self._write(b"".join(self.pending))
            self.pending.clear()

    def close(self) -> None:
        """Unlocks and closes the file. Pending prompts are lost: commit first."""
        self._file.close()

    @contextlib.contextmanager
    def _usage_errors(self, action: str) -> Iterator[None]:
        """Raises UsageError where the system refuses to `action` ("read") the file."""
        try:
            yield
        except OSError as error:
            raise UsageError(f"cannot {action} {self._path}: {error.strerror}") from None

    def _require_file(self) -> None:
        """Raises UsageError for anything but a regular file, and for the file that stdout or stderr goes to."""
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"the journal {self._path} is not a regular file: name a regular file")
        for number, name in ((stdio.STDOUT, "stdout"), (stdio.STDERR, "stderr")):
            with contextlib.suppress(OSError):
                if os.path.samestat(status, os.fstat(number)):
                    raise UsageError(f"the journal {self._path} is the file that {name} goes to: name another file")

    def _lock(self) -> None:
        with self._usage_errors("lock"):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"another llmstream map uses {self._path}: wait for its end, or name another file"
                raise UsageError(message) from None

    def _write_head(self) -> None:
        self._write(HEAD)
        # The file's name is on disk only once the directory is. Not all file systems allow that; then go on without.
        with contextlib.suppress(OSError):
            directory = os.open(os.path.dirname(os.path.realpath(self._path)), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _read(self) -> None:
        """Makes the index, and cuts off an incomplete last line; a new file gets its head."""
        with self._usage_errors("read"):
            head = self._file.read(len(HEAD))
            if not HEAD.startswith(head):
                raise UsageError(f"{self._path}:1 is not a journal of map: name another file")
            if len(head) < len(HEAD):
                self._write_head()
                return
            self._end = len(HEAD)
            for number, line in enumerate(self._file, 2):
                if not line.endswith(b"\n"):
                    self.torn_bytes = len(line)
                    os.ftruncate(self._file.fileno(), self._end)
                    break
                if (entry := _entry(line)) is None:
                    message = f"{self._path}:{number} is not a line of a journal of map"
                    raise UsageError(f"{message}: name another file, or delete the line")
                self._index[_hash(entry["key"])] = self._end
                self._end += len(line)

    def _write(self, data: bytes) -> None:
        """Writes data behind the complete lines, and through to the disk. Raises OutputFailed."""
        fd, view, end = self._file.fileno(), memoryview(data), self._end
        try:
            while view:
                size = os.pwrite(fd, view, end)
                view, end = view[size:], end + size
            fdatasync(fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, self._end)
            message = f"cannot write {self._path}: {os.strerror(error.errno or errno.EIO)}"
            raise OutputFailed(f"{message}: make room, then run the same command again; it continues there") from None
        self._end = end


def _entry(line: bytes) -> dict[str, Any] | None:
    """Parses a line; returns its members, or None if it is not a line of a journal."""
    try:
        entry = json.loads(line)
        types = [type(entry[name]) for name in ("key", "digest", "record")]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    return entry if types == [str, str, dict] else None


def _hash(key: str) -> bytes:
    # JSON joins two surrogates to one character, and so does UTF-16: a key hashes alike before and after the file.
    return hashlib.blake2b(key.encode("utf-16-le", "surrogatepass"), digest_size=HASH_BYTES).digest()
