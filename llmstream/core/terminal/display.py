"""What a terminal shows of bytes from elsewhere: control characters visible, words whole."""

from __future__ import annotations

from collections.abc import Callable

from .controls import VisibleControls
from .wrap import WordWrap


class Display:
    """Turns bytes into those that a terminal gets; `columns` returns its width, None does not wrap words."""

    def __init__(self, columns: Callable[[], int] | None = None) -> None:
        self._controls = VisibleControls()
        self._wrap = WordWrap(columns) if columns else None

    def feed(self, data: bytes) -> bytes:
        """Returns what can be written."""
        text = self._controls.feed(data)
        return (self._wrap.feed(text) if self._wrap else text).encode()

    def flush(self) -> bytes:
        """Returns a word that waits for its end; the next output begins a line of the screen."""
        return self._wrap.flush().encode() if self._wrap else b""

    def close(self) -> bytes:
        """Returns the rest."""
        text = self._controls.close()
        return (self._wrap.feed(text) + self._wrap.close() if self._wrap else text).encode()
