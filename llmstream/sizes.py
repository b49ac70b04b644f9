"""Sizes as options take them: 65536, 64K, 64M, 1G."""

from __future__ import annotations

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
