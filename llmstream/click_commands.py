"""The commands as click has them: help, completion, and the messages about command lines that are wrong.

A line that is right runs without this module, and without click; see `commands.parameters`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import __version__, commands, explanations
from .commands import COMMANDS
from .commands.parameters import Arguments, Command, Operand, Option, Parameter

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class ParameterType(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """The kind of a parameter's values; the value itself stays text."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self.name = parameter.kind.wanted

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        parameter, kind = self.parameter, self.parameter.kind
        if isinstance(parameter, Operand) and parameter.complete:
            return [CompletionItem(word) for word in parameter.complete(incomplete)]
        words = _models() if parameter.name == "model" else kind.choices
        items = [CompletionItem(word) for word in words if word.startswith(incomplete)]
        is_model_file = parameter.name == "model" and not items
        is_text_file = getattr(parameter, "metavar", "") == "TEXT|@FILE" and incomplete.startswith("@")
        if kind.is_path or is_model_file or is_text_file:
            return [*items, CompletionItem(incomplete, type="file")]
        return items


def _models() -> list[str]:
    """Aliases, and the default models of the providers; where there is none, the beginning of a model's name."""
    import os

    from .config import file as config_file
    from .errors import Error
    from .providers.registry import BUILT_IN, EMBEDDED

    try:
        catalogue = config_file.read(os.environ).catalogue
    except Error:  # the command itself reports it
        catalogue = BUILT_IN
    names = (name if row.transport == EMBEDDED else f"{name}/{row.model}" for name, row in catalogue.providers.items())
    return [*catalogue.aliases, *names]


class ClickCommand(click.Command):
    """A command, whose help lists the options in groups, if it has them, all descriptions in one column."""

    def __init__(self, command: Command) -> None:
        self.command = command
        super().__init__(
            command.name,
            help=command.function.__doc__,
            params=[_click_parameter(parameter) for parameter in command.parameters],
            context_settings={"help_option_names": ["-h", "--help"]},
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a line that only click finds right: one with `--` before the command."""
        present = {name: value for name, value in ctx.params.items() if value not in (None, False, ())}
        texts = {name: value if isinstance(value, tuple) else (value,) for name, value in present.items()}
        values = {each.name: each.value(texts.get(each.name, ())) for each in self.command.parameters}
        return self.command.run(Arguments(values, tuple(texts)), ctx.obj)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self.command.ungrouped:
            super().format_options(ctx, formatter)
            return
        records: dict[str, list[tuple[str, str]]] = {group: [] for group in self.command.groups}
        groups = {each.name: each.group for each in self.command.parameters if isinstance(each, Option)}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                records.setdefault(groups.get(param.name or "") or self.command.ungrouped, []).append(record)
        width = max(len(names) for rows in records.values() for names, _ in rows)
        for group, rows in records.items():
            if rows:
                with formatter.section(group):
                    formatter.write_dl([(names.ljust(width), help) for names, help in rows])


def _click_parameter(parameter: Parameter) -> click.Parameter:
    type, metavar = ParameterType(parameter), getattr(parameter, "metavar", "") or None
    if isinstance(parameter, Operand):
        nargs = -1 if parameter.repeatable else 1
        return click.Argument([parameter.name], nargs=nargs, required=parameter.required, type=type, metavar=metavar)
    assert isinstance(parameter, Option)
    names = [*parameter.names, parameter.name]
    if parameter.kind.is_flag:
        return click.Option(names, is_flag=True, help=parameter.help)
    return click.Option(names, type=type, metavar=metavar, multiple=parameter.repeatable, help=parameter.help)


class Group(click.Group):
    """Loads a subcommand's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return ClickCommand(commands.load(cmd_name)) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        items = [CompletionItem(name, help=help) for name, help in COMMANDS.items() if name.startswith(incomplete)]
        return items or click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        is_completion = ctx.resilient_parsing
        if not (is_completion or args[0] in COMMANDS or args[0].startswith("-")):
            raise click.UsageError(explanations.unknown_command(args), ctx)
        return super().resolve_command(ctx, args)


@click.group("llmstream", cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Small filters for language models that stream.

    \b
    llmstream gen 'Name three rivers.'
    git diff | llmstream gen 'Write a commit message for this.'
    llmstream gen 'A Python script that prints the date.' | llmstream code
    """


def run(words: list[str], serve: Callable[..., None]) -> Any:
    """Runs a line that may be wrong; returns what the command returns. Raises click's exceptions."""
    return cli.main(words, "llmstream", standalone_mode=False, obj=serve)
