"""`llmstream code`: the content of fenced code blocks, as it streams."""

from __future__ import annotations

from .. import inputs, stdio
from ..core.kinds import Integer
from ..core.markdown.code import Code
from ..errors import NotFound, UsageError
from . import parameters
from .parameters import FILE, operand, plain_option, raw_control

NAME = "code"


@parameters.command(NAME)
@operand("file", repeatable=True, kind=FILE)
@plain_option("-l", "--language", metavar="LANG", help="Print only blocks in LANG, such as python or sh.")
@plain_option("-k", "--count", kind=Integer(1), metavar="N", help="Print the N-th block, not the first.")
@plain_option("--all", "every", is_flag=True, help="Print all blocks, one after the other.")
@raw_control
def command(file: tuple[str, ...], language: str | None, count: int | None, every: bool) -> int:
    """Print the code in the first fenced block of FILEs or stdin while it arrives, and exit at the block's end.

    Status 0: printed; 1: no such block; 5: the block was never closed.

    \b
    llmstream gen 'A Python script: print the date.' | llmstream code > date.py
    llmstream code -l sh --all README.md
    """
    stdio.require_stdout()
    if every and count is not None:
        raise UsageError("--all and -k exclude each other: choose one")
    code = Code(language, count or 1, every)
    operands = inputs.Operands(NAME, file, "Markdown")
    for _, source in operands:
        _read(source, code)
        if code.done:
            return operands.status
    stdio.write(code.close())
    try:
        code.judge()
    except NotFound:  # it may be in the file that cannot be read
        if not operands.status:
            raise
    return operands.status


def _read(source: inputs.Input, code: Code) -> None:
    """Reads one input. At the block's end the input is closed, to stop the producer early."""
    while not code.done and (chunk := source.read()):
        data = code.feed(chunk)
        if code.done:
            inputs.write_last(data, source)
        else:
            stdio.write(data)
    if not code.done:
        stdio.write(code.end_input())
