"""The stop conditions without syntax: a fixed text, a number of lines, words, characters or bytes, a time."""

from __future__ import annotations

import re
from itertools import islice

from ...errors import UsageError
from .condition import Condition, Span


class Fixed(Condition):
    """The `count`-th occurrence of a text; occurrences do not overlap.

    Chunks shorter than the text go through the automaton of Knuth, Morris and Pratt, so that each character is looked
    at once; of others only the end does.
    """

    def __init__(self, needle: str, count: int) -> None:
        super().__init__()
        if not needle:
            raise UsageError("the empty text matches everywhere: give a text to wait for")
        self._needle, self._left = needle, count
        self._begun = 0  # characters of an occurrence that the text ends with
        self._shorter = [0]  # for n characters that have come: how many of them begin an occurrence if these do not

    def feed(self, text: str) -> Span | None:
        needle, size, begun = self._needle, len(self._needle), self._begun
        base, self._end = self._end, self._end + len(text)
        if not begun and needle[0] not in text:
            return None
        start = 0
        if len(text) >= size:
            text = needle[:begun] + text
            base -= begun
            while (at := text.find(needle, start)) >= 0:
                start = at + size
                self._left -= 1
                if not self._left:
                    self._decided_at = base + start
                    return base + at, base + start
            self._begun, start = 0, max(start, len(text) - size + 1)
        return self._step(text, start, base)

    def _step(self, text: str, start: int, base: int) -> Span | None:
        """Takes text[start:] character by character."""
        needle, size, begun, shorter = self._needle, len(self._needle), self._begun, self._shorter
        for i in range(start, len(text)):
            c = text[i]
            while begun and needle[begun] != c:
                begun = shorter[begun - 1]
            begun += needle[begun] == c
            if begun == size:
                begun = 0
                self._left -= 1
                if not self._left:
                    self._decided_at = base + i + 1
                    return self._decided_at - size, self._decided_at
            elif begun > len(shorter):
                self._extend()
        self._begun = begun
        return None

    def _extend(self) -> None:
        """Adds what `_shorter` says of one more character of the text."""
        needle, shorter = self._needle, self._shorter
        c, n = needle[len(shorter)], shorter[-1]
        while n and needle[n] != c:
            n = shorter[n - 1]
        shorter.append(n + (needle[n] == c))

    @property
    def start(self) -> int:
        return self._end - self._begun


class Lines(Condition):
    """The N-th line. As for grep, a last line without its newline counts."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._left = lines
        self._line = 0  # where the line that is not yet complete begins

    def feed(self, text: str) -> Span | None:
        count = text.count("\n")
        if count < self._left:
            self._left -= count
            if count:
                self._line = self._end + text.rindex("\n") + 1
            self._end += len(text)
            return None
        pieces = text.split("\n", self._left)
        self._decided_at = self._end + len(text) - len(pieces[-1])
        start = self._line if self._left == 1 else self._decided_at - 1 - len(pieces[-2])
        return start, self._decided_at

    def close(self) -> Span | None:
        return (self._line, self._end) if self._left == 1 and self._line < self._end else None

    @property
    def start(self) -> int:
        return self._line if self._left == 1 else self._end


class Words(Condition):
    """The N-th word, by the rules of `str.split`; it ends before the white space after it, or with the text."""

    LAST = re.compile(r"\S(?=\s)")  # \s is what str.isspace says

    def __init__(self, words: int) -> None:
        super().__init__()
        self._left = words
        self._word = -1  # where the word that is not yet complete begins; -1 between words

    def feed(self, text: str) -> Span | None:
        is_open = self._word >= 0
        base, text = self._end - is_open, "_" * is_open + text  # one character stands for the open word so far
        size = len(text)
        ended = len(self.LAST.findall(text))
        if ended < self._left:
            self._left -= ended
            self._end = base + size
            if not text or text[-1].isspace():
                self._word = -1
            elif not is_open or ended:
                self._word = self._end - len(text.rsplit(None, 1)[-1])
            return None
        end = next(islice(self.LAST.finditer(text), self._left - 1, None)).end()
        length = len(text[:end].rsplit(None, 1)[-1])
        self._decided_at = base + end + 1
        return self._word if is_open and length == end else base + end - length, base + end

    def close(self) -> Span | None:
        return (self._word, self._end) if self._left == 1 and self._word >= 0 else None

    @property
    def start(self) -> int:
        return self._word if self._left == 1 and self._word >= 0 else self._end


class Characters(Condition):
    """The N-th character."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self._last = characters

    def feed(self, text: str) -> Span | None:
        self._end += len(text)
        if self._end < self._last:
            return None
        self._decided_at = self._last
        return self._last - 1, self._last


class Bytes(Condition):
    """The N-th byte. `Until` counts the bytes; `left` is how many it may still pass."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left = size


class Timed(Condition):
    """`seconds` (of the caller's clock) have passed."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self.deadline: float | None = None

    def begin(self, now: float) -> None:
        """Starts the clock: reading begins."""
        self.deadline = now + self._seconds

    def arrived(self, now: float) -> None:
        """Notes that input came at `now`."""


class Idle(Timed):
    """No input for `seconds`, counted from the first input on: a model may think before it answers."""

    def begin(self, now: float) -> None:
        """Does nothing: silence before the first input does not count."""

    def arrived(self, now: float) -> None:
        self.deadline = now + self._seconds
