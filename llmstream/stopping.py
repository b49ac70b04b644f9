"""The options of the stop conditions, for every command that has them: click's side of `core.conditions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from .core import conditions
from .core.condition import Condition
from .core.conditions import Option, Settings

TYPES: dict[type, Any] = {
    str: str,
    int: click.IntRange(min=1),
    float: click.FloatRange(min=0, min_open=True),
    bool: bool,
}


def options(prefix: str = "") -> Callable[[click.Command], click.Command]:
    """Decorates a command with the options; with a prefix, they have long names only."""

    def decorate(command: click.Command) -> click.Command:
        rows = [_option(row, prefix) for row in conditions.CONDITIONS]
        command.params[:0] = [*rows, *_settings(prefix)]
        return command

    return decorate


def _option(row: Option, prefix: str) -> click.Option:
    flags = [f"--{prefix}{row.name}", *([f"-{row.short}"] if row.short and not prefix else [])]
    help = row.help + (" (repeatable)" if row.repeatable else "")
    if row.kind is bool:
        return click.Option([*flags, _name(row, prefix)], is_flag=True, help=help)
    return click.Option(
        [*flags, _name(row, prefix)],
        type=TYPES[row.kind],
        metavar=row.metavar,
        multiple=row.repeatable,
        help=help,
    )


def _settings(prefix: str) -> list[click.Option]:
    def names(name: str, short: str) -> list[str]:
        return [f"--{prefix}{name}", *([] if prefix else [f"-{short}"] if short else [])]

    return [
        click.Option(names("ignore-case", "i"), is_flag=True, help="Letters match in either case."),
        click.Option(names("count", "k"), type=TYPES[int], default=1, metavar="N", help="Wait for the N-th time (1)."),
        click.Option(
            names("window", ""),
            type=TYPES[int],
            default=conditions.WINDOW,
            metavar="N",
            help=f"Characters that a match of a PATTERN may span ({conditions.WINDOW}).",
        ),
    ]


def _name(row: Option, prefix: str) -> str:
    return f"{prefix}{row.name}".replace("-", "_")


def take(params: dict[str, Any], prefix: str = "") -> list[Condition]:
    """Removes the options' values from a command's parameters; the conditions that they ask for, in table order."""

    def pop(name: str) -> Any:
        return params.pop(f"{prefix}{name}".replace("-", "_"))

    settings = Settings(pop("count"), pop("ignore-case"), pop("window"))
    made: list[Condition] = []
    for row in conditions.CONDITIONS:
        value = pop(row.name)
        values = value if row.repeatable else () if value is None or value is False else (value,)
        made += [row.make(value, settings) for value in values]
    return made
