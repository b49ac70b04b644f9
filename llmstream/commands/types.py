"""Click's side of the kinds of values, and of the groups of options."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..core.kinds import OUTPUT, Kind
from ..errors import UsageError, option
from ..plain_option import PlainOption

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

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
        from click.shell_completion import CompletionItem

        words = _models() if param.name == "model" else self.kind.choices
        items = [CompletionItem(word) for word in words if word.startswith(incomplete)]
        is_model_file = param.name == "model" and not items
        is_text_file = getattr(param, "metavar", "") == "TEXT|@FILE" and incomplete.startswith("@")
        if self.kind.is_path or is_model_file or is_text_file:
            return [*items, CompletionItem(incomplete, type="file")]
        return items


class FileName(click.ParamType):  # type: ignore[type-arg]
    """The name of a file, or "-": any text, which shells complete as a path."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class ToolCommand(click.ParamType):  # type: ignore[type-arg]
    """A command that is run without a shell: its words, as a shell would split them."""

    name = "command"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        import shlex
        import shutil

        try:
            words = tuple(shlex.split(value))
        except ValueError as error:
            raise UsageError(f"{option('run_tools')}: {value!r} has {str(error).lower()}") from None
        if not words or shutil.which(words[0]) is None:
            raise UsageError(f"{option('run_tools')}: there is no program {(words or ('',))[0]!r}")
        return words

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


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


class GroupedOption(PlainOption):
    """An option and the heading under which `--help` lists it."""

    def __init__(self, *args: Any, group: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.group = group


def in_group(group: str, *names: str, **settings: Any) -> Callable[[F], F]:
    """Decorates a command's function with an option of a group; the other arguments are those of `click.option`."""
    return click.option(*names, cls=GroupedOption, group=group, **settings)


class GroupedCommand(click.Command):
    """A command whose help lists the options in groups, all descriptions in one column.

    The groups of `groups` come first, the others in the order of their first options. `ungrouped` is the group of
    options that name none, such as `--help`.
    """

    groups: tuple[str, ...] = ()

    def __init__(self, *args: Any, ungrouped: str = OUTPUT, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._ungrouped = ungrouped

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records: dict[str, list[tuple[str, str]]] = {group: [] for group in self.groups}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                records.setdefault(getattr(param, "group", self._ungrouped), []).append(record)
        width = max(len(names) for rows in records.values() for names, _ in rows)
        for group, rows in records.items():
            if rows:
                with formatter.section(group):
                    formatter.write_dl([(names.ljust(width), help) for names, help in rows])
