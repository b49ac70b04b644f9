"""JSON documents in any text: where they begin, where they end, which are broken.

Text is prose until an opening bracket that begins JSON: a `{` that `}` follows, or a key and its colon; with `arrays`
also `[`. From there the scanner checks each character. Where no colon comes, what stands behind the `{` is prose after
all: that is looked at once more, and may hold no other `{` with a quote, so that the time stays linear whatever the
input. A broken object is skipped, and no part of it is tried again: what is nested in it is not a document.

A subclass appends an item for each document to `_results`, and each broken one comes out as a Fault among the items.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Generic, TypeVar

from .bulk import BULK
from .grammar import Step, end, space
from .recovery import HEAD, Recovery
from .scanner import Scanner

MAX_SIZE = 64 * 1024 * 1024  # characters
STRUCTURE = "{}[],"  # what an object may follow; nothing, too: it may begin a line
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
        self._limit = self._key_limit = limit  # the latter: up to the first colon
        self._is_loose = loose
        self._starts = re.compile(r"[{[]" if arrays else r"\{").search
        self._mode: Step = self._prose
        self._base = 0  # characters before this chunk
        self._line = line  # the number of the line at text[_counted_to] of this chunk
        self._counted_to = 0
        self._recent = deque[str](maxlen=HEAD)  # the ends of the last chunks
        self._start = self._start_line = 0  # of the last document: its character's number from 0, its line
        self._head = ""  # what stands before the document in its line; of its first object, if it is an array
        self.is_tentative = False  # a `{` has come, and what follows may still be prose
        self._tried: list[str] = []  # the chunks from that `{` on, up to this chunk
        self._tried_from = 0  # index of the `{` in this chunk, or 0 if it stands in one before
        self._looked_to = 0  # how much of the text it took to know that what a `{` began was prose
        self._reason = ""

    def feed(self, text: str) -> list[T | Fault]:
        """Returns the items and faults that text completes."""
        i, n = 0, len(text)
        while i < n:
            i = self._mode(text, i, n)
        self._base += n
        self._line_of(text, n)
        self._counted_to = 0
        self._recent.append(text if n <= HEAD else text[-HEAD:])
        if self.is_tentative:
            self._tried.append(text[self._tried_from :])
            self._tried_from = 0
        self.on_chunk_end(text)
        return self._drain() if self._results else []

    @property
    def is_open(self) -> bool:
        """Whether the text so far ends within a document."""
        return self._mode != self._prose

    def close(self, source: str = "input") -> list[T | Fault]:
        """Ends the input, or the part of it that `source` names; a Fault of the kind UNFINISHED has the open object."""
        while self.is_tentative and (self._mode != self._naming or self._head.strip(" \t")[-1:] not in STRUCTURE):
            self.end_capture("", 0)
            self._try_as_prose()
        mode, self._mode = self._mode, self._prose
        if mode == self._naming or (mode == self._inside and self.scanner.has_members):
            self._report("", 0, f"the {source} ends inside it", UNFINISHED)
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
        """text[i], behind a `{`, is not what JSON has there; returns the index where to go on."""
        return self._no_object(text, i)

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

    def _start_broken(self, text: str, i: int, lead: str, reason: str) -> None:
        """Starts an object that is not JSON for `reason`: `lead`, then text[i]."""
        self.is_tentative = False
        self.on_start(text, i, lead)
        self._reason = f"{reason} in line {self._line_of(text, i)}"
        self._mode = self._skipping
        self._recovery.start(1, "", self._head, self._head_of(text, i))

    def _line_of(self, text: str, i: int) -> int:
        """Returns the line of text[i]; i must not be less than in the call before."""
        self._line += text.count("\n", self._counted_to, i)
        self._counted_to = i
        return self._line

    def _head_of(self, text: str, i: int) -> str:
        """Returns what stands before text[i] in its line: its last HEAD characters."""
        start = text.rfind("\n", max(0, i - HEAD), i) + 1
        if start or i >= HEAD:
            return text[max(start, i - HEAD) : i]
        before = "".join(self._recent)[-HEAD:] + text[:i]
        return before[max(before.rfind("\n") + 1, len(before) - HEAD) :]

    def _no_object(self, text: str, i: int) -> int:
        """Goes on behind the `{` that was tried, as prose, because of text[i]; returns the index in this chunk."""
        self._looked_to = self._base + i + 1
        if not self._tried:
            self.is_tentative = False
            self._mode = self._prose
            self.on_prose("{", 0, 1)
            return self._tried_from + 1
        self._try_as_prose()
        return 0

    def _try_as_prose(self) -> None:
        """Takes the chunks behind the `{` that was tried once more."""
        again = "".join(self._tried)[1:]
        self._tried, self._tried_from, self.is_tentative = [], 0, False
        self._recent.clear()
        self._recent.append(self._head + "{")
        self._base, self._line, self._counted_to = self._start + 1, self._start_line, 0
        self._mode = self._prose
        self.on_prose("{", 0, 1)
        self._results += self.feed(again)

    # Modes.

    def _prose(self, text: str, i: int, n: int) -> int:
        bracket = self._starts(text, i, n)
        self.on_prose(text, i, bracket.start() if bracket else n)
        if bracket is None:
            return n
        i = bracket.start()
        if n - i > BULK and (stop := self.take_whole(text, i, n)) > i:
            return stop
        self._start, self._start_line = self._base + i, self._line_of(text, i)
        self._head = self._head_of(text, i)
        if text[i] == "[":
            self._start_document(text, i, "")
            self._mode = self._in_array
            return i
        self._mode = self._opening
        self.is_tentative, self._tried, self._tried_from = True, [], i
        return i + 1

    def _opening(self, text: str, i: int, n: int) -> int:
        """Behind a `{`: an object begins only if a quote or `}` follows."""
        i = end(space(text, i, n))
        if i == n:
            return n
        if text[i] not in '"}':
            return self.on_no_object(text, i)
        self._start_document(text, i, "{")
        self._mode = self._naming
        return i

    def _naming(self, text: str, i: int, n: int) -> int:
        """Behind a `{` and a quote: it is an object only if a colon follows the key."""
        scanner = self.scanner
        stop = self._start + self._key_limit - self._base
        i = scanner.feed(text, i, min(n, stop))
        if scanner.has_members or scanner.done:
            self.is_tentative = False
            self._mode = self._inside
            return self._judge(text, i, self._start + self._limit - self._base)
        if i >= stop and not scanner.error:
            scanner.has_members = True  # so long a key is not prose
            self.is_tentative = False
            return self._judge(text, i, stop)
        if scanner.error:
            self.end_capture(text, i)
            return self.on_no_object(text, i)
        return i

    def _in_array(self, text: str, i: int, n: int) -> int:
        """In an array in which no object has come: a line that continues behind a broken one is measured by it."""
        brace = text.find("{", i, n)
        if brace >= 0:
            self._head = self._head_of(text, brace)
            self._mode = self._inside
        return self._inside(text, i, n)

    def _inside(self, text: str, i: int, n: int) -> int:
        scanner = self.scanner
        room = self._start + self._limit - self._base
        i = scanner.feed(text, i, n if n < room else room)
        if scanner.done or scanner.error or i >= room:
            self._judge(text, i, room)
        return i

    def _judge(self, text: str, i: int, room: int) -> int:
        """Decides what the scanner found: it stopped at text[i], `room` is where the document becomes too long."""
        scanner = self.scanner
        if scanner.done:
            self._mode = self._prose
            self.on_end(text, i)
        elif scanner.error or i >= room:
            self._fail(text, i, scanner.error or f"it is longer than {self._key_limit} characters")
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
            quote = '"' if scanner.in_string else ""
            self._recovery.start(depth, quote, self._head, self._head_of(text, i), scanner.in_escape)
        else:
            self._mode = self._prose
            self._report(text, i, self._reason)

    def _report(self, text: str, i: int, reason: str, kind: str = MALFORMED) -> None:
        self._results.append(Fault(self._start_line, reason, kind, self.end_capture(text, i)))

    def _skipping(self, text: str, i: int, n: int) -> int:
        i = self._recovery.feed(text, i, n)
        if self._recovery.done:
            self._mode = self._prose
            self._report(text, i, self._reason)
        return i
