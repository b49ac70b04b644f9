"""The complete JSON objects in any text, each the moment its last brace arrives.

Their text is kept, less the white space between tokens: numbers, escapes, the order of keys and duplicates come out
as they came in. Whole objects in bulk text go through `bulk`, all others character by character.
"""

from __future__ import annotations

import re

from .bulk import Bulk
from .documents import MALFORMED, MAX_SIZE, UNFINISHED, Documents, Fault
from .grammar import minify
from .scanner import Scanner

MAX_LEAD = 256  # characters behind a `{` in which a loose key must show itself

_loose = re.compile(r"""[A-Za-z_$][\w$]*+[ \t\n\r]*+:|'|//|/\*""").match
_loose_so_far = re.compile(r"[A-Za-z_$][\w$]*+[ \t\n\r]*+|/").fullmatch


class Objects(Documents):
    """`feed` returns the texts of the objects that a chunk completes, and, in their order, what was wrong.

    `limit` bounds one object in characters, `line` is the number of the first line. With `loose` an object may also
    begin with a bare or single-quoted key or a comment, and a Fault has the text of what was broken.
    """

    def __init__(self, limit: int = MAX_SIZE, *, loose: bool = False, line: int = 1) -> None:
        super().__init__(Scanner(), limit, loose=loose, line=line)
        self._is_loose = loose
        self._bulk = Bulk()
        self._found: list[str | Fault] = []
        self._pieces: list[str] = []
        self._size = 0  # characters in them
        self._keeping = False
        self._from = 0  # where in this chunk the text that is kept begins
        self._lead = ""

    def feed(self, text: str) -> list[str | Fault]:
        """The objects and faults that text completes."""
        self._from = 0
        self.take(text)
        if self._keeping:
            self._keep(text[self._from :])
        return self._drain()

    def close(self, whole: str = "input") -> list[str | Fault]:
        """What the end of the input leaves: the object that it cut, whose Fault is UNFINISHED and has its text."""
        self.end(whole)
        return self._drain()

    def _drain(self) -> list[str | Fault]:
        found, self._found = self._found, []
        return found

    def _keep(self, piece: str) -> None:
        self._size += len(piece)
        if self._size > self._limit:  # a broken object that is skipped without being mended
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def _kept(self, last: str) -> str:
        self._keep(last)
        text = "".join(self._pieces)
        self._pieces.clear()
        self._keeping = False
        return text

    def started(self, text: str, i: int, lead: str) -> None:
        self._pieces, self._size, self._keeping, self._from = [lead], len(lead), True, i

    def ended(self, text: str, i: int) -> None:
        self._found.append(minify(self._kept(text[self._from : i])))

    def broke(self, text: str, i: int) -> None:
        if not self._is_loose:
            self._kept("")

    def skipped(self, text: str, i: int, why: str) -> None:
        broken = self._kept(text[self._from : i]) if self._keeping else ""
        self._found.append(Fault(self._start_line, why, MALFORMED, broken))

    def cut(self, why: str) -> None:
        self._found.append(Fault(self._start_line, why, UNFINISHED, self._kept("")))

    def no_object(self, text: str, i: int) -> int:
        if self._is_loose:
            self._lead, self._mode = "", self._loosely_opening
        return i

    def _loosely_opening(self, text: str, i: int, n: int) -> int:
        """Behind a `{` that JSON cannot go on from: an object to be mended, or prose."""
        had = len(self._lead)
        lead = self._lead + text[i : i + MAX_LEAD - had]
        if match := _loose(lead):
            lead = lead[: match.end()]
            quote = "'" if lead == "'" else ""
            self.begin_broken(text, i + len(lead) - had, "{" + lead, quote, "a key in double quotes is missing")
            return i + len(lead) - had
        if _loose_so_far(lead) and len(lead) < MAX_LEAD:
            self._lead = lead
            return n
        self._mode = self._prose
        return i

    def whole(self, text: str, i: int, n: int) -> int:
        """Takes one object after another while the guesses hold."""
        taken = i
        while True:
            end, minified = self._bulk.take(text, i, n)
            if end == i or end - i > self._limit:
                return taken
            self._found.append(minified)
            taken = end
            if (i := text.find("{", end, n)) < 0:
                return taken
