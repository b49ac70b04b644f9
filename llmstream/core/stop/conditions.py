"""The table of stop conditions, and the conditions built from options.

A condition has one class and one row. `until` and, under longer names, every command that generates take their options
from these rows; `from_mapping` takes them by name, from Python or JSON.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from ...errors import UsageError, nearest, option, spell
from ..kinds import Flag, Integer, Kind, Seconds, Texts
from .condition import EXCLUSIVE, INCLUSIVE, ONLY, Condition
from .counts import Bytes, Characters, Fixed, Idle, Lines, Timed, Words

WINDOW = 64 * 1024


class Settings(NamedTuple):
    """The settings that all conditions share."""

    times: int = 1  # which match counts
    ignore_case: bool = False
    window: int = WINDOW  # characters that a possible match of a regular expression may span


class ConditionOption(NamedTuple):
    """The row of a condition.

    `help` is the sentence of --help, `text` the manual page's, where it says more; marks as in request/options.py.
    """

    name: str
    short: str
    metavar: str
    kind: Kind
    make: Callable[[Any, Settings], Condition]
    help: str
    text: str = ""


def _regex(pattern: str, settings: Settings) -> Condition:
    """Searches early where CPython's private parser of patterns can be read, and late elsewhere."""
    arguments = pattern, re.IGNORECASE if settings.ignore_case else 0, settings.times, settings.window
    try:
        from .search import Search

        return Search(*arguments)
    except (ImportError, NotImplementedError):
        from .late_search import LateSearch

        return LateSearch(*arguments)


def _fixed(text: str, settings: Settings) -> Condition:
    return _regex(re.escape(text), settings) if settings.ignore_case and text else Fixed(text, settings.times)


def _code_block(flag: bool, settings: Settings) -> Condition:
    from .code_block import CodeBlock

    return CodeBlock(settings.times)


def _json(flag: bool, settings: Settings) -> Condition:
    from .json_value import JsonValue

    return JsonValue(settings.times)


CONDITIONS = (
    ConditionOption("regex", "e", "PATTERN", Texts(), _regex, "Stop at a match of regex PATTERN.",
        "A match of *pattern*, a regular expression of Python, as `re.search` finds it in the whole text: the leftmost "
        "one, with Python's greedy and lazy repetitions.\n`^` is the start of the text; after `(?m)`, as in "
        "`(?m)^Fourth`, it is the start of each line.\nA pattern that matches the empty text is refused.\n"
        "One that takes more than 2 seconds of processor time for 65536 characters of text is an error; `llmstream "
        "serve` allows 0.2 seconds, and Python's functions set no limit."),
    ConditionOption("fixed", "F", "TEXT", Texts(), _fixed, "Stop at TEXT.", "The text itself."),
    ConditionOption("code-block", "", "", Flag(), _code_block, "Stop after a whole fenced code block.",
        "A whole fenced block of code, from the line of the opening fence to that of the closing one."),
    ConditionOption("json", "", "", Flag(), _json, "Stop after a whole JSON object or array.",
        "A whole JSON object or array, whatever stands around it.\n"
        "An array counts if it holds an object or array, or stands alone on its line or lines: `[1]` in prose does "
        "not.\n"
        "One of more than 67108864 characters does not count, and a note says so."),
    ConditionOption("lines", "", "N", Integer(1), lambda n, s: Lines(n * s.times), "Stop after N lines.",
        "The *n*th line; a last line without a newline counts."),
    ConditionOption("words", "", "N", Integer(1), lambda n, s: Words(n * s.times), "Stop after N words.",
        "The *n*th word, once white space or the end of the input follows it."),
    ConditionOption("chars", "", "N", Integer(1), lambda n, s: Characters(n * s.times), "Stop after N characters.",
        "The character number *n*."),
    ConditionOption("bytes", "", "N", Integer(1), lambda n, s: Bytes(n * s.times), "Stop after N bytes.",
        "The byte number *n*."),
    ConditionOption("seconds", "", "TIME", Seconds(or_none=False), lambda s, _: Timed(s),
        "Stop TIME after the start: 30s, 5m.", "*time* since the start."),
    ConditionOption("idle", "", "TIME", Seconds(or_none=False), lambda s, _: Idle(s),
        "Stop at TIME of silence after the first input.", "*time* of silence after the first input."),
)  # fmt: skip
MODES = (EXCLUSIVE, ONLY)


class Setting(NamedTuple):
    """The row of a setting that all conditions share."""

    name: str
    short: str
    metavar: str
    kind: Kind
    help: str
    default: Any = False
    text: str = ""


SETTINGS = (
    Setting("ignore-case", "i", "", Flag(), "Match letters in either case."),
    Setting("count", "k", "N", Integer(1), "Stop at the N-th match (1).", 1,
        "Wait for the match number *n*.\nMatches do not overlap, and times of the clock count once."),
    Setting("window", "", "N", Integer(1), f"Keep N characters to match PATTERN ({WINDOW}).", WINDOW,
        "Keep up to *n* characters for a match of a *pattern*.\n"
        "A longer match does not count, and a note says so."),
    Setting(EXCLUSIVE, "x", "", Flag(), "End the output before the match."),
    Setting(ONLY, "o", "", Flag(), "Print the match alone."),
)  # fmt: skip


class UntilOptions(TypedDict, total=False):
    """The options by name. None and False mean that an option is not set."""

    regex: str | list[str] | None
    fixed: str | list[str] | None
    code_block: bool | None
    json: bool | None
    lines: int | None
    words: int | None
    chars: int | None
    bytes: int | None
    seconds: float | str | None
    idle: float | str | None
    ignore_case: bool | None
    count: int | None
    window: int | None
    exclusive: bool | None
    only: bool | None


def key(row: ConditionOption | Setting) -> str:
    """Returns the name of an option in Python and JSON."""
    return row.name.replace("-", "_")


ROWS: dict[str, ConditionOption | Setting] = {key(row): row for row in (*CONDITIONS, *SETTINGS)}


def from_mapping(until: Mapping[str, object] | UntilOptions) -> tuple[list[Condition], str]:
    """Builds the conditions, in the order of the table, and returns them with the output mode.

    `until` has the options by name; without a condition among them the list is empty. Raises UsageError for an unknown
    name, an invalid value, two output modes, and settings without a condition.
    """
    options = {name: _values(name, value) for name, value in until.items()}
    first = {name: values[0] for name, values in options.items() if values}
    settings = Settings(first.get("count", 1), first.get("ignore_case", False), first.get("window", WINDOW))
    modes = [mode for mode in MODES if mode in first]
    if len(modes) > 1:
        raise UsageError(f"{option(EXCLUSIVE)} and {option(ONLY)} exclude each other: choose one")
    conditions = [row.make(value, settings) for row in CONDITIONS for value in options.get(key(row), ())]
    for row in SETTINGS if not conditions else ():
        if first.get(key(row), row.default) != row.default:
            raise UsageError(f"{option(row.name)} needs a condition, for example {option('regex', 'PATTERN')}")
    return conditions, modes[0] if modes else INCLUSIVE


def with_prefix(message: str, prefix: str) -> str:
    """Renames the options marked in a message for a command whose names for them begin with `prefix`."""
    return spell(message, lambda name, value: option(f"{prefix}{name}", value))


def _values(name: str, value: Any) -> Sequence[Any]:
    """Returns the values of an option, () where it is not set. Raises UsageError for a wrong name or value."""
    row = ROWS.get(name)
    if row is None:
        near = nearest(name, ROWS)
        hint = f"did you mean {option(near)}?" if near else f"the conditions are {', '.join(ROWS)}"
        raise UsageError(f"no such stop condition: {option(name)}: {hint}")
    if value is None or value is False:
        return ()
    try:
        values = row.kind.parse(value)
    except ValueError as error:
        raise UsageError(f"{option(name)} {error}") from None
    return values if isinstance(values, tuple) else (values,)
