"""Sizes as options take them: 65536, 64K, 64M, 1G; and durations: 10, 0.5."""

from __future__ import annotations

from typing import Any

import click

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """A click callback: the number of characters that value says."""
    number = value.upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in UNITS else ""
    digits = number.removesuffix(unit)
    if not (digits.isascii() and digits.isdigit() and int(digits)):
        raise click.BadParameter(f"{value!r} is not a size: give 64K, 64M or 1G")
    return int(digits) * UNITS[unit]


class Seconds(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """A duration, and not for ever. With `or_none`, 0 says that there is none; else it is more than 0."""

    name = "seconds"

    def __init__(self, *, or_none: bool = False) -> None:
        self._or_none = or_none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not (0 < seconds < float("inf") or (self._or_none and seconds == 0)):  # nan is neither
            self.fail(f"{value!r} is not a number of seconds" + ("" if self._or_none else " above 0"), param, ctx)
        return seconds
