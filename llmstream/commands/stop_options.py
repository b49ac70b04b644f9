"""The options of the stop conditions, for every command that has them: the rows of `core.stop.conditions`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import signals
from ..core.kinds import STOP
from ..core.stop import conditions
from ..core.stop.condition import Condition
from ..core.stop.conditions import ConditionOption, Setting
from ..errors import UsageError
from . import parameters
from .parameters import F, Option

if TYPE_CHECKING:
    from ..core.stop.stops import Stops

CPU_S = 2.0  # of a regular expression or of a check, for 65,536 characters of text


def options(prefix: str = "") -> Callable[[F], F]:
    """Decorates a command's function with the options; with a prefix, they have long names only."""
    return parameters.add(*(_option(row, prefix) for row in conditions.ROWS.values()))


def _option(row: ConditionOption | Setting, prefix: str) -> Option:
    names = [f"--{prefix}{row.name}"]
    if row.short and not prefix:
        names.append(f"-{row.short}")
    if row.kind.is_flag:
        return Option(*names, group=STOP, is_flag=True, help=row.help)
    default = row.default if isinstance(row, Setting) else None
    repeatable = row.kind.repeatable
    help = row.help.removesuffix(".") + " (repeatable)." if repeatable else row.help
    return Option(
        *names, group=STOP, kind=row.kind, default=default, metavar=row.metavar, repeatable=repeatable, help=help
    )


def limit_cpu_time() -> None:
    """From now on ends a regular expression, or a check of an answer, that takes too much CPU time."""
    from ..core.cpu_limit import charge

    signals.call_after_cpu_time(partial(charge, limit_s=CPU_S))


def take(params: dict[str, Any], prefix: str = "") -> tuple[list[Condition], str]:
    """Removes the options from a command's parameters, and returns the conditions in table order, and the mode.

    Raises UsageError for a value that is no condition, and for two modes.
    """
    values = {name: params.pop(f"{prefix}{name}".replace("-", "_")) for name in conditions.ROWS}
    if values["regex"]:
        limit_cpu_time()
    try:
        return conditions.from_mapping(values)
    except UsageError as error:
        raise UsageError(conditions.with_prefix(error.message, prefix)) from None


def stops(params: dict[str, Any], prefix: str) -> Stops | None:
    """Returns what ends a generation, or None without conditions; removes the options as `take` does."""
    matchers, mode = take(params, prefix)
    if not matchers:
        return None
    from ..core.stop.stops import Stops

    return Stops(matchers, mode)
