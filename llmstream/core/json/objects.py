"""The complete JSON objects in any text, each the moment its last brace arrives.

Their text is kept, without the white space between tokens: numbers, escapes, the order of keys and duplicates come out
as they came in. Whole objects in large chunks go through `bulk`, all others character by character.
"""

from __future__ import annotations

from .bulk import Runs, minified_objects
from .documents import MAX_SIZE, Documents
from .grammar import minify
from .scanner import Scanner

MAX_LEAD = 1024  # characters from a `{` on within which a loose key and its colon must come


class Objects(Documents[str]):
    """The items are the texts of the objects.

    `limit` bounds one object in characters, `line` is the number of the first line. With `loose` an object may also
    begin with a comment and a key that `loose` knows, and a Fault has the text of the broken object.
    """

    def __init__(self, limit: int = MAX_SIZE, *, loose: bool = False, line: int = 1) -> None:
        super().__init__(Scanner(), [], limit, loose=loose, line=line)
        self._runs = Runs()
        self._capturing = False
        self._pieces: list[str] = []  # the text of the object so far, up to this chunk
        self._size = 0  # characters in the pieces
        self._piece_start = 0  # index in this chunk where the text of the object goes on

    def on_chunk_end(self, text: str) -> None:
        if self._capturing:
            self._add(text[self._piece_start :])
        self._piece_start = 0

    def _add(self, piece: str) -> None:
        self._size += len(piece)
        if self._size > self._limit:  # a broken object that is too long to be repaired
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def end_capture(self, text: str, i: int) -> str:
        if not self._capturing:
            return ""
        self._add(text[self._piece_start : i])
        source = "".join(self._pieces)
        self._pieces.clear()
        self._capturing = False
        return source

    def on_start(self, text: str, i: int, lead: str) -> None:
        self._pieces, self._size, self._capturing, self._piece_start = [lead], len(lead), True, i

    def on_end(self, text: str, i: int) -> None:
        self._results.append(minify(self.end_capture(text, i)))

    def on_broken(self, text: str, i: int) -> None:
        if not self._is_loose:
            self.end_capture(text, i)

    def on_no_object(self, text: str, i: int) -> int:
        if not self._is_loose:
            return self._no_object(text, i)
        self._mode = self._loosely_opening
        return i

    def _loosely_opening(self, text: str, i: int, n: int) -> int:
        """Behind a `{` that does not begin JSON: an object to be repaired, or prose."""
        from .loose import loose_start, may_start

        tried = "".join(self._tried)
        lead = (tried + text[self._tried_from :])[:MAX_LEAD]
        if match := loose_start(lead):
            i = match.end() - len(tried) + self._tried_from  # which is behind the old i
            self._start_broken(text, i, match.group(), "a key in double quotes is missing")
            return i
        if len(lead) < MAX_LEAD and may_start(lead):
            return n
        return self._no_object(text, i)

    def take_whole(self, text: str, i: int, n: int) -> int:
        stop, objects = self._runs.take(text, i, n, minified_objects, self._limit)
        self._results += objects or ()
        return stop
