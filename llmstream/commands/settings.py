"""Prompt files and the configuration, for the commands that ask a model.

Where there is neither, what reads them is not loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..config import file as config
from ..errors import UsageError

if TYPE_CHECKING:
    from ..request.prompt_file import PromptFile

F = TypeVar("F", bound=Callable[..., Any])


def _variables(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """The callback of `--var`."""
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
        found[name] = text
    return found


def prompt_file(command: F) -> F:
    """The options of prompt files."""
    var = click.option(
        "-v",
        "--var",
        "variables",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_variables,
        help="Fill {{NAME}} in the prompt file (repeatable).",
    )
    file = click.option(
        "-f", "--file", metavar="FILE", help="Take the prompt, and what to ask with, from a prompt file."
    )
    return file(var(command))


class Command(click.Command):
    """A command that asks a model.

    Its callback gets the Catalogue as `known`, and as `file` the PromptFile, or None.
    """

    def invoke(self, ctx: click.Context) -> Any:
        params = ctx.params
        settings = config.read(os.environ)
        file = self._prompt_file(params.get("file"))
        if params.get("variables") and not file:
            raise UsageError("-v fills the places of a prompt file: name one with -f")
        if file or settings.defaults or settings.by_model:
            from .defaults import Options, take_defaults, take_head

            taken = Options(ctx)
            if file:
                take_head(file, taken)
            take_defaults(settings, params["model"], taken)
        params["catalogue"] = settings.catalogue
        if "file" in params:
            params["file"] = file
        return super().invoke(ctx)

    def _prompt_file(self, path: str | None) -> PromptFile | None:
        if path is None:
            return None
        from ..request.prompt_file import PromptFile

        return PromptFile(path, self.name or "")
