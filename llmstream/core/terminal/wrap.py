"""Wraps text at words while it streams to a terminal.

A word is held back until it is known to fit, and only where less than HOLD columns are left: elsewhere its pieces are
written as they arrive, and the terminal breaks what is longer. So does it with code and tables, which stay as they are,
and with scripts without blanks between words, whose characters are wide. Only a blank becomes a newline: what is copied
from the screen has the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from unicodedata import category, east_asian_width

from ..markdown.fences import Closed, Fences, Opened

HOLD = 32  # columns: a longer word is broken by the terminal
MAX_HELD = 1024  # characters of a word with combining ones, or of blanks
NARROWEST = 20  # columns of a terminal on which text is wrapped
TAB = 8  # columns
INDENT = 4  # columns before a line of code, unless the line is an item of a list
ITEM = "-*+0123456789"  # begins an item
ROW = "|"  # begins the row of a table

_lines = re.compile(r"[^\n]*\n|[^\n]+").findall
_tokens = re.compile(r"[ \t]+|[^ \t\n]+|\n").findall


def width(character: str) -> int:
    """Returns the columns of a printable character: 0 for combining and invisible ones, 2 for wide ones, else 1.

    Drawn Markdown is measured by rich, which breaks its lines, and which this module does not need.
    """
    if character < "\u0300":
        return 1
    if category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":  # a syllable's vowel and end
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


class WordWrap:
    """Wraps printable text; `columns` returns the width of the terminal, and is called at the start of each line."""

    def __init__(self, columns: Callable[[], int]) -> None:
        self._width = columns
        self._fences = Fences()
        self._in_code = False  # whether the next line is within a fenced code block
        self._flows = False  # whether the word's rest is written as it arrives
        self._word, self._word_width = "", 0  # the word that is held back
        self._blanks = ""  # before the next word
        self._begin_line()
        self._begins = True  # whether the line has no word yet
        self._verbatim = False  # whether the line is not wrapped

    def feed(self, text: str) -> str:
        """Returns what can be written."""
        out: list[str] = []
        for line in _lines(text):
            for token in _tokens(line):
                if token == "\n":
                    out.append(self._end_line())
                elif token[0] in " \t":
                    out += (self._end_word(), self._take_blanks(token))
                else:
                    out.append(self._take_word(token))
            for event in self._fences.feed(line):
                if isinstance(event, Opened | Closed):
                    self._in_code = isinstance(event, Opened)
        return "".join(out)

    def flush(self) -> str:
        """Returns the word that is held back; the next output begins a line of the screen."""
        out = self._end_word() if self._word else ""
        self._begin_line()
        return out

    def close(self) -> str:
        """Returns the rest."""
        return self._end_word() + self._take_out_blanks()

    def _begin_line(self) -> None:
        self._columns = self._width()
        self._column = 0

    def _take_blanks(self, blanks: str) -> str:
        self._blanks += blanks
        out = ""
        while len(self._blanks) >= MAX_HELD:
            part, self._blanks = self._blanks[:MAX_HELD], self._blanks[MAX_HELD:]
            self._column = self._after_blanks(part)
            out += part
        return out

    def _take_out_blanks(self) -> str:
        """Returns the blanks, which are on the screen now."""
        out, self._blanks = self._blanks, ""
        self._column = self._after_blanks(out)
        return out

    def _take_word(self, piece: str) -> str:
        if self._begins:
            self._begins = False
            self._verbatim = self._in_code or self._columns < NARROWEST or piece[0] == ROW
            if piece[0] not in ITEM and self._after_blanks(self._blanks) >= INDENT:
                self._verbatim = True
        if self._verbatim:
            return self._take_out_blanks() + piece
        if self._flows:
            self._advance(piece)
            return piece
        if piece.isascii():
            self._word += piece
            self._word_width += len(piece)
            return self._settle()
        for end, character in enumerate(piece, 1):
            columns = width(character)
            self._word += character
            self._word_width += columns
            if out := self._settle(columns > 1):
                self._advance(piece[end:])
                return out + piece[end:]
        return ""

    def _settle(self, is_wide: bool = False) -> str:
        """Returns the word once it is known on which line it stands, "" before."""
        room = self._columns - self._after_blanks(self._blanks)
        if not self._column or room >= HOLD:
            out = self._take_out_blanks()
        elif self._word_width > room:
            self._begin_line()
            self._blanks, out = "", "\n"
        elif is_wide or len(self._word) >= MAX_HELD:
            out = self._take_out_blanks()
        else:
            return ""
        self._flows = True
        return out + self._take_held()

    def _take_held(self) -> str:
        word, self._word, self._word_width = self._word, "", 0
        self._advance(word)
        return word

    def _end_word(self) -> str:
        """Returns the word that is held back: it fits."""
        self._flows = False
        return self._take_out_blanks() + self._take_held() if self._word else ""

    def _end_line(self) -> str:
        """Returns the end of a line; blanks that do not fit are left out."""
        out = self._end_word()
        if self._verbatim or self._begins or self._after_blanks(self._blanks) <= self._columns:
            out += self._blanks
        self._blanks = ""
        self._begin_line()
        self._begins, self._verbatim = True, False
        return out + "\n"

    def _after_blanks(self, blanks: str) -> int:
        """Returns the column behind blanks. A tab does not go beyond the last column."""
        column = self._column
        if "\t" not in blanks:
            return column + len(blanks)
        for blank in blanks:
            column = column + 1 if blank == " " else min(column // TAB * TAB + TAB, max(column, self._columns - 1))
        return column

    def _advance(self, text: str) -> None:
        """Moves the column behind text, which the terminal breaks at its edge."""
        edge = max(1, self._columns)
        if text.isascii():
            column = self._column + len(text)
            self._column = column if column <= edge else (column - 1) % edge + 1
            return
        for character in text:
            columns = width(character)
            self._column = columns if self._column + columns > edge else self._column + columns
