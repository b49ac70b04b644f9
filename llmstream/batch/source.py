"""Reads prompts from stdin only when they are needed, so that an endless input takes no memory."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque

from .. import stdio
from ..errors import Error, UsageError
from ..net.loop import READ, EventLoop
from .record_splitter import RecordSplitter
from .rows import Row, Rows


class Source:
    """The rows of stdin, which the loop watches while `next` has to wait for more input."""

    def __init__(self, loop: EventLoop, splitter: RecordSplitter, rows: Rows) -> None:
        self._loop, self._splitter, self._rows = loop, splitter, rows
        self._records: deque[bytes] = deque()
        self._watched = self._ended = False
        self.has_read = False  # something, or the end of the input
        self.error: Error | None = None  # why reading stopped before the end; the rows before it come first

    def next(self) -> Row | None:
        """Returns the next row; None while the loop waits for more input, and when all rows have been returned."""
        while True:
            while self._records:
                row = self._rows.row(self._records.popleft())
                if row is not None:
                    self._unwatch()
                    return row
            if self._ended or self._watch():
                return None
            self._read(READ)

    @property
    def names_models(self) -> bool:
        """Whether rows may name models of their own."""
        return self._rows.names_models

    @property
    def exhausted(self) -> bool:
        """Whether all rows have been returned."""
        return self._ended and not self._records

    def stop(self) -> None:
        """Reads no more, and drops the rows that have not been returned."""
        self._ended = True
        self._records.clear()
        self._unwatch()

    def _watch(self) -> bool:
        """Returns whether the loop watches the input: epoll refuses regular files, which are always ready."""
        with contextlib.suppress(PermissionError):
            if not self._watched:
                self._loop.watch(stdio.STDIN, READ, self._read)
                self._watched = True
        return self._watched

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.unwatch(stdio.STDIN)

    def _read(self, mask: int) -> None:
        self.has_read = True
        try:
            chunk = os.read(stdio.STDIN, stdio.CHUNK_BYTES)
            self._records += self._splitter.feed(chunk) if chunk else self._splitter.close()
        except BlockingIOError:  # another process has read what was there
            return
        except OSError as error:
            chunk, self.error = b"", UsageError(f"cannot read the input: {os.strerror(error.errno or errno.EIO)}")
        except Error as error:  # a record beyond the limit
            chunk, self.error = b"", error
        if not chunk:
            self._ended = True
            self._unwatch()
