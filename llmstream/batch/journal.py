"""The journal of map: answers are on disk before they are printed, so that a second run sends only what is missing.

It is NDJSON, a head and then one line for each finished prompt:

    {"journal": 1}
    {"key": "...", "digest": "...", "record": {...}}

A background response that is queued has a line, too, and another one without an id if it ends without an answer:

    {"key": "...", "digest": "...", "response": "resp_1", "within": "8h"}

A batch of requests that a provider answers later has lines of its own, which say what has become of it. They name it by
a random text, which goes into the batch's metadata, too:

    {"batch": "NONCE", "at": 1764400000, "url": "...", ..., "requests": [["0", "KEY", "DIGEST", false], ...]}
    {"batch": "NONCE", "id": "batch_1"}
    {"batch": "NONCE", "ended": "completed"}

The last member of a request says whether its length is limited on purpose; "json": and its answer has to be JSON.

Lines are only appended; of two lines with one key the later counts. Each commit writes behind the complete lines that
are on disk. So a write that is interrupted leaves at most an incomplete line at the end: it is cut off at once or by
the next run, and writing it again is harmless.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .. import locked_file
from ..errors import UsageError

HEAD = b'{"journal": 1}\n'
READ_BYTES = 1 << 16  # at once
BATCH_TYPES = {"at": int, "url": str, "api": str, "model": str, "requests": list}  # members of a batch's first line
UNUSED_AFTER = 8  # prompts without an answer in a journal that has answers: it is that of other requests
HASH_BYTES = 15  # of a key in the index; from 16 bytes on the object is a quarter larger


Entry = tuple[str, str]  # the key and the digest of a prompt


def digest(parts: object) -> str:
    """Returns a hash of a JSON value: 32 hexadecimal digits that do not depend on the order of members."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Queued(NamedTuple):
    """A background response: the digest of its request, its id, and the window in which it is answered."""

    digest: str
    id: str
    window: str


class Journal:
    """The journal at `path`, created if missing, and locked for this process alone.

    `on_unused` is called once with the number of its answers, where none is that of the first prompts, or of them all.

    Memory: about 130 bytes for each line of earlier runs, the longest line, and the pending lines. Raises UsageError
    if the file is not a journal (it is left as it is), cannot be opened, or is in use; OutputFailed if the head of a
    new one cannot be written.
    """

    def __init__(self, path: str, on_unused: Callable[[int], object] = lambda count: None) -> None:
        self._path, self._on_unused = path, on_unused
        self._misses = 0  # of `find`, until there is a hit
        self.is_unused = False  # whether `on_unused` was called
        self.pending: list[bytes] = []  # lines for the next commit
        self.changed = 0  # keys that `find` has found with another digest
        self.torn_bytes = 0  # of an incomplete last line that was cut off
        self.queued: dict[str, Queued] = {}  # responses of prompts that are not finished, by key
        self.batches: dict[str, dict[str, Any]] = {}  # that have not ended: the members of their lines, by nonce
        self._index: dict[bytes, int] = {}  # by the hash of a key: the offset of its last line
        self._end = 0  # of the complete lines
        with self._usage_errors("write"):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._file = open(path, "rb", READ_BYTES, opener=lambda path, _: os.open(path, flags, 0o600))  # noqa: SIM115
        try:
            locked_file.require_own_file(self._file.fileno(), f"the journal {self._path}")
            self._lock()
            self._read()
            self._unused = len(self._index)  # answers of earlier runs; 0 once that does not matter
        except BaseException:
            self._file.close()
            raise

    def find(self, key: str, *digests: str) -> dict[str, Any] | None:
        """Returns the record of an earlier run; None if there is none, or only one with another digest than these."""
        entry = self._entry_of(key)
        if entry is None or entry["digest"] not in digests:
            self.changed += entry is not None
            self._misses += 1
            if self._misses == UNUSED_AFTER:
                self.note_unused()
            return None
        self._unused = 0
        record: dict[str, Any] = entry["record"]
        return record

    def note_unused(self) -> None:
        """Calls `on_unused` where `find` has found no answer, for any prompt so far."""
        if self._unused and self._misses:
            count, self._unused, self.is_unused = self._unused, 0, True
            self._on_unused(count)

    def _entry_of(self, key: str) -> dict[str, Any] | None:
        """Returns the last line of an earlier run with the key."""
        name = _hash(key)
        if name not in self._index:
            return None
        with self._usage_errors("read"):
            self._file.seek(self._index[name])
            entry = _entry(self._file.readline())
        if entry is None or _hash(entry["key"]) != name:  # another program has written to the file meanwhile
            return None
        return entry

    def add(self, key: str, digest: str, record: dict[str, Any]) -> None:
        """Adds a finished prompt, to be written by the next commit."""
        self.pending.append(json.dumps({"key": key, "digest": digest, "record": record}).encode() + b"\n")
        self.queued.pop(key, None)

    def add_queued(self, key: str, digest: str, id: str, window: str) -> None:
        """Adds the response that answers a prompt later, "" for none any more, to be written by the next commit."""
        members = {"key": key, "digest": digest, "response": id, "within": window}
        self.pending.append(json.dumps(members).encode() + b"\n")
        self._note_queued(key, Queued(digest, id, window))

    def _note_queued(self, key: str, queued: Queued) -> None:
        if queued.id:
            self.queued[key] = queued
        else:
            self.queued.pop(key, None)

    def add_batch(self, nonce: str, **members: Any) -> None:
        """Adds a line on a batch, to be written by the next commit; `ended` is the last that it gets."""
        self.pending.append(json.dumps({"batch": nonce, **members}).encode() + b"\n")
        self._note_batch(nonce, members)

    def in_batches(self) -> set[Entry]:
        """Returns the prompts of the batches that have not ended."""
        return {(key, digest) for batch in self.batches.values() for _, key, digest, _ in batch["requests"]}

    def _note_batch(self, nonce: str, members: dict[str, Any]) -> None:
        self.batches.setdefault(nonce, {}).update(members)
        if "ended" in members:
            del self.batches[nonce]

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

    def _lock(self) -> None:
        with self._usage_errors("lock"):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"another llmstream map uses {self._path}: wait for its end, or name another file"
                raise UsageError(message) from None

    def _write_head(self) -> None:
        self._write(HEAD)
        locked_file.sync_directory(self._path)

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
                if (entry := _entry(line)) is not None:
                    self._index[_hash(entry["key"])] = self._end
                    self.queued.pop(entry["key"], None)
                elif (queued := _queued(line)) is not None:
                    self._note_queued(*queued)
                elif (batch := _batch(line)) is not None and ("url" in batch or batch["batch"] in self.batches):
                    self._note_batch(batch.pop("batch"), batch)
                else:
                    message = f"{self._path}:{number} is not a line of a journal of map"
                    raise UsageError(f"{message}: name another file, or delete the line")
                self._end += len(line)

    def _write(self, data: bytes) -> None:
        """Writes data behind the complete lines, and through to the disk. Raises OutputFailed."""
        advice = "make room, then run the same command again; it continues there"
        self._end = locked_file.write_through(self._file.fileno(), data, self._end, self._path, advice)


def _entry(line: bytes) -> dict[str, Any] | None:
    """Parses a line; returns its members, or None if it is not a line of a journal."""
    try:
        entry = json.loads(line)
        types = [type(entry[name]) for name in ("key", "digest", "record")]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    return entry if types == [str, str, dict] else None


def _queued(line: bytes) -> tuple[str, Queued] | None:
    """Parses a line; returns its key and response, or None if it is not a line on one."""
    try:
        members = json.loads(line)
        key, *fields = (members[name] for name in ("key", "digest", "response", "within"))
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    return (key, Queued(*fields)) if all(isinstance(field, str) for field in (key, *fields)) else None


def _batch(line: bytes) -> dict[str, Any] | None:
    """Parses a line; returns its members, or None if it is not a line on a batch."""
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict) or not isinstance(members.get("batch"), str):
        return None
    types = BATCH_TYPES if "url" in members else dict.fromkeys(members, str)
    return members if all(isinstance(members.get(name), types[name]) for name in types) else None


def _hash(key: str) -> bytes:
    # JSON joins two surrogates to one character, and so does UTF-16: a key hashes alike before and after the file.
    return hashlib.blake2b(key.encode("utf-16-le", "surrogatepass"), digest_size=HASH_BYTES).digest()
