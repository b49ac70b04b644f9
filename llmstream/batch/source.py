"""Prompts from stdin, read only as they are wanted: an input without end takes no memory."""

from __future__ import annotations

import errno
import os
from collections import deque

from .. import stdio
from ..errors import Error, UsageError
from ..net.loop import READ, Watching
from .records import Records
from .rows import Row, Rows


class Source:
    """Rows of a descriptor. `arrived` is called when `next` may have one, or the input has ended.

    `fault` is why no more can be read; what came before it has been given out by then.
    """

    def __init__(self, loop: Watching, records: Records, rows: Rows, fd: int = stdio.STDIN) -> None:
        self._loop, self._records, self._rows, self._fd = loop, records, rows, fd
        self._waiting: deque[bytes] = deque()
        self._watched = False
        self._file = False  # of which nobody can be told that it is ready, as it always is
        self.ended = False
        self.begun = False
        self.fault: Error | None = None

    def next(self) -> Row | None:
        """The next prompt, where one is there; where none is, reading goes on. Read to its end when `ended`, too."""
        while True:
            while self._waiting:
                row = self._rows.row(self._waiting.popleft())
                if row is not None:
                    self.rest()
                    return row
            if self.ended:
                return None
            if not self._file:
                self._want()
            if not self._file:
                return None
            self._read(READ)

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.ended and not self._waiting

    def rest(self) -> None:
        """Nothing more is wanted for now."""
        if self._watched:
            self._watched = False
            self._loop.unwatch(self._fd)

    def _want(self) -> None:
        if self._watched:
            return
        try:
            self._loop.watch(self._fd, READ, self._read)
            self._watched = True
        except PermissionError:
            self._file = True

    def _read(self, mask: int) -> None:
        self.begun = True
        try:
            chunk = os.read(self._fd, stdio.CHUNK)
            self._waiting += self._records.feed(chunk) if chunk else self._records.close()
        except OSError as error:
            chunk = b""
            self.fault = UsageError(f"cannot read the input: {os.strerror(error.errno or errno.EIO)}")
        except Error as error:  # a record beyond all bounds
            chunk, self.fault = b"", error
        if not chunk:
            self.ended = True
            self.rest()
