"""Styles as escape sequences: of 16 colours, which are the terminal's own and so fit light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

Paint = Callable[[str, str], str]  # text and style to text with escape sequences

# For rich, which asks it for the styles of texts. Nothing is written to it.
CONSOLE = Console(color_system="standard", force_terminal=True, legacy_windows=False)


def in_colors(text: str, style: str) -> str:
    """Returns text in a style, such as "bold red"."""
    before, after = _sequences(style)
    return f"{before}{text}{after}" if text else ""


def without_colors(text: str, style: str) -> str:
    """Returns text in a style without its colours."""
    before, after = _sequences(style, False)
    return f"{before}{text}{after}" if text else ""


@cache
def _sequences(style: str, has_colors: bool = True) -> tuple[str, str]:
    parsed = Style.parse(style)
    shown = parsed if has_colors else parsed.without_color
    before, _, after = shown.render("x", color_system=ColorSystem.STANDARD).partition("x")
    return before, after


def wrapped(text: Text, width: int) -> list[Text]:
    """Returns the lines of a text, without blanks at their ends; at least one. May change the text."""
    if "\n" in text.plain or "\t" in text.plain or cell_len(text.plain) > width:
        lines = list(text.wrap(CONSOLE, width, overflow="fold")) or [text]
    else:
        lines = [text]  # most cells of tables; wrapping takes four times as long
    for line in lines:
        line.rstrip()
    return lines


def rendered(line: Text, paint: Paint) -> str:
    """Returns a line of styled text with escape sequences."""
    if not line.spans:
        return paint(line.plain, str(line.style)) if line.style else line.plain
    return "".join(paint(text, str(style or "")) for text, style, _ in line.render(CONSOLE))
