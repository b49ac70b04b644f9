"""The options of the stop conditions, for every command that has them: click's side of `core.stop.conditions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..core.stop import conditions
from ..core.stop.condition import Condition
from ..core.stop.conditions import ConditionOption, Setting
from ..errors import UsageError
from .types import Seconds

if TYPE_CHECKING:
    from ..core.stop.stops import Stops

TYPES: dict[type, Any] = {
    str: str,
    int: click.IntRange(min=1),
    float: Seconds(),
    bool: bool,
}


def options(prefix: str = "") -> Callable[[click.Command], click.Command]:
    """Decorates a command with the options, as its first ones; with a prefix, the last, with long names only."""

    def decorate(command: click.Command) -> click.Command:
        rows = [_option(row, prefix) for row in conditions.CONDITIONS]
        arguments = [param for param in command.params if isinstance(param, click.Argument)]
        place = len(command.params) if prefix else len(arguments)
        command.params[place:place] = [*rows, *(_setting(row, prefix) for row in conditions.SETTINGS)]
        return command

    return decorate


def _names(name: str, short: str, prefix: str) -> list[str]:
    long = f"{prefix}{name}"
    return [f"--{long}", *([f"-{short}"] if short and not prefix else []), long.replace("-", "_")]


def _option(row: ConditionOption, prefix: str) -> click.Option:
    names = _names(row.name, row.short, prefix)
    if row.kind is bool:
        return click.Option(names, is_flag=True, help=row.help)
    help = row.help.removesuffix(".") + " (repeatable)." if row.repeatable else row.help
    return click.Option(names, type=TYPES[row.kind], metavar=row.metavar, multiple=row.repeatable, help=help)


def _setting(row: Setting, prefix: str) -> click.Option:
    names = _names(row.name, row.short, prefix)
    if row.kind is bool:
        return click.Option(names, is_flag=True, help=row.help)
    return click.Option(names, type=TYPES[row.kind], default=row.default, metavar=row.metavar, help=row.help)


def take(params: dict[str, Any], prefix: str = "") -> tuple[list[Condition], str]:
    """Removes the options' values from a command's parameters: the conditions, in table order, and the mode.

    Raises UsageError for a value that is no condition, and for two modes.
    """
    given = {name: params.pop(f"{prefix}{name}".replace("-", "_")) for name in conditions.KINDS}
    return conditions.from_mapping(given, f"--{prefix}")


# Of a generation.


def stops(params: dict[str, Any], prefix: str) -> Stops | None:
    """As `take`: what ends a generation, if anything does. Raises UsageError for settings without a condition."""
    rows = conditions.SETTINGS
    lonely = [row.name for row in rows if params[f"{prefix}{row.name}".replace("-", "_")] != row.default]
    made, mode = take(params, prefix)
    if not made:
        if lonely:
            raise UsageError(f"--{prefix}{lonely[0]} needs a condition, for example --{prefix}regex PATTERN")
        return None
    from ..core.stop.stops import Stops

    return Stops(made, mode)
