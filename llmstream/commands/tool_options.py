"""The options of gen and map that run tools as programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.kinds import ANSWER, Kind, Seconds
from ..errors import UsageError, option
from ..providers.registry import Catalogue
from .parameters import in_group

if TYPE_CHECKING:
    from ..net.programs import ProgramOptions

F = TypeVar("F", bound=Callable[..., Any])
TIMEOUT = Seconds()


class ToolCommand(Kind):
    """A command that is run without a shell: its words, as a shell would split them."""

    is_path = True

    def read(self, text: str) -> tuple[str, ...]:
        import shlex
        import shutil

        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise UsageError(f"{option('run_tools')}: {text!r} has {str(error).lower()}") from None
        if not words or shutil.which(words[0]) is None:
            raise UsageError(f"{option('run_tools')}: there is no program {(words or ('',))[0]!r}")
        return words


def tool_options(function: F) -> F:
    """Decorates a command's function with the options."""
    help = "Run tools as CMD NAME, arguments on stdin."
    run = in_group(ANSWER, "--run-tools", kind=ToolCommand(), metavar="CMD", help=help)
    help = "Kill a tool after TIME (1m)."
    timeout = in_group(ANSWER, "--tool-timeout", kind=TIMEOUT, default=60.0, metavar="TIME", help=help)
    return run(timeout(function))


def program_options(
    command: tuple[str, ...] | None, has_tools: bool, catalogue: Catalogue, jobs: int, timeout: float
) -> ProgramOptions | None:
    """Returns how tools are run, None without --run-tools. Raises UsageError where that lacks the tools."""
    if not command:
        return None
    if not has_tools:
        raise UsageError(f"{option('run_tools')} needs {option('tools')}: name the file that describes the tools")
    from ..net.programs import ProgramOptions
    from ..providers.child_environment import without_keys

    return ProgramOptions(command, without_keys(os.environ, catalogue), jobs, timeout)
