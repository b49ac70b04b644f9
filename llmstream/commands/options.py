"""The rows of the table of options as options of a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..core.json_codec import to_json
from ..core.text import is_utf8
from ..errors import UsageError
from ..errors import option as marked
from ..request.options import COMMAND, Option, at
from .parameters import in_group

F = TypeVar("F", bound=Callable[..., Any])


def of_request(*groups: str) -> Callable[[F], F]:
    """Decorates a command's function with the options of a request, in the table's order; of all groups by default."""
    rows = [row for row in at(COMMAND) if row.group in groups or not groups]

    def decorate(function: F) -> F:
        for row in reversed(rows):
            function = option(row)(function)
        return function

    return decorate


def option(row: Option) -> Callable[[F], F]:
    """Returns a row as an option of a command. Its default is "not set", so that a lower layer may set it."""
    names = [*([f"-{row.short}"] if row.short else []), f"--{row.long}", row.name]
    kind = row.kind
    if kind.is_flag:
        return in_group(row.group, *names, is_flag=True, help=row.help)
    help = row.help.removesuffix(".") + " (repeatable)." if kind.repeatable else row.help
    return in_group(row.group, *names, kind=kind, metavar=row.metavar, repeatable=kind.repeatable, help=help)


def take(params: dict[str, Any]) -> dict[str, Any]:
    """Removes the options of a request from a command's parameters, and returns those that are set, by name.

    Raises UsageError for a value that cannot be sent; only the name of a file may have bytes that are not UTF-8.
    """
    values = {}
    for name, kind in [(row.name, row.kind) for row in at(COMMAND) if row.name in params]:
        value = params.pop(name)
        if not (value is None or value is False or value == ()):
            value = kind.join(value) if kind.repeatable else value
            is_path = name == "model" or (kind.is_path and isinstance(value, str | tuple))
            if not (is_path or is_utf8(to_json(value))):
                raise UsageError(f"{marked(name)} is not valid UTF-8")
            values[name] = value
    return values
