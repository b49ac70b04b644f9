"""The JSON objects in the fenced code blocks of a Markdown text: each block is a text of its own."""

from __future__ import annotations

from ..markdown.fences import FenceEvent, Fences, Opened
from .documents import MAX_SIZE, Fault
from .objects import Objects


class FencedObjects:
    """As `Objects`, for the content of the blocks. Lines are counted in the whole text."""

    def __init__(self, limit: int = MAX_SIZE, *, loose: bool = False) -> None:
        self._limit, self._is_loose = limit, loose
        self._fences = Fences()
        self._objects = Objects()  # of the open block
        self._fed = 0  # characters
        self._line = 1  # the number of the line with which the next chunk goes on

    def feed(self, text: str) -> list[str | Fault]:
        """Returns the objects and faults that text completes."""
        base, self._fed = self._fed, self._fed + len(text)
        return self._take(self._fences.feed(text), text, base)

    def close(self) -> list[str | Fault]:
        """Ends the input; an object in the open block is UNFINISHED, as it is at a block's end."""
        return self._take(self._fences.close(), "", self._fed)

    def _take(self, events: list[FenceEvent], text: str, base: int) -> list[str | Fault]:
        results: list[str | Fault] = []
        content: list[str] = []
        counted_to = 0
        for event in events:
            if isinstance(event, str):
                content.append(event)
            elif isinstance(event, Opened):
                start = max(0, event.start - base)  # a fence that began in an earlier chunk stands in the first line
                self._line += text.count("\n", counted_to, start)
                counted_to = start
                self._objects = Objects(self._limit, loose=self._is_loose, line=self._line + 1)
            else:
                results += self._objects.feed("".join(content))
                results += self._objects.close("block" if event.whole else "input")
                content.clear()
        self._line += text.count("\n", counted_to)
        if content:
            results += self._objects.feed("".join(content))
        return results
