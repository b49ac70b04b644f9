"""The option of commands that write what a model, or another source, has written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .. import stdio
from ..plain_option import plain_option

F = TypeVar("F", bound=Callable[..., Any])


def _show_raw(ctx: click.Context, param: click.Parameter, is_raw: bool) -> None:
    if is_raw:
        stdio.make_display = None


def raw_control(function: F) -> F:
    """Decorates a command's function with `--raw-control`, which is not passed to it."""
    return plain_option(
        "--raw-control",
        is_flag=True,
        expose_value=False,
        callback=_show_raw,
        help="Pass on control characters to a terminal.",
    )(function)
