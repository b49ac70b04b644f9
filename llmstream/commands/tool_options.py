"""The options of gen and map that run tools as programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.kinds import ANSWER, Seconds
from ..errors import UsageError, option
from ..providers.registry import Catalogue
from .types import ToolCommand, Value, in_group

if TYPE_CHECKING:
    from ..net.programs import ProgramOptions

F = TypeVar("F", bound=Callable[..., Any])
TIMEOUT = Value(Seconds())


def tool_options(function: F) -> F:
    """Decorates a command's function with the options."""
    help = "Run tools as CMD NAME, arguments on stdin."
    run = in_group(ANSWER, "--run-tools", type=ToolCommand(), metavar="CMD", help=help)
    help = "Kill a tool after TIME (1m)."
    timeout = in_group(ANSWER, "--tool-timeout", type=TIMEOUT, default=60.0, metavar="TIME", help=help)
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
