"""`llmstream json-objects`: each complete JSON object in any text, as a line, at its last brace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from .. import inputs, stdio
from ..core.json.documents import UNFINISHED, Fault
from ..core.json.objects_filter import CLOSED, REPAIRED, ObjectsFilter
from ..core.kinds import Integer, Size
from ..core.text import UTF16, InputDecoder, encode
from ..errors import Incomplete, NotFound, ReaderGone
from . import parameters
from .parameters import FILE, operand, plain_option, raw_control

NAME = "json-objects"
HEAD_CHARACTERS = 65536  # of an input without objects, in which --repair may find some


@parameters.command(NAME)
@operand("files", repeatable=True, metavar="[FILE]...", kind=FILE)
@plain_option("-k", "--count", kind=Integer(1), metavar="N", help="Exit after N objects.")
@plain_option("--last", is_flag=True, help="Print the last object only, at the end.")
@plain_option("--fenced", is_flag=True, help="Look only inside fenced code blocks.")
@plain_option("--partial", is_flag=True, help="Print an object that the end of input cuts, closed.")
@plain_option("--repair", is_flag=True, help="Repair malformed objects instead of skipping them.")
@plain_option("--max-size", default="64M", metavar="SIZE", kind=Size(), help="Bound on one object (64M).")
@raw_control
def command(files: tuple[str, ...], **options: Any) -> int:
    """Print each complete JSON object in FILEs or stdin as one line, the moment its last brace arrives.

    Prose, Markdown and arrays around are skipped; the text of numbers and strings is kept.

    \b
    llmstream gen 'Three rivers, as JSON objects.' | llmstream json-objects
    llmstream json-objects -k1 --fenced answer.md | jq .name
    """
    stdio.require_stdout()
    return _Run(options).over(files)


class _Run:
    """Prints and counts the objects, and reports the broken ones."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._left: int | None = options["count"]  # objects still to print; None: no limit
        self._found = self._faulty = self._is_utf16 = False
        self._last = ""
        self._notes: list[str] = []
        self._place = ""  # begins the notes
        self._head: list[str] = []  # the beginning of the input, up to the first object
        self._head_left = HEAD_CHARACTERS

    def over(self, files: tuple[str, ...]) -> int:
        """Reads the inputs; returns the exit status."""
        operands = inputs.Operands(NAME, files, "JSON")
        with suppress(ReaderGone):
            for name, source in operands:
                self._place = f"{name}: " if len(files) > 1 else ""
                self._read(source)
                if self._left == 0:
                    break
            if self._last:
                stdio.write(encode(self._last + "\n"))
            if not (self._found or self._faulty or operands.status):
                if self._is_utf16:
                    raise Incomplete(UTF16)
                hint = ": --repair finds one" if self._is_repairable() else ""
                raise NotFound(f"no JSON object in the input{hint}")
        return Incomplete.status if self._faulty else operands.status

    def _read(self, source: inputs.Input) -> None:
        """Reads one input."""
        decoder = InputDecoder()
        options = {name: self._options[name] for name in ("max_size", "fenced", "repair", "partial")}
        objects = ObjectsFilter(on_fault=self._note, **options)
        while chunk := source.read():
            text = decoder.feed(chunk)
            if self._head_left and not self._found:
                self._head.append(text[: self._head_left])
                self._head_left -= len(self._head[-1])
            self._print(objects.feed(text))
            if self._left == 0:
                return
        self._print(objects.close())  # the decoder may hold part of a character: the cut object is fault enough
        self._is_utf16 = self._is_utf16 or decoder.is_utf16

    def _is_repairable(self) -> bool:
        """Returns whether the beginning of an input without objects has one for --repair."""
        head = "".join(self._head)
        if self._options["repair"] or "{" not in head:
            return False
        repaired = ObjectsFilter(HEAD_CHARACTERS, lambda *_: None, fenced=self._options["fenced"], repair=True)
        return any(repaired.feed(head)) or any(repaired.close())

    def _print(self, texts: Iterator[str]) -> None:
        lines = list(islice(texts, self._left))
        if self._left is not None:
            self._left -= len(lines)
        self._found = self._found or bool(lines)
        if lines and self._options["last"]:
            self._last = lines[-1]
        elif lines:
            stdio.write(encode("\n".join(lines) + "\n"))
        for note in self._notes:
            stdio.note(NAME, note)
        self._notes.clear()

    def _note(self, fault: Fault, outcome: str) -> None:
        self._faulty = self._faulty or outcome != REPAIRED
        if outcome == CLOSED:
            outcome = "closed and printed"
        elif outcome != REPAIRED and not self._options["repair"]:
            outcome += ", --partial prints it closed" if fault.kind == UNFINISHED else ", --repair repairs what it can"
        self._notes.append(f"{self._place}{fault.report('object')}: {outcome}")
