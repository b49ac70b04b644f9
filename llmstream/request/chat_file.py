"""The file of `gen --chat`: a conversation, a message a line, in the form that the option `messages` reads.

Lines are only appended: those of a question and its answer together, once the answer is whole. A process that is killed
within that leaves a NUL in place of the first byte, and the next one removes what follows it. The file is locked from
the time that it is read until then, so that a second process asks after the first one, and knows its answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .. import inputs, locked_file, signals
from ..config.textfile import decode
from ..core.json_codec import loads_strict, to_compact_json
from ..core.request import Message
from ..core.text import encode
from ..errors import OutputFailed, UsageError
from ..providers.target import Target
from .conversation import as_item

MAX_CHAT_BYTES = 200_000_000  # images and files included: more than any model takes
BEGIN = b'"role":'  # of each message, after its brace
FLAGS = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # so that opening a FIFO does not wait


class ChatFile:
    """A context in which the file at `path` is locked for this process; a missing file is a new conversation.

    `messages` are those that the file has. `note` is called with a sentence for the user where another process has the
    lock, which is waited for. `reads_only`: the file is neither locked nor created. Raises UsageError where it cannot
    be opened, or is no conversation: it is left as it is.
    """

    def __init__(self, path: str, note: Callable[[str], object], reads_only: bool = False) -> None:
        self.path, self._note = path, note
        self._reads_only = reads_only
        self._fd = -1
        self._created = False
        self.has_exchange = False  # whether one was added, or could not be
        self._begins_line = True  # whether what is appended begins a line
        self.messages: list[dict[str, Any]] = []

    def __enter__(self) -> ChatFile:
        try:
            self._open()
            self.messages = self._read()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._created and not os.fstat(self._fd).st_size and self._is_in_place():
            os.unlink(os.path.realpath(self.path))  # the answer did not come
        self._close()

    def add(self, messages: list[Message], target: Target, system: str | None, cut: bool = False) -> None:
        """Appends the turns of an exchange; `cut` says that the last one is not whole. Raises OutputFailed.

        `target` is where the answers come from. A new conversation begins with the system prompt, if there is one.
        """
        self.has_exchange = True
        items = [as_item(message, target) for message in messages]
        if cut:
            items[-1]["cut"] = True
        if system is not None and not self.messages:
            items.insert(0, {"role": "system", "content": system})
        self._append(items)

    def _append(self, messages: list[dict[str, Any]]) -> None:
        """Appends messages, all or none, and puts them on the disk. Raises OutputFailed; the file is then as before."""
        if not self._is_in_place():
            raise OutputFailed(f"cannot write {self.path}: another program has replaced it: the exchange is not in it")
        data = b"".join(encode(f"{to_compact_json(message)}\n") for message in messages)
        end = os.fstat(self._fd).st_size  # another program may have appended a line, without the lock
        with signals.SignalsDeferred():
            data = data if self._begins_line else b"\n" + data
            locked_file.append_whole(self._fd, data, end, self.path, "the exchange is not in it")
            self._begins_line = True
            if self._created:
                locked_file.sync_directory(self.path)

    def _open(self) -> None:
        """Opens and locks the file that is at the path once it is locked: it may have been replaced or removed."""
        while True:
            try:
                self._fd = self._descriptor()
            except OSError as error:
                raise self._unusable(error.strerror or "") from None
            except ValueError:  # a NUL
                raise self._unusable("this cannot be a file's name") from None
            if self._fd < 0:
                return
            locked_file.require_own_file(self._fd, f"the conversation {self.path}")
            if self._reads_only:
                return
            self._lock()
            if self._is_in_place():
                return
            self._close()

    def _descriptor(self) -> int:
        """Returns a descriptor of the file, -1 where there is none and it is only read."""
        while True:
            with contextlib.suppress(FileNotFoundError):
                return os.open(self.path, FLAGS | (os.O_RDONLY if self._reads_only else os.O_RDWR))
            if self._reads_only:
                return -1
            with contextlib.suppress(FileExistsError):
                path = os.path.realpath(self.path)  # O_EXCL does not follow a symbolic link that leads to no file
                fd = os.open(path, FLAGS | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                self._created = True
                return fd

    def _unusable(self, reason: str) -> UsageError:
        return UsageError(f"cannot {'read' if self._reads_only else 'write'} {self.path}: {reason}")

    def _lock(self) -> None:
        try:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._note(f"another process uses {self.path}: waiting for its end")
                fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            raise UsageError(f"cannot lock {self.path}: {error.strerror}") from None

    def _is_in_place(self) -> bool:
        """Whether the path still leads to the file that is open."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except OSError:
            return False

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._created = -1, False

    def _read(self) -> list[dict[str, Any]]:
        if self._fd < 0:
            return []
        try:
            with open(self._fd, "rb", closefd=False) as file:
                data = inputs.bounded(file.read(MAX_CHAT_BYTES + 1), self.path, MAX_CHAT_BYTES)
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from None
        data = self._without_cut_end(data)
        self._begins_line = not data or data.endswith(b"\n")
        lines = decode(data, self.path).split("\n")
        numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        return [self._message(line, number, number == len(lines)) for number, line in numbered]

    def _without_cut_end(self, data: bytes) -> bytes:
        """Returns the data without an exchange in whose write a process was killed, and removes that from the file."""
        whole, _, rest = data.partition(b"\0")
        begin = rest.removeprefix(b"{")[: len(BEGIN)]
        if not rest or b"\0" in rest or not BEGIN.startswith(begin):  # the last two: another kind of file
            return data
        if not self._reads_only:
            os.ftruncate(self._fd, len(whole))
            self._note(f"{self.path}: an exchange that was cut while it was written is left out")
        return whole

    def _message(self, line: str, number: int, is_open: bool) -> dict[str, Any]:
        """Reads a line; `is_open` says that its newline is missing."""
        where = f"{self.path}:{number}"
        try:
            value = loads_strict(line)
        except (ValueError, RecursionError):
            if is_open and line.startswith("{"):
                raise UsageError(f"{where} is cut: complete the line, or delete it") from None
            value = None
        if not (isinstance(value, dict) and isinstance(value.get("role"), str)):
            raise UsageError(f'{where} is not a message, {{"role": ..., "content": ...}}: name another file')
        return value
