"""Click's side of the table of options: its rows as options of a command, and its kinds as click's types."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..config import file as config_file
from ..errors import Error
from ..providers.registry import BUILT_IN
from ..request.kinds import Kind
from ..request.options import COMMAND, OPTIONS, Option, at

F = TypeVar("F", bound=Callable[..., Any])


class Value(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """A kind of the table as a type of click."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = kind.wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.kind.read(value)
        except ValueError as error:
            name = "/".join(param.opts) if param else "the value"
            raise click.UsageError(f"{name} {error}", ctx) from None

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        words = _models() if param.name == "model" else self.kind.choices
        items = [CompletionItem(word) for word in words if word.startswith(incomplete)]
        return [*items, CompletionItem(incomplete, type="file")] if self.kind.is_path else items


def of_request(*groups: str) -> Callable[[F], F]:
    """Decorates a command's function with the options of a request, in the table's order; of all groups by default."""
    rows = [row for row in at(COMMAND) if row.group in groups or not groups]

    def decorate(function: F) -> F:
        for row in reversed(rows):
            function = option(row)(function)
        return function

    return decorate


def option(row: Option) -> Callable[[F], F]:
    """Returns a row as an option of click. Its default is "not set", so that a lower layer may set it."""
    names = [*([f"-{row.short}"] if row.short else []), f"--{row.long}", row.name]
    kind = row.kind
    if kind.is_flag:
        return click.option(*names, is_flag=True, default=None, help=row.help)
    metavar = row.metavar or f"[{'|'.join(kind.choices)}]"
    help = row.help.removesuffix(".") + " (repeatable)." if kind.repeatable else row.help
    return click.option(*names, type=Value(kind), metavar=metavar, multiple=kind.repeatable, help=help)


def take(params: dict[str, Any]) -> dict[str, Any]:
    """Removes the options of a request from a command's parameters, and returns those that are set, by name."""
    values = {}
    for name in params.keys() & OPTIONS.keys():
        value = params.pop(name)
        if value not in (None, ()):
            kind = OPTIONS[name].kind
            values[name] = kind.join(value) if kind.repeatable else value
    return values


def _models() -> list[str]:
    """Aliases, and the default models of the providers."""
    try:
        catalogue = config_file.read(os.environ).catalogue
    except Error:  # the command itself reports it
        catalogue = BUILT_IN
    return [*catalogue.aliases, *(f"{name}/{row.model}" for name, row in catalogue.providers.items() if row.model)]
