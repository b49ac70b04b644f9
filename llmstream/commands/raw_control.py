"""The option of commands that write what a model, or another source, has written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .parameters import plain_option

F = TypeVar("F", bound=Callable[..., Any])


def raw_control(function: F) -> F:
    """Decorates a command's function with `--raw-control`, which Command sees to: the function does not get it."""
    return plain_option("--raw-control", is_flag=True, help="Pass on control characters to a terminal.")(function)
