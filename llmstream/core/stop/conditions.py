"""The options by which stop conditions are asked for.

One class a condition, and one row an option: `until`, and under longer names every command that generates, take their
options from these rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .condition import Condition
from .counts import Bytes, Characters, Fixed, Idle, Lines, Timed, Words

WINDOW = 64 * 1024


class Settings(NamedTuple):
    """What the conditions have in common."""

    times: int = 1  # the occurrence that is waited for
    ignore_case: bool = False
    window: int = WINDOW  # characters that a possible match of a regular expression may span


class Option(NamedTuple):
    """A row. `kind` is the type of the option's value: str, int (at least 1), float (above 0), bool for none."""

    name: str
    short: str
    metavar: str
    kind: type
    make: Callable[[Any, Settings], Condition]
    help: str
    repeatable: bool = False


def _regex(pattern: str, settings: Settings) -> Condition:
    from .search import Search  # with a part of `re` that nothing else needs

    return Search(pattern, re.IGNORECASE if settings.ignore_case else 0, settings.times, settings.window)


def _fixed(text: str, settings: Settings) -> Condition:
    return _regex(re.escape(text), settings) if settings.ignore_case and text else Fixed(text, settings.times)


def _code_block(wanted: bool, settings: Settings) -> Condition:
    from .code_block import CodeBlock

    return CodeBlock(settings.times)


def _json(wanted: bool, settings: Settings) -> Condition:
    from .json_value import JsonValue

    return JsonValue(settings.times)


CONDITIONS = (
    Option("regex", "e", "PATTERN", str, _regex, "A match of PATTERN, as Python's re.search finds it.", True),
    Option("fixed", "F", "TEXT", str, _fixed, "The text TEXT.", True),
    Option("code-block", "", "", bool, _code_block, "A whole fenced code block."),
    Option("json", "", "", bool, _json, "A whole JSON object or array."),
    Option("lines", "", "N", int, lambda n, s: Lines(n * s.times), "N lines."),
    Option("words", "", "N", int, lambda n, s: Words(n * s.times), "N words."),
    Option("chars", "", "N", int, lambda n, s: Characters(n * s.times), "N characters."),
    Option("bytes", "", "N", int, lambda n, s: Bytes(n * s.times), "N bytes."),
    Option("seconds", "", "S", float, lambda s, _: Timed(s), "S seconds since the start."),
    Option("idle", "", "S", float, lambda s, _: Idle(s), "S seconds of silence after the first input."),
)
