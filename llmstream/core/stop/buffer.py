"""A buffer of text that is not yet certain."""

from __future__ import annotations

from collections import deque


class Buffer:
    """The text between two offsets of the stream, in characters. Each character is appended and removed once."""

    def __init__(self) -> None:
        self._pieces: deque[str] = deque()
        self.start = self.end = 0

    def append(self, text: str) -> None:
        """Adds text at the end."""
        if text:
            self._pieces.append(text)
            self.end += len(text)

    def take(self, offset: int) -> str:
        """Removes and returns the text before the offset."""
        if offset >= self.end:
            text = self._pieces[0] if len(self._pieces) == 1 else "".join(self._pieces)
            self._pieces.clear()
            self.start = self.end
            return text
        pieces = []
        while offset > self.start:
            piece, cut = self._pieces.popleft(), offset - self.start
            pieces.append(piece[:cut])
            if cut < len(piece):
                self._pieces.appendleft(piece[cut:])
            self.start += min(cut, len(piece))
        return "".join(pieces)
