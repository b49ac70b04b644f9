"""Stop conditions: when is enough enough?

One class a condition, and one row of CONDITIONS an option; `until`, and under longer names every command that
generates, take their options from these rows. A condition is fed text and names the match that meets it, at the
moment when nothing that may still come can change it. All offsets are in characters from the stream's beginning.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import UsageError

WINDOW = 64 * 1024
Span = tuple[int, int]


class Condition:
    """Base of the conditions. Subclasses override what concerns them."""

    note = ""  # what the user should know about how it was, or was not, met

    def feed(self, text: str) -> Span | None:
        """The match that meets the condition, if text completes it. Not called again after that."""
        return None

    def close(self) -> Span | None:
        """The same, where the text is at its end."""
        return None

    @property
    def start(self) -> int:
        """The match does not begin before this offset."""
        raise NotImplementedError

    @property
    def certain(self) -> int:
        """The match does not end before this offset."""
        raise NotImplementedError

    def moment(self) -> int:
        """Once met by `feed`: how much of the text it took, the same for any cutting of the text."""
        raise NotImplementedError


class _Simple(Condition):
    """A condition whose match ends where it is met, so that all text before is certain to be part of the output."""

    def __init__(self) -> None:
        self._end = 0  # of the text so far
        self._met = 0

    @property
    def start(self) -> int:
        return self._end

    @property
    def certain(self) -> int:
        return self._end

    def moment(self) -> int:
        return self._met


class Fixed(_Simple):
    """The `count`-th occurrence of a text; occurrences do not overlap."""

    def __init__(self, wanted: str, count: int) -> None:
        super().__init__()
        if not wanted:
            raise UsageError("the empty text is everywhere: name one to wait for")
        self._wanted, self._left = wanted, count
        self._tail = ""  # where an occurrence may have begun: shorter than `wanted`

    def feed(self, text: str) -> Span | None:
        wanted, size = self._wanted, len(self._wanted)
        base = self._end - len(self._tail)
        text = self._tail + text
        self._end = base + len(text)
        start = 0
        while (at := text.find(wanted, start)) >= 0:
            start = at + size
            self._left -= 1
            if not self._left:
                self._met = base + start
                return base + at, base + start
        self._tail = text[max(start, len(text) - size + 1) :]
        return None

    @property
    def start(self) -> int:
        tail, wanted, first = self._tail, self._wanted, self._wanted[0]
        at = tail.find(first)
        while at >= 0 and not wanted.startswith(tail[at:]):
            at = tail.find(first, at + 1)
        return self._end if at < 0 else self._end - len(tail) + at


class Lines(_Simple):
    """The N-th line; like grep, a last line without its newline is one."""

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
        self._met = self._end + len(text) - len(pieces[-1])
        start = self._line if self._left == 1 else self._met - 1 - len(pieces[-2])
        return start, self._met

    def close(self) -> Span | None:
        return (self._line, self._end) if self._left == 1 and self._line < self._end else None

    @property
    def start(self) -> int:
        return self._line if self._left == 1 else self._end


class Words(_Simple):
    """The N-th word, as `str.split` sees them; it ends before the white space after it, or with the text."""

    LAST = re.compile(r"\S(?=\s)")  # \s is what str.isspace says

    def __init__(self, words: int) -> None:
        super().__init__()
        self._left = words
        self._word = -1  # where the word that is not yet complete begins; -1 between words

    def feed(self, text: str) -> Span | None:
        if not text:
            return None
        if self._word >= 0 and text[0].isspace():
            self._left -= 1
            if not self._left:
                self._met = self._end + 1
                return self._word, self._end
        ended = len(self.LAST.findall(text))
        if ended >= self._left:
            return self._find(text)
        self._left -= ended
        if text[-1].isspace():
            self._word = -1
        else:
            length = len(text.rsplit(None, 1)[-1])
            if self._word < 0 or length < len(text):
                self._word = self._end + len(text) - length
        self._end += len(text)
        return None

    def _find(self, text: str) -> Span:
        """The word, which ends within text."""
        ends = self.LAST.finditer(text)
        for _ in range(self._left):
            end = next(ends).end()
        length = len(text[:end].rsplit(None, 1)[-1])
        self._met = self._end + end + 1
        start = self._word if length == end and self._word >= 0 else self._end + end - length
        return start, self._end + end

    def close(self) -> Span | None:
        return (self._word, self._end) if self._left == 1 and self._word >= 0 else None

    @property
    def start(self) -> int:
        return self._word if self._left == 1 and self._word >= 0 else self._end


class Characters(_Simple):
    """The N-th character."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self._last = characters

    def feed(self, text: str) -> Span | None:
        self._end += len(text)
        if self._end < self._last:
            return None
        self._met = self._last
        return self._last - 1, self._last


class Bytes(_Simple):
    """The N-th byte; `admit`, which is asked before `feed`, sees it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left = size

    def feed(self, text: str) -> Span | None:
        self._end += len(text)
        return None


class Timed(_Simple):
    """`seconds` (of the caller's clock) have passed."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self.deadline: float | None = None

    def begin(self, now: float) -> None:
        """Reading begins."""
        self.deadline = now + self._seconds

    def arrived(self, now: float) -> None:
        """Something came."""

    def feed(self, text: str) -> Span | None:
        self._end += len(text)
        return None


class Idle(Timed):
    """Nothing has come for `seconds`, counted from the first arrival on: a model may think before it speaks."""

    def begin(self, now: float) -> None:
        """Silence before the first arrival does not count."""

    def arrived(self, now: float) -> None:
        self.deadline = now + self._seconds


# The options.


class Settings(NamedTuple):
    """What the conditions have in common."""

    times: int = 1  # the occurrence that is waited for
    ignore_case: bool = False
    window: int = WINDOW  # characters that a possible match of a regular expression may span


class Option(NamedTuple):
    """A row. `kind` is the type of the option's value: str, int (at least 1), float (above 0), bool for none."""

    name: str
    short: str
    metavar: str
    kind: type
    make: Callable[[Any, Settings], Condition]
    help: str
    repeatable: bool = False


def _regex(pattern: str, settings: Settings) -> Condition:
    from .search import Search  # with a part of `re` that nothing else needs

    return Search(pattern, re.IGNORECASE if settings.ignore_case else 0, settings.times, settings.window)


def _fixed(text: str, settings: Settings) -> Condition:
    return _regex(re.escape(text), settings) if settings.ignore_case and text else Fixed(text, settings.times)


def _code_block(wanted: bool, settings: Settings) -> Condition:
    from .code_block import CodeBlock

    return CodeBlock(settings.times)


CONDITIONS = (
    Option("regex", "e", "PATTERN", str, _regex, "A match of PATTERN, as Python's re.search finds it.", True),
    Option("fixed", "F", "TEXT", str, _fixed, "The text TEXT.", True),
    Option("code-block", "", "", bool, _code_block, "A whole fenced code block."),
    Option("lines", "", "N", int, lambda n, s: Lines(n * s.times), "N lines."),
    Option("words", "", "N", int, lambda n, s: Words(n * s.times), "N words."),
    Option("chars", "", "N", int, lambda n, s: Characters(n * s.times), "N characters."),
    Option("bytes", "", "N", int, lambda n, s: Bytes(n * s.times), "N bytes."),
    Option("seconds", "", "S", float, lambda s, _: Timed(s), "S seconds since the start."),
    Option("idle", "", "S", float, lambda s, _: Idle(s), "S seconds of silence after the first input."),
)
