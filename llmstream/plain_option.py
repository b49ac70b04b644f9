"""Options of click whose help is one line, and those that every command has.

click cleans the help of an option of indentation, for which it needs a module that takes 5 ms to load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class PlainOption(click.Option):
    """An option of click; its help is shown as it is."""

    def __init__(self, *args: Any, help: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.help = help


def plain_option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Decorates a command's function with an option; the arguments are those of `click.option`."""
    return click.option(*names, cls=PlainOption, **settings)


def help_option() -> PlainOption:
    """Returns `--help`, in the words of click's own."""
    return _eager(["-h", "--help"], click.Context.get_help, "Show this message and exit.")


def version_option(version: str) -> PlainOption:
    """Returns `--version`, in the words of click's own."""
    return _eager(["--version"], lambda ctx: f"{ctx.find_root().info_name} {version}", "Show the version and exit.")


def _eager(names: list[str], text: Callable[[click.Context], str], help: str) -> PlainOption:
    """Returns an option that prints a text, and ends the program."""

    def show(ctx: click.Context, param: click.Parameter, is_set: bool) -> None:
        if is_set and not ctx.resilient_parsing:
            click.echo(text(ctx), color=ctx.color)
            ctx.exit()

    return PlainOption(names, is_flag=True, expose_value=False, is_eager=True, callback=show, help=help)
