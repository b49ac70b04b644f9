"""Lines that are finished in any order, put back into the order of the input."""

from __future__ import annotations


class Order:
    """Holds fewer than `window` lines where nothing is started that `may_start` forbids.

    `next` is the index of the line that goes out next.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._held: dict[int, bytes] = {}
        self.next = 0

    @property
    def held(self) -> int:
        """How many finished lines wait for an earlier one."""
        return len(self._held)

    def may_start(self, index: int) -> bool:
        """Whether the window has room for what index will give."""
        return index < self.next + self._window

    def put(self, index: int, line: bytes) -> bytes:
        """All lines that are now certain, in order; b"" while an earlier one is missing."""
        assert index >= self.next and index not in self._held, f"line {index} is put twice"
        self._held[index] = line
        ready = []
        while (following := self._held.pop(self.next, None)) is not None:
            ready.append(following)
            self.next += 1
        return b"".join(ready)
