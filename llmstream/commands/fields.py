"""`llmstream fields`: chosen fields of the JSON documents on stdin, each as soon as it is complete."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from .. import stdio
from ..core.json.extract import Match, Piece, normalized
from ..core.json.fields import Fault, Fields
from ..core.json.path import compile_path
from ..core.json.strings import Unescaper, unescaped
from ..core.text import Decoder, encode, looks_like_utf16
from ..errors import Incomplete, NotFound, ReaderGone, UsageError
from .types import size

NAME = "fields"
TSV = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@click.command(NAME)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-1", "--first", is_flag=True, help="Exit as soon as every PATH has had its first value.")
@click.option("-r", "--raw", is_flag=True, help="Values alone, strings unquoted, one a line.")
@click.option("-0", "--null", is_flag=True, help="As --raw, but each ends with NUL.")
@click.option("--tsv", is_flag=True, help="Path, tab, value, one a line.")
@click.option("-f", "--follow", is_flag=True, help="Write the string at PATH character by character.")
@click.option("--ng", is_flag=True, help="PATHs in jsonpath-ng's dialect, on complete documents.")
@click.option("--max-size", default="64M", metavar="SIZE", callback=size, help="Bound on one value (64M).")
def command(paths: tuple[str, ...], **options: Any) -> int:
    """Print the fields at PATHs (JSONPath) of the JSON on stdin, each as soon as it is complete.

    `title`, `meta.score` and `items[*].name` are short for `$.title` and so on. Without PATH, every field of the top
    level.

    \b
    llmstream gen 'A book, as a JSON object with title and plot.' | llmstream fields -r -1 title
    llmstream gen 'A book, as a JSON object with title and plot.' | llmstream fields -f plot
    llmstream fields '$.items[?@.price < 10].name' < order.json
    """
    stdio.require_stdout()
    if sum((options["raw"] or options["null"], options["tsv"], options["follow"])) > 1 and not (
        options["follow"] and not options["tsv"]
    ):
        raise UsageError("--tsv excludes --raw, --null and --follow: give one of them")
    if options["follow"] and (len(paths) != 1 or options["ng"]):
        raise UsageError("--follow takes one PATH, and no --ng: see llmstream fields --help")
    return _Run(paths or ("*",), options).over(stdio.Input())


class _Run:
    """Prints what the core finds, and tells what was wrong or missing."""

    def __init__(self, paths: tuple[str, ...], options: dict[str, Any]) -> None:
        self._paths, self._options = paths, options
        self._core = _core(paths, options)
        self._missing = set(range(len(paths)))
        self._faulty = False
        self._first: bool = options["first"]
        self._end = "\0" if options["null"] else "\n"
        self._render = self._renderer()
        self._unescaper = Unescaper()
        self._notes: list[str] = []

    def over(self, source: stdio.Input) -> int:
        """Reads the input; returns the exit status."""
        decoder, head = Decoder(), b""
        try:
            while chunk := source.read():
                head = head or chunk[:2]
                if self._take(self._core.feed(decoder.feed(chunk))):
                    return self._status()
            self._take(self._core.close())  # a character cut by the end of input is no fault of its own
        except ReaderGone:
            return self._status()
        if self._missing and not self._faulty:
            missing = ", ".join(self._paths[number] for number in sorted(self._missing))
            raise NotFound(f"not in the input: {missing}{self._hint(head)}")
        return self._status()

    def _hint(self, head: bytes) -> str:
        if looks_like_utf16(head):
            return ": it looks like UTF-16: iconv -f UTF-16 -t UTF-8 converts it"
        files = (self._paths[number] for number in sorted(self._missing))
        file = next(filter(os.path.isfile, files), "")
        return f": {file} is a file: say llmstream {NAME} PATH < {file}" if file else ""

    def _status(self) -> int:
        return Incomplete.status if self._faulty else 0

    def _take(self, found: list[Match | Piece | Fault]) -> bool:
        """Writes what was found; whether that is enough."""
        out: list[str] = []
        enough = False
        for item in found:
            if isinstance(item, tuple):
                enough = self._match(item, out)
            elif isinstance(item, Piece):
                enough = self._piece(item, out)
            else:
                self._fault(item)
            if enough:
                break
        if out:
            stdio.write(encode("".join(out)))
        for note in self._notes:
            stdio.note(NAME, note)
        self._notes.clear()
        return enough

    def _match(self, match: Match, out: list[str]) -> bool:
        number = match[0]
        if self._first and number not in self._missing:
            return False
        self._missing.discard(number)
        out.append(self._render(match))
        return self._first and not self._missing

    def _piece(self, piece: Piece, out: list[str]) -> bool:
        out.append(self._unescaper.feed(piece.text))
        self._missing.clear()
        if not piece.ends:
            return False
        out.append(self._unescaper.close() + self._end)
        return self._first

    def _fault(self, fault: Fault) -> None:
        self._faulty = True
        self._unescaper = Unescaper()
        self._notes.append(f"line {fault.line}: {fault.kind} document: {fault.why}")

    def _renderer(self) -> Callable[[Match], str]:
        if self._options["tsv"]:
            return lambda match: f"{_path(match)}\t{_bare(match[2]).translate(TSV)}\n"
        if self._options["null"]:
            return self._null
        if self._options["raw"] or self._options["follow"]:
            return lambda match: f"{_bare(match[2])}\n"
        return lambda match: f'{{"path":"{_escaped(_path(match))}","value":{match[2]}}}\n'

    def _null(self, match: Match) -> str:
        text = _bare(match[2])
        if "\0" in text:
            self._faulty = True
            self._notes.append(f"the value at {_path(match)} has a NUL: left out, --raw prints it")
            return ""
        return f"{text}\0"


def _core(paths: tuple[str, ...], options: dict[str, Any]) -> Any:
    if not options["ng"]:
        return Fields(_compiled(paths, compile_path), options["max_size"], follow=options["follow"])
    from ..core.json.ng import NgFields, compile_ng

    return NgFields(_compiled(paths, compile_ng), options["max_size"])


def _compiled(paths: tuple[str, ...], compile: Callable[[str], Any]) -> list[Any]:
    compiled = []
    for path in paths:
        try:
            compiled.append(compile(path))
        except UsageError as error:
            if os.path.isfile(path):
                raise UsageError(f"{path} is a file, not a JSONPath: say llmstream {NAME} PATH < {path}") from None
            raise error
    return compiled


def _path(match: Match) -> str:
    return match[1] if isinstance(match[1], str) else normalized(match[1])


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"')


def _bare(value: str) -> str:
    """The text of a string, the JSON of anything else."""
    return unescaped(value[1:-1]) if value[0] == '"' else value
