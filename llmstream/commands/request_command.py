"""The base of commands that send requests: their options come from the command line, prompt files and configuration.

Where there is neither prompt file nor configuration, the modules that read them are not loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeVar

from .. import stdio
from ..config import file as config_file
from ..core.kinds import GROUPS, OUTPUT, PROMPT, shown
from ..core.text import is_utf8
from ..errors import UsageError, option
from ..request.choices import by_model, require_cacheable
from ..signals import SignalsDeferred
from . import options, stop_options
from .parameters import FILE, Arguments, Command, in_group

if TYPE_CHECKING:
    from ..core.stop.stops import Stops
    from ..output_file import OutputFile
    from ..providers.registry import Catalogue
    from ..request.prompt_file import PromptFile

F = TypeVar("F", bound=Callable[..., Any])


def _variables(values: tuple[str, ...]) -> dict[str, str]:
    """Returns the variables of `--var` by name. Raises ValueError, UsageError."""
    variables = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not (name and equals):
            raise ValueError(f"must be NAME=VALUE, not {shown(value)}")
        if not is_utf8(value):
            raise UsageError(f"{option('var')} is not valid UTF-8")
        variables[name] = text
    return variables


def _one_file(values: tuple[str, ...]) -> str | None:
    """Returns the file of `--file`. Raises UsageError for two, of which neither is silently left out."""
    if len(values) > 1:
        raise UsageError(f"there can be one prompt file, not {values[0]} and {values[1]}: leave one -f out")
    return values[0] if values else None


def prompt_file(function: F) -> F:
    """Decorates a command's function with the options of prompt files."""
    file = in_group(
        PROMPT,
        "-f",
        "--file",
        kind=FILE,
        repeatable=True,
        join=_one_file,
        metavar="FILE",
        help="Read prompt, model and options from FILE.",
    )
    variable = in_group(
        PROMPT,
        "-v",
        "--var",
        "variables",
        repeatable=True,
        metavar="NAME=VALUE",
        join=_variables,
        help="Fill {{NAME}} in the prompt file (repeatable).",
    )
    return file(variable(function))


def output_file(function: F) -> F:
    """Decorates a command's function with `-O`, which RequestCommand sees to: the function does not get it."""
    help = "Write FILE whole, or leave it as it was."
    return in_group(OUTPUT, "-O", "--output", "output_file", kind=FILE, metavar="FILE", help=help)(function)


def current_output_file() -> OutputFile | None:
    """Returns the file that stdout is by `-O`, where what is written to it can be dropped."""
    return None if _output_file is None or _output_file.is_direct else _output_file


_output_file: OutputFile | None = None  # the one that stdout is, while a command runs
WRITTEN = ("output", "chat", "journal", "record", "stats_file")  # options that name files that a command writes


def _require_different_files(paths: Mapping[str, str | None]) -> None:
    """Raises UsageError where two options name one file to write, or one names no file; devices may be shared."""
    written = {name: path for name in WRITTEN if (path := paths.get(name)) is not None}
    for name, path in written.items():
        if name != "output" and path in ("", "-"):
            raise UsageError(f"{option(name)} needs the name of a file, not {path!r}")
    for (name, path), (other, other_path) in combinations(written.items(), 2):
        is_same = os.path.realpath(path) == os.path.realpath(other_path)
        if is_same and (os.path.isfile(path) or not os.path.exists(path)):
            raise UsageError(f"{option(name)} and {option(other)} name the same file: {path}")


class RequestValues:
    """What the function of a RequestCommand gets, by the names of its parameters."""

    on_line: tuple[str, ...]  # the names of those on the command line
    file: PromptFile | None
    variables: dict[str, str]
    options: list[dict[str, Any]]  # of the request to each model
    catalogue: Catalogue
    until: dict[str, Any]  # the stop conditions
    run_tools: tuple[str, ...] | None
    tool_timeout: float
    jobs: int
    max_cost: float | None
    usage: bool
    quiet: bool
    stats_file: str | None
    dry_run: bool

    def __init__(self, params: dict[str, Any]) -> None:
        self.until = {name: params[name] for name in params if name.startswith("until_")}
        self.__dict__.update(params)

    @property
    def names(self) -> set[str]:
        """The names of the options of a request that are set, for any of the models."""
        return set[str]().union(*self.options)

    @property
    def asks_for_check(self) -> bool:
        """Whether the answer of any of the models is to be checked."""
        return any(each.get("check") for each in self.options)

    def stops(self) -> Stops | None:
        """Returns the stop conditions of one answer. Raises UsageError for a wrong one."""
        return stop_options.stops(dict(self.until), "until-")


class RequestCommand(Command):
    """A command that sends requests.

    Its function gets as `options` those of the request to each model, by name and without the table's defaults, the
    Catalogue as `catalogue`, and, if the command has prompt files, as `file` the PromptFile or None.
    """

    groups = GROUPS

    def run(self, arguments: Arguments, serve: Callable[..., None]) -> Any:
        global _output_file
        params = arguments.values
        path = params.pop("output_file", None)
        _require_different_files({"output": path} | params)
        if path is None:
            return self._run(arguments, serve)
        from ..output_file import OutputFile

        keeps_records = "journal" in params and params["journal"] is None
        with OutputFile(path) as file:
            _output_file = file
            try:
                status = self._run(arguments, serve)
            except BaseException:
                if keeps_records:
                    self._keep(file, "the records so far")
                raise
            finally:
                _output_file = None
            if not status:
                file.commit()
            elif keeps_records:
                self._keep(file, "all records")
            elif not file.is_direct:
                self._note(f"{file.outcome}: run the same command again for the prompts that failed")
        return status

    def _keep(self, file: OutputFile, content: str) -> None:
        """Keeps an output that is not whole beside the file, and notes where it is."""
        if file.is_direct or file.is_empty:
            return
        with SignalsDeferred():
            outcome = file.outcome
            self._note(f"{outcome}: {content} are in {file.keep()}")

    def _note(self, text: str) -> None:
        stdio.note(self.name, text, stays=True)

    def _run(self, arguments: Arguments, serve: Callable[..., None]) -> Any:
        params = arguments.values
        if params.get("quiet"):
            stdio.hold_notes()
        config = config_file.read(os.environ)
        if config.warning:
            stdio.note(self.name, config.warning)
        values = options.take(params)
        file = self._prompt_file(params.get("file"))
        if params.get("variables") and not file:
            raise UsageError("-v sets the variables of a prompt file: name one with -f")
        if file:
            from ..request.layers import add_prompt_file

            add_prompt_file(values, file)
        self._note_system(values.get("system"))
        caches = values.get("cache") or values.get("cache_ttl")
        params |= {"options": by_model(values, config, os.environ), "catalogue": config.catalogue}
        if caches and not (params.get("jsonl") or params.get("chat")):  # which may bring what is cached
            require_cacheable(params["options"])
        if "file" in params:
            params["file"] = file
        params["on_line"] = arguments.on_line
        return super().run(arguments, serve)

    def _note_system(self, system: str | None) -> None:
        """Notes a system prompt that is the name of a file: that file is not read."""
        if system and os.path.isfile(system):
            use = option("system", f"@{system}")
            stdio.note(self.name, f"{system} is a file, but only its name is the system prompt: {use} reads it")

    def _prompt_file(self, path: str | None) -> PromptFile | None:
        if path is None:
            return None
        from ..request.prompt_file import PromptFile

        return PromptFile(path, self.name)
