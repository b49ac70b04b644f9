"""`llmstream json-objects`: each complete JSON object in any text, as a line, at its last brace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .. import stdio
from ..core.json.documents import UNFINISHED, Fault
from ..core.json.objects import Objects
from ..core.text import Decoder, encode, looks_like_utf16
from ..errors import Incomplete, NotFound, ReaderGone
from .types import size

if TYPE_CHECKING:
    from ..core.json.fenced import FencedObjects

NAME = "json-objects"


@click.command(NAME)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("-k", "--count", type=click.IntRange(min=1), metavar="N", help="Exit after N objects.")
@click.option("--last", is_flag=True, help="Print the last object only, at the end.")
@click.option("--fenced", is_flag=True, help="Look only inside fenced code blocks.")
@click.option("--partial", is_flag=True, help="Print an object that the end of input cuts, closed.")
@click.option("--repair", is_flag=True, help="Mend malformed objects instead of skipping them.")
@click.option("--max-size", default="64M", metavar="SIZE", callback=size, help="Bound on one object (64M).")
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
    """Prints what the core finds, counts it, and tells what was wrong."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._left = options["count"]  # None: no end
        self._found = self._faulty = False
        self._last = ""
        self._utf16 = False

    def over(self, files: tuple[str, ...]) -> int:
        """Reads the inputs; returns the exit status."""
        try:
            for name, source in zip(files or ("-",), stdio.open_operands(files), strict=True):
                self._read("" if len(files) < 2 else f"{name}: ", source)
                if self._left == 0:
                    break
            if self._last:
                stdio.write(encode(self._last + "\n"))
        except ReaderGone:
            return Incomplete.status if self._faulty else 0
        if self._faulty:
            return Incomplete.status
        if not self._found:
            hint = "it looks like UTF-16: iconv -f UTF-16 -t UTF-8 converts it"
            raise NotFound("no JSON object in the input" + (f": {hint}" if self._utf16 else ""))
        return 0

    def _read(self, place: str, source: stdio.Input) -> None:
        options, decoder = self._options, Decoder()
        objects = _core(options)
        first = True
        while chunk := source.read():
            if first:
                self._utf16, first = looks_like_utf16(chunk), False
            if items := objects.feed(decoder.feed(chunk)):
                self._take(place, items)
                if self._left == 0:
                    return
        self._take(place, objects.close())  # a character cut by the end of input is no fault of its own

    def _take(self, place: str, items: list[str | Fault]) -> None:
        lines: list[str] = []
        notes: list[str] = []
        for item in items:
            line = item if isinstance(item, str) else self._judge(place, item, notes)
            if line:
                lines.append(line)
                if self._left is not None:
                    self._left -= 1
                    if not self._left:
                        break
        if lines:
            self._found = True
            if self._options["last"]:
                self._last = lines[-1]
            else:
                stdio.write(encode("\n".join(lines) + "\n"))
        for note in notes:
            stdio.note(NAME, note)

    def _judge(self, place: str, fault: Fault, notes: list[str]) -> str:
        """What can be printed for an object that is not whole; else it is reported."""
        from ..core.json.mend import closed, mended

        what = f"{place}line {fault.line}: {fault.kind} object: {fault.why}"
        if fault.kind == UNFINISHED and self._options["partial"]:
            self._faulty = True
            notes.append(f"{what}: printed closed")
            return closed(fault.text)
        if self._options["repair"] and (line := mended(fault.text)):
            notes.append(f"{what}: mended")
            return line
        self._faulty = True
        way = "--partial prints it closed" if fault.kind == UNFINISHED else "--repair mends what it can"
        notes.append(f"{what}: skipped" + ("" if self._options["repair"] else f", {way}"))
        return ""


def _core(options: dict[str, Any]) -> Objects | FencedObjects:
    if not options["fenced"]:
        return Objects(options["max_size"], loose=options["repair"])
    from ..core.json.fenced import FencedObjects

    return FencedObjects(options["max_size"], loose=options["repair"])
