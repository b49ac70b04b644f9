"""The content of fenced code blocks, chosen by language and number."""

from __future__ import annotations

from ...errors import Incomplete, NotFound
from ..text import UTF16, InputDecoder, original
from .fences import FenceEvent, Fences, Opened

ALIASES = {
    "py": "python",
    "python3": "python",
    "sh": "shell",
    "bash": "shell",
    "js": "javascript",
    "ts": "typescript",
    "yml": "yaml",
}


def language(info: str) -> str:
    """Returns the language that an info string names by its first word, or "" where it is empty."""
    word = (info.split(None, 1) or [""])[0].lower()
    return ALIASES.get(word, word)


class Code:
    """Turns bytes of Markdown into the code of the `number`-th block in a language (None: any), or of every block."""

    def __init__(self, name: str | None = None, number: int = 1, every: bool = False) -> None:
        self._language = None if name is None else language(name)
        self._number, self._every = number, every
        self._count = 0  # blocks in the language, so far
        self._decoder = InputDecoder()
        self._fences = Fences()
        self._printing = False
        self._broken = self._is_utf16 = False
        self.done = False  # whether the rest of the input is not needed

    def feed(self, chunk: bytes) -> bytes:
        """Returns the code that is now certain."""
        return self._take(self._fences.feed(self._decoder.feed(chunk)))

    def end_input(self) -> bytes:
        """Ends one of several inputs, which are one text; each may begin with a byte order mark."""
        text = self._decoder.close()
        self._is_utf16 = self._is_utf16 or self._decoder.is_utf16
        self._decoder = InputDecoder()
        return self._take(self._fences.feed(text))

    def close(self) -> bytes:
        """Returns the code that the end of the input decides."""
        return self.end_input() + self._take(self._fences.close())

    def judge(self) -> None:
        """Checks the result at the end: raises NotFound without such a block, Incomplete where it never closed
        and for UTF-16."""
        if self._broken:
            raise Incomplete("the input ended before the code block was closed: its beginning is printed")
        if self._is_utf16 and not self._count:
            raise Incomplete(UTF16)
        if self._count < (1 if self._every else self._number):
            raise NotFound(
                "no code block" if self._language is None and not self._count else "no such code block in the input"
            )

    def _take(self, events: list[FenceEvent]) -> bytes:
        out = []
        for event in events:
            if isinstance(event, str):
                if self._printing:
                    out.append(event)
            elif isinstance(event, Opened):
                if self._language in (None, language(event.info)):
                    self._count += 1
                    self._printing = self._every or self._count == self._number
            elif self._printing:
                self._printing = False
                self._broken = not event.whole
                self.done = event.whole and not self._every
        return original("".join(out)) if out else b""
