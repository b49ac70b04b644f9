"""Puts lines that are finished in any order back into the order of the input."""

from __future__ import annotations


class Order:
    """Holds finished lines until all earlier ones are finished, fewer than `window` if callers ask `may_start`."""

    def __init__(self, window: int) -> None:
        self._window = window
        self.pending: dict[int, bytes] = {}  # by index
        self.next = 0  # the index of the line that is put out next

    def may_start(self, index: int) -> bool:
        """Returns whether the window has room for the line of this index."""
        return index < self.next + self._window

    def put(self, index: int, line: bytes) -> bytes:
        """Adds a line; returns all lines that are now in order, b"" while an earlier one is missing."""
        assert index >= self.next and index not in self.pending, f"line {index} is put twice"
        self.pending[index] = line
        ready = []
        while (following := self.pending.pop(self.next, None)) is not None:
            ready.append(following)
            self.next += 1
        return b"".join(ready)

    def rest(self) -> bytes:
        """Returns the lines that are held, in order, where the missing ones never come."""
        lines = [self.pending[index] for index in sorted(self.pending)]
        self.pending.clear()
        return b"".join(lines)
