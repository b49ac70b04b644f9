"""Reads prompts from stdin only when they are needed, so that an endless input takes no memory."""

from __future__ import annotations

import errno
import os
from collections import deque

from .. import stdio
from ..errors import Error, UsageError
from ..net.loop import READ, EventLoop
from .record_splitter import RecordSplitter
from .rows import Row, Rows


class Source:
    """The rows of a descriptor, which the loop watches while `next` has to wait for more input.

    `ended`: the input is at its end. `has_read`: something has been read, or the end. `error`: why reading stopped
    before the end; the rows before it come first.
    """

    def __init__(self, loop: EventLoop, splitter: RecordSplitter, rows: Rows, fd: int = stdio.STDIN) -> None:
        self._loop, self._splitter, self._rows, self._fd = loop, splitter, rows, fd
        self._records: deque[bytes] = deque()
        self._watched = False
        self._is_file = False  # which cannot be watched, since it is always ready
        self.ended = False
        self.has_read = False
        self.error: Error | None = None

    def next(self) -> Row | None:
        """Returns the next row; None while the loop waits for more input, and when all rows have been returned."""
        while True:
            while self._records:
                row = self._rows.row(self._records.popleft())
                if row is not None:
                    self._unwatch()
                    return row
            if self.ended:
                return None
            if not self._is_file:
                self._watch()
            if not self._is_file:
                return None
            self._read(READ)

    @property
    def exhausted(self) -> bool:
        """Whether all rows have been returned."""
        return self.ended and not self._records

    def _watch(self) -> None:
        if self._watched:
            return
        try:
            self._loop.watch(self._fd, READ, self._read)
            self._watched = True
        except PermissionError:  # epoll refuses regular files
            self._is_file = True

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.unwatch(self._fd)

    def _read(self, mask: int) -> None:
        self.has_read = True
        try:
            chunk = os.read(self._fd, stdio.CHUNK)
            self._records += self._splitter.feed(chunk) if chunk else self._splitter.close()
        except OSError as error:
            chunk = b""
            self.error = UsageError(f"cannot read the input: {os.strerror(error.errno or errno.EIO)}")
        except Error as error:  # a record beyond the limit
            chunk, self.error = b"", error
        if not chunk:
            self.ended = True
            self._unwatch()
