"""`llmstream until`: copies until a condition is met and exits, so that the producer stops."""

from __future__ import annotations

import os
import time
from typing import Any

from .. import inputs, stdio
from ..core.kinds import OUTPUT
from ..core.stop.condition import INCLUSIVE, QUIET
from ..core.stop.until import Until
from ..core.text import UTF16
from ..errors import Incomplete, NotFound, UsageError
from . import parameters
from . import stop_options as stopping
from .parameters import FILE, operand, plain_option, raw_control

NAME = "until"


@parameters.command(NAME, ungrouped=OUTPUT)
@operand("file", repeatable=True, kind=FILE)
@stopping.options()
@plain_option("-q", "--quiet", is_flag=True, help="Print nothing; only set the exit status.")
@plain_option("--drain", is_flag=True, help="After the match, read on and discard.")
@raw_control
def command(file: tuple[str, ...], quiet: bool, drain: bool, **params: Any) -> int:
    """Copy FILEs or stdin up to and including the first match, and exit at once.

    Of several conditions, the first that is met counts. Status 0: met; 1: not met.

    \b
    llmstream gen 'Count from 1 to 100.' | llmstream until --words 20
    llmstream gen 'Write a poem.' | llmstream until -x -e '(?m)^Fourth'
    tail -f app.log | llmstream until -q -e 'listening' && curl localhost:8080
    """
    stdio.require_stdout()
    conditions, mode = stopping.take(params)
    if not conditions:
        raise UsageError(f"no condition: {_advice(file)}")
    if quiet and mode != INCLUSIVE:
        raise UsageError("-q leaves nothing to print for -x or -o: choose one")
    copy = Until(conditions, QUIET if quiet else mode)
    copy.begin(time.monotonic())
    operands = inputs.Operands(NAME, file, "text")
    for _, source in operands:
        _read(source, copy, drain)
        if copy.met:
            break
    else:
        stdio.write(copy.close())
    for note in copy.notes:
        stdio.note(NAME, note)
    if copy.met:
        return 0 if quiet else operands.status
    if quiet or operands.status:
        return operands.status or NotFound.status
    if copy.is_utf16:
        raise Incomplete(UTF16)
    raise NotFound("the input ended before a condition was met")


def _advice(files: tuple[str, ...]) -> str:
    """Returns what to do where there is no condition: as of grep's, the first operand may be meant as a pattern."""
    if files and files[0] != "-" and not os.path.exists(files[0]):
        return f"{files[0]!r} is the name of a file here: give a pattern with -e"
    return "give one, for example -e PATTERN or --lines N"


def _read(source: inputs.Input, copy: Until, drain: bool) -> None:
    """Copies one input; closes it with the last piece, so that the producer stops at once."""
    while not copy.met:
        deadline = copy.deadline()
        chunk = source.read(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if chunk == b"":
            return
        now = time.monotonic()
        data = copy.expire(now) if chunk is None else copy.feed(chunk, now)
        if copy.met and not drain:
            inputs.write_last(data, source)
        else:
            stdio.write(data)
    if drain:
        source.drain()
