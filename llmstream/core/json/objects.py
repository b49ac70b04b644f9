"""The complete JSON objects in any text, each the moment its last brace arrives.

Their text is kept, without the white space between tokens: numbers, escapes, the order of keys and duplicates come out
as they came in. Whole objects in large chunks go through `bulk`, all others character by character.
"""

from __future__ import annotations

import re

from .bulk import BulkObjects
from .documents import MAX_SIZE, Documents
from .grammar import minify
from .scanner import Scanner

MAX_LEAD = 256  # characters behind a `{` within which a loose key must be recognised

_loose = re.compile(r"""[A-Za-z_$][\w$]*+[ \t\n\r]*+:|'|//|/\*""").match
_loose_prefix = re.compile(r"[A-Za-z_$][\w$]*+[ \t\n\r]*+|/").fullmatch


class Objects(Documents[str]):
    """The items are the texts of the objects.

    `limit` bounds one object in characters, `line` is the number of the first line. With `loose` an object may also
    begin with a bare or single-quoted key or a comment, and a Fault has the text of the broken object.
    """

    def __init__(self, limit: int = MAX_SIZE, *, loose: bool = False, line: int = 1) -> None:
        super().__init__(Scanner(), [], limit, loose=loose, line=line)
        self._is_loose = loose
        self._bulk = BulkObjects()
        self._capturing = False
        self._pieces: list[str] = []  # the text of the object so far, up to this chunk
        self._size = 0  # characters in the pieces
        self._piece_start = 0  # index in this chunk where the text of the object goes on
        self._lead = ""

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
        if self._is_loose:
            self._lead, self._mode = "", self._loosely_opening
        return i

    def _loosely_opening(self, text: str, i: int, n: int) -> int:
        """Behind a `{` that cannot begin JSON: an object to be repaired, or prose."""
        size = len(self._lead)
        lead = self._lead + text[i : i + MAX_LEAD - size]
        if match := _loose(lead):
            lead = lead[: match.end()]
            quote = "'" if lead == "'" else ""
            self._start_broken(text, i + len(lead) - size, "{" + lead, quote, "a key in double quotes is missing")
            return i + len(lead) - size
        if _loose_prefix(lead) and len(lead) < MAX_LEAD:
            self._lead = lead
            return n
        self._mode = self._prose
        return i

    def take_whole(self, text: str, i: int, n: int) -> int:
        taken_to = i
        while i >= 0:
            stop, minified = self._bulk.decode(text, i, n)
            if stop == i or stop - i > self._limit:
                break
            self._results.append(minified)
            taken_to = stop
            i = text.find("{", stop, n)
        return taken_to
