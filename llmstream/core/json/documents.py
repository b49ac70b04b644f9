"""JSON documents in any text: where they begin, where they end, which are broken.

Text is prose until an opening bracket that can begin JSON: `{` followed by a quote or `}`; with `arrays` also `[`. From
there the scanner checks each character. A broken object is skipped, and no part of it is tried again: the time stays
linear whatever the input, and what is nested in the broken object does not come out as a document.

A subclass appends an item for each document to `_results`, and each broken one comes out as a Fault among the items.
"""

from __future__ import annotations

import re
from typing import Generic, TypeVar

from .grammar import Step, end, space
from .recovery import Recovery
from .scanner import Scanner

MAX_SIZE = 64 * 1024 * 1024  # characters
BULK = 512  # characters that must be left of a chunk before `take_whole` is tried
T = TypeVar("T")

MALFORMED, UNFINISHED, UNEVALUATED = "malformed", "unfinished", "unevaluated"


class Fault:
    """A document that did not come out whole.

    `line` is where it begins, `reason` what is wrong with it, `kind` MALFORMED, UNFINISHED (the input ended) or
    UNEVALUATED (a filter or function failed on it), `text` its source where the core keeps that, else "".
    """

    __slots__ = ("line", "reason", "kind", "text")

    def __init__(self, line: int, reason: str, kind: str = MALFORMED, text: str = "") -> None:
        self.line, self.reason, self.kind, self.text = line, reason, kind, text

    def report(self, noun: str) -> str:
        """Returns a sentence for the user, in which the document is called `noun`."""
        return f"line {self.line}: {self.kind} {noun}: {self.reason}"


class Documents(Generic[T]):
    """Text in; out come the items of the documents that a chunk completes and, in their order, Faults for broken ones.

    `limit` bounds one document, in characters. `arrays` makes arrays documents, too. `loose` is for text that is to be
    repaired: a single quote may begin a string. `line` is the number of the first line.
    """

    def __init__(
        self,
        scanner: Scanner,
        results: list[T | Fault],
        limit: int,
        *,
        arrays: bool = False,
        loose: bool = False,
        line: int = 1,
    ) -> None:
        self.scanner, self._recovery = scanner, Recovery(loose=loose)
        self._results = results  # of this chunk so far; a scanner may append to the list, too
        self._limit = limit
        self._starts = re.compile(r"[{[]" if arrays else r"\{").search
        self._mode: Step = self._prose
        self._base = 0  # characters before this chunk
        self._line = line  # the number of the line at text[_counted_to] of this chunk
        self._counted_to = 0
        self._last = "\n"  # the character before this chunk
        self._start = self._start_line = 0  # of the last document: its character's number from 0, its line
        self._reason = ""

    def feed(self, text: str) -> list[T | Fault]:
        """Returns the items and faults that text completes."""
        i, n = 0, len(text)
        while i < n:
            i = self._mode(text, i, n)
        self._base += n
        self._line_of(text, n)
        self._counted_to = 0
        self._last = text[-1:] or self._last
        self.on_chunk_end(text)
        return self._drain() if self._results else []

    @property
    def is_open(self) -> bool:
        """Whether the text so far ends within a document."""
        return self._mode != self._prose

    def close(self, source: str = "input") -> list[T | Fault]:
        """Ends the input, or the part of it that `source` names; a Fault of the kind UNFINISHED has the open object."""
        mode, self._mode = self._mode, self._prose
        if mode == self._inside and self.scanner.has_members:
            self._report("", 0, f"the {source} ends inside of it", UNFINISHED)
        elif mode == self._skipping:
            self._report("", 0, self._reason)
        return self._drain()

    def _drain(self) -> list[T | Fault]:
        results = self._results[:]
        self._results.clear()
        return results

    # Hooks for subclasses.

    def on_prose(self, text: str, i: int, n: int) -> None:
        """text[i:n] belongs to no document."""

    def on_no_object(self, text: str, i: int) -> int:
        """text[i], behind a `{` and white space, begins no object; returns the index where to go on."""
        return i

    def on_start(self, text: str, i: int, lead: str) -> None:
        """A document begins with the characters `lead` and goes on at text[i]."""

    def on_end(self, text: str, i: int) -> None:
        """The document has ended before text[i]."""

    def on_broken(self, text: str, i: int) -> None:
        """The document is not JSON because of text[i]; its rest, from there on, will be skipped."""

    def on_chunk_end(self, text: str) -> None:
        """All of text has been taken."""

    def end_capture(self, text: str, i: int) -> str:
        """Returns the source of the document, which has ended before text[i], if the core keeps it, else ""."""
        return ""

    def take_whole(self, text: str, i: int, n: int) -> int:
        """Takes objects that stand whole in text from i on, by a fast path; returns the end of the last, or i."""
        return i

    def _start_document(self, text: str, i: int, lead: str) -> None:
        """Starts a document whose first characters, `lead`, stand before text[i]."""
        self._mode = self._inside
        self.scanner.start()
        self.on_start(text, i, lead)
        self.scanner.feed(lead, 0, len(lead))

    def _start_broken(self, text: str, i: int, lead: str, quote: str, reason: str) -> None:
        """Starts an object that is not JSON for `reason`: `lead`, then text[i], inside of a string if `quote`."""
        self.on_start(text, i, lead)
        self._reason = f"{reason} in line {self._line_of(text, i)}"
        self._mode = self._skipping
        self._recovery.start(1, quote)

    def _line_of(self, text: str, i: int) -> int:
        """Returns the line of text[i]; i must not be less than in the call before."""
        self._line += text.count("\n", self._counted_to, i)
        self._counted_to = i
        return self._line

    # Modes.

    def _prose(self, text: str, i: int, n: int) -> int:
        bracket = self._starts(text, i, n)
        self.on_prose(text, i, bracket.start() if bracket else n)
        if bracket is None:
            return n
        i = bracket.start()
        if n - i > BULK and text[i] == "{" and (stop := self.take_whole(text, i, n)) > i:
            return stop
        self._start, self._start_line = self._base + i, self._line_of(text, i)
        if text[i] == "[":
            self._start_document(text, i, "")
            return i
        self._mode = self._opening
        return i + 1

    def _opening(self, text: str, i: int, n: int) -> int:
        """Behind a `{`: an object begins only if a quote or `}` follows."""
        i = end(space(text, i, n))
        if i == n:
            return n
        if text[i] not in '"}':
            self._mode = self._prose
            return self.on_no_object(text, i)
        self._start_document(text, i, "{")
        return i

    def _inside(self, text: str, i: int, n: int) -> int:
        scanner = self.scanner
        room = self._start + self._limit - self._base
        i = scanner.feed(text, i, min(n, room))
        if scanner.done:
            self._mode = self._prose
            self.on_end(text, i)
        elif scanner.error or i >= room:
            self._fail(text, i, scanner.error or f"it is longer than {self._limit} characters")
        return i

    def _fail(self, text: str, i: int, reason: str) -> None:
        scanner = self.scanner
        self._reason = f"{reason} in line {self._line_of(text, i)}"
        depth = scanner.stack.count("}")
        self.on_broken(text, i)
        if not scanner.has_members:  # `[see below]` was not meant to be JSON
            self._mode = self._prose
        elif depth:
            self._mode = self._skipping
            self._recovery.start(depth, '"' if scanner.in_string else "", scanner.in_escape)
        else:
            self._mode = self._prose
            self._report(text, i, self._reason)

    def _report(self, text: str, i: int, reason: str, kind: str = MALFORMED) -> None:
        self._results.append(Fault(self._start_line, reason, kind, self.end_capture(text, i)))

    def _skipping(self, text: str, i: int, n: int) -> int:
        i = self._recovery.feed(text, i, n, self._last)
        if self._recovery.done:
            self._mode = self._prose
            self._report(text, i, self._reason)
        return i
