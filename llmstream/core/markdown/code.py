"""The content of fenced code blocks, chosen by language and number."""

from __future__ import annotations

from ...errors import Incomplete, NotFound
from ..text import Utf8Decoder, original
from .fences import Closed, FenceEvent, Fences, Opened

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

    def __init__(self, wanted: str | None = None, number: int = 1, every: bool = False) -> None:
        self._wanted = None if wanted is None else language(wanted)
        self._to_skip = 0 if every else number - 1
        self._every = every
        self._decoder = Utf8Decoder()
        self._fences = Fences()
        self._printing = False
        self._found = False
        self._broken = False
        self.done = False  # whether the rest of the input is not needed

    def feed(self, chunk: bytes) -> bytes:
        """Returns the code that is now certain."""
        return self._take(self._fences.feed(self._decoder.feed(chunk)))

    def close(self) -> bytes:
        """Returns the code that the end of the input decides."""
        rest = self._take(self._fences.feed(self._decoder.close()))
        return rest + self._take(self._fences.close())

    def judge(self) -> None:
        """Checks the result at the end: raises NotFound without such a block, Incomplete where it never closed."""
        if self._broken:
            raise Incomplete("the input ended before the code block was closed: its beginning is printed")
        if not self._found:
            raise NotFound("no such code block in the input" if self._wanted or self._to_skip else "no code block")

    def _take(self, events: list[FenceEvent]) -> bytes:
        out = []
        for event in events:
            if self.done:
                break
            if isinstance(event, str):
                if self._printing:
                    out.append(event)
            elif isinstance(event, Opened):
                self._open(event.info)
            elif self._printing:
                self._shut(event)
        return original("".join(out)) if out else b""

    def _open(self, info: str) -> None:
        if self._wanted is not None and language(info) != self._wanted:
            return
        if self._to_skip:
            self._to_skip -= 1
            return
        self._printing = self._found = True

    def _shut(self, event: Closed) -> None:
        self._printing = False
        self._broken = not event.whole
        self.done = event.whole and not self._every
