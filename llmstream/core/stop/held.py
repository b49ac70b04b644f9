"""Text that waits for a verdict."""

from __future__ import annotations

from collections import deque


class Held:
    """Text between two offsets of the stream, in characters; what is put in or taken out is touched once."""

    def __init__(self) -> None:
        self._pieces: deque[str] = deque()
        self.start = self.end = 0

    def append(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self.end += len(text)

    def take(self, offset: int) -> str:
        """Removes and returns what stands before the offset."""
        if offset >= self.end:
            text = self._pieces[0] if len(self._pieces) == 1 else "".join(self._pieces)
            self._pieces.clear()
            self.start = self.end
            return text
        taken = []
        while (first := len(self._pieces[0])) <= offset - self.start:
            taken.append(self._pieces.popleft())
            self.start += first
        if offset > self.start:
            piece, cut = self._pieces[0], offset - self.start
            taken.append(piece[:cut])
            self._pieces[0] = piece[cut:]
            self.start = offset
        return "".join(taken)
