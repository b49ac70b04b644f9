"""`llmstream pretty`: Markdown for a terminal, while it streams."""

from __future__ import annotations

from .. import inputs, stdio
from ..core.kinds import Choice
from . import parameters
from .drawing import document, draw_stdout
from .parameters import FILE, operand, plain_option

NAME = "pretty"


@parameters.command(NAME)
@operand("file", repeatable=True, kind=FILE)
@plain_option(
    "--color",
    kind=Choice("auto", "always", "never"),
    metavar="[auto|always|never]",
    default="auto",
    help="Where to draw; auto: on a terminal (auto).",
)
def command(file: tuple[str, ...], color: str) -> int:
    """Draw the Markdown of FILEs or stdin on the terminal while it arrives.

    Text shows at once, as it came; each heading, paragraph, item, table is drawn when it closes, code line by line. In
    a pipe everything is copied as it is. NO_COLOR leaves out the colours.

    \b
    llmstream gen 'Compare three sorting algorithms.' | llmstream pretty
    llmstream pretty README.md
    """
    stdio.require_stdout()
    draws = color != "never" and draw_stdout(NAME)
    text = document(NAME) if color == "always" and not draws else None
    operands = inputs.Operands(NAME, file, "Markdown")
    for _, source in operands:
        while chunk := source.read():
            stdio.write(_lines(text.feed(chunk)) if text else chunk)
    if text:
        stdio.write(_lines(text.close()))
    return operands.status


def _lines(rows: list[str]) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()
