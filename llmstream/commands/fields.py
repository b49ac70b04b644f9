"""`llmstream fields`: chosen fields of the JSON documents on stdin, each as soon as it is complete."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from .. import inputs, signals, stdio
from ..core.cpu_limit import charge
from ..core.json.automaton import Match, Values
from ..core.json.documents import Fault
from ..core.json.extract import Piece, normalized_path
from ..core.json.fields import Fields, FieldsFilter, plain_lines, plain_text
from ..core.json.path import compile_path
from ..core.kinds import Size
from ..core.text import UTF16, InputDecoder, encode
from ..errors import Incomplete, NotFound, ReaderGone, UsageError
from . import parameters
from .parameters import operand, plain_option, raw_control

NAME = "fields"
FILTER_CPU_S = 5.0  # CPU time of a filter, for one value
PIECE = 1_000_000  # characters that are written at once
MAX_HEADS = 1000  # that are kept, and characters in each
MAX_NESTED = 100  # tuples in a location that is hashed: that recurses on the stack of C, without a limit of its own
TSV = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@parameters.command(NAME)
@operand("paths", repeatable=True, metavar="[PATH]...")
@plain_option("-1", "--first", is_flag=True, help="Exit as soon as every PATH has had its first value.")
@plain_option("-r", "--raw", is_flag=True, help="Print values alone, strings unquoted, one a line.")
@plain_option("-0", "--null", is_flag=True, help="As --raw, but each ends with NUL.")
@plain_option("--tsv", is_flag=True, help="Print path, tab and value, one field a line.")
@plain_option("-f", "--follow", is_flag=True, help="Write the string at PATH character by character.")
@plain_option("--ng", is_flag=True, help="PATHs in jsonpath-ng's dialect, on complete documents.")
@plain_option("--max-size", default="64M", metavar="SIZE", kind=Size(), help="Bound on one value (64M).")
@raw_control
def command(paths: tuple[str, ...], **options: Any) -> int:
    """Print the fields at PATHs (JSONPath) of the JSON on stdin, each as soon as it is complete.

    `title`, `meta.score` and `items[*].name` are short for `$.title` and so on. Without PATH, every field of the top
    level.

    \b
    llmstream gen 'A book as JSON: title, plot.' | llmstream fields -r -1 title
    llmstream gen 'A book as JSON: title, plot.' | llmstream fields -f plot
    llmstream fields '$.items[?@.price < 10].name' < order.json
    """
    stdio.require_stdout()
    if options["tsv"] and (options["raw"] or options["null"] or options["follow"]):
        raise UsageError("--tsv excludes --raw, --null and --follow: give one of them")
    if options["follow"] and (len(paths) != 1 or options["ng"]):
        raise UsageError("--follow takes one PATH, and no --ng: see llmstream fields --help")
    signals.call_after_cpu_time(partial(charge, limit_s=FILTER_CPU_S))
    run = _Run(paths or ("*",), options)
    inputs.explain_terminal(NAME, "JSON", _hint(list(paths)))
    return run.over(inputs.Input())


class _Run:
    """Prints the values at the paths, and reports broken documents and missing values."""

    def __init__(self, paths: tuple[str, ...], options: dict[str, Any]) -> None:
        self._paths = paths
        self._faulty = False
        self._notes: list[str] = []
        self._filter = FieldsFilter(_core(paths, options), len(paths), options["first"], self._report)
        self._end = "\0" if options["null"] else "\n"
        self._heads: dict[Any, str] = {}  # what stands before the value, by location
        self._render = self._renderer(options)

    def over(self, source: inputs.Input) -> int:
        """Reads the input; returns the exit status."""
        decoder = InputDecoder()
        with suppress(ReaderGone):
            while not self._filter.done and (chunk := source.read()):
                self._print(self._filter.feed(decoder.feed(chunk)))
            self._print(self._filter.close())  # the decoder may hold part of a character: the cut document is a fault
            if self._filter.missing and not self._faulty:
                if decoder.is_utf16:
                    raise Incomplete(UTF16)
                missing = [self._paths[number] for number in sorted(self._filter.missing)]
                if missing == ["*"]:  # as without a PATH
                    raise NotFound("the input has no fields")
                raise NotFound(f"not in the input: {', '.join(missing)}{_hint(missing)}")
        return Incomplete.status if self._faulty else 0

    def _print(self, items: list[Match | Values | Piece]) -> None:
        texts, size = [], 0
        for item in items:
            text = self._render(item)
            texts.append(text)
            size += len(text)
            if size > PIECE:  # the paths and values of a deep document can be much longer than its text
                stdio.write(encode("".join(texts)))
                texts, size = [], 0
        stdio.write(encode("".join(texts)))
        for note in self._notes:
            stdio.note(NAME, note)
        self._notes.clear()

    def _report(self, fault: Fault) -> None:
        self._faulty = True
        self._notes.append(fault.report("document"))

    def _renderer(self, options: dict[str, Any]) -> Callable[[Any], str]:
        if options["tsv"]:
            return lambda match: f"{normalized_path(match[1])}\t{plain_text(match[2]).translate(TSV)}\n"
        if options["follow"] or options["raw"] or options["null"]:
            return self._plain
        return self._located

    def _located(self, match: Match) -> str:
        _, location, value = match
        is_shallow = _is_shallow(location)
        head = self._heads.get(location) if is_shallow else None
        if head is None:
            if len(self._heads) > MAX_HEADS:
                self._heads.clear()
            head = f'{{"path":"{_escaped(normalized_path(location))}","value":'
            if is_shallow and len(head) < MAX_HEADS:
                self._heads[location] = head
        return f"{head}{value}}}\n"

    def _plain(self, item: Match | Values | Piece) -> str:
        if isinstance(item, Values):
            return plain_lines(item.lines) + "\n"
        if isinstance(item, Piece):
            return item.text + (self._end if item.ends else "")
        text = plain_text(item[2])
        if self._end == "\0" and "\0" in text:
            self._faulty = True
            self._notes.append(f"the value at {normalized_path(item[1])} has a NUL: left out, --raw prints it")
            return ""
        return text + self._end


def _is_shallow(location: Any) -> bool:
    for _ in range(MAX_NESTED):
        if not isinstance(location, tuple) or not location:
            return True
        location = location[0]
    return False


def _hint(missing: list[str]) -> str:
    """Returns a hint for missing paths, one of which is a file's name."""
    file = next(filter(os.path.isfile, missing), "")
    return f": {file} is a file: use llmstream {NAME} PATH < {file}" if file else ""


def _core(paths: tuple[str, ...], options: dict[str, Any]) -> Fields:
    if options["ng"]:
        from ..core.json.ng import NgFields, compile_ng

        return NgFields(_compiled(paths, compile_ng), options["max_size"])
    lines = options["raw"] and not (options["null"] or options["first"] or options["follow"])
    return Fields(_compiled(paths, compile_path), options["max_size"], follow=options["follow"], lines=lines)


def _compiled(paths: tuple[str, ...], compile: Callable[[str], Any]) -> list[Any]:
    compiled = []
    for path in paths:
        try:
            compiled.append(compile(path))
        except UsageError:
            if os.path.isfile(path):
                raise UsageError(f"{path} is a file, not a JSONPath: use llmstream {NAME} PATH < {path}") from None
            raise
    return compiled


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"')
