"""A stream of JSON objects, as the frames that a dialect's decoder takes.

The stream may be lines of JSON, an array that grows, or one answer in many lines: an object is a frame at its last
brace.
"""

from __future__ import annotations

from ..pieces import ARRAY, DOCUMENT, ELEMENT, EXCERPT_BYTES, TEXT
from ..sse import MAX_EVENT_BYTES, Frame
from ..text import Utf8Decoder, original
from .bulk import minified_objects
from .documents import MALFORMED, Fault
from .objects import Objects

PUNCTUATION = " \t\r\n[],\ufeff"  # what JSON has around the objects of an array


class Parser:
    """Like `sse.Parser`. A malformed or too large object is a frame that says what is wrong.

    The name of a frame is where its object stands (see Piece). A frame TEXT is the first line of what stands
    between objects and is no JSON.
    """

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._decoder = Utf8Decoder()
        self._objects = _Objects(limit)

    @property
    def held(self) -> int:
        """Whether an object is open, as a number."""
        return int(self._objects.is_open)

    def feed(self, chunk: bytes) -> list[Frame]:
        """Returns the frames that chunk completes."""
        return self._frames(self._objects.feed(self._decoder.feed(chunk)))

    def close(self) -> list[Frame]:
        """Returns the last text, or what has come of an object that is not complete."""
        return self._frames(self._objects.close())

    def _frames(self, results: list[str | Fault]) -> list[Frame]:
        texts = [original(item if isinstance(item, str) else item.text or item.reason) for item in results]
        return list(zip(self._objects.drain_names(), texts, strict=True))


class _Objects(Objects):
    """Objects, and the text between them; has a name for each result."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._names: list[str] = []
        self._name = DOCUMENT  # of the object that has begun
        self._array_is_open = False
        self._end = ""  # the last character of the text, but white space
        self._text = ""  # the first line of it that is no JSON, as far as it has come
        self._has_text = False  # that line has come

    def close(self, source: str = "input") -> list[str | Fault]:
        results = super().close(source)
        if self._text == "{":  # an object that ends at its first brace
            self._text = ""
            self._append("{", DOCUMENT)
        self._end_text()
        return results + self._drain()

    def _end_text(self) -> None:
        """Ends the text: its last line may be the first that is no JSON."""
        if not self._has_text and self._text.strip(PUNCTUATION):
            self._append_text(self._text)
        self._text, self._has_text = "", False

    def on_prose(self, text: str, i: int, n: int) -> None:
        if i == n:
            return
        part = text[i:n]
        if end := part.rstrip()[-1:]:
            self._end = end
        if self._has_text:
            return
        *lines, rest = (self._text + part).split("\n")
        for line in lines:
            if line.strip(PUNCTUATION):
                self._append_text(line)
                self._text, self._has_text = "", True
                return
        self._text = rest.lstrip()[:EXCERPT_BYTES]

    def on_end(self, text: str, i: int) -> None:
        self._name_object()
        super().on_end(text, i)
        self._names.append(self._name)

    def take_whole(self, text: str, i: int, n: int) -> int:
        taken_to = i
        while True:
            stop, objects = self._runs.take(text, i, n, minified_objects, self._limit, one=True)
            if objects is None:
                return taken_to
            if taken_to == i:
                self._name_object()
            self._results += objects
            self._names.append(self._name)
            taken_to = stop
            if not text.startswith("\n{", stop):
                return taken_to
            i = stop + 1  # the next line, in one step, as nearly all are alone in theirs
            self._name, self._array_is_open = DOCUMENT, False

    def _report(self, text: str, i: int, reason: str, kind: str = MALFORMED) -> None:
        self._name_object()
        super()._report(text, i, reason, kind)
        self._names.append(self._name)

    def _name_object(self) -> None:
        self._end_text()
        self._array_is_open = self._end == "[" or (self._end == "," and self._array_is_open)
        self._name = DOCUMENT if not self._array_is_open else ARRAY if self._end == "[" else ELEMENT
        self._end = ""

    def _append_text(self, line: str) -> None:
        self._append(line.strip()[:EXCERPT_BYTES], TEXT)

    def _append(self, text: str, name: str) -> None:
        self._results.append(text)
        self._names.append(name)

    def drain_names(self) -> list[str]:
        """Returns the names of the results since the last call."""
        names, self._names = self._names, []
        return names
