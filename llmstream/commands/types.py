"""Click's side of the kinds of values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ..core.kinds import Kind

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


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
        from click.shell_completion import CompletionItem

        words = _models() if param.name == "model" else self.kind.choices
        items = [CompletionItem(word) for word in words if word.startswith(incomplete)]
        return [*items, CompletionItem(incomplete, type="file")] if self.kind.is_path else items


def _models() -> list[str]:
    """Aliases, and the default models of the providers."""
    from ..config import file as config_file
    from ..errors import Error
    from ..providers.registry import BUILT_IN

    try:
        catalogue = config_file.read(os.environ).catalogue
    except Error:  # the command itself reports it
        catalogue = BUILT_IN
    return [*catalogue.aliases, *(f"{name}/{row.model}" for name, row in catalogue.providers.items() if row.model)]
