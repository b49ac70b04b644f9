"""Prefill: whether a target continues a last message of the assistant's."""

from __future__ import annotations

import re

from ..core.request import Prefill
from ..errors import UsageError, option
from .registry import PROVIDERS
from .target import Target


def continues(target: Target) -> bool:
    """Returns whether a target continues a last message of the assistant's."""
    style = target.row.prefill
    return style is not None and target.api in style.apis and bool(re.match(style.models, target.model))


def prefilled(target: Target, text: str) -> tuple[Target, Prefill]:
    """Returns the target for prefilled requests, and the beginning of its answer. Raises UsageError where it has none.

    A target that cannot continue is refused, and so is a text that its API does.
    """
    style = target.row.prefill
    if style is None or not continues(target):
        name = f"{target.provider}/{target.model}" if target.api == "messages" else f"{target.provider} ({target.api})"
        others = ", ".join(name for name, row in PROVIDERS.items() if row.prefill and not row.prefill.models)
        hint = f"{others} and Claude 4.5 do, and {option('schema')} shapes the answer elsewhere"
        raise UsageError(f"{name} does not support {option('prefill')}: {hint}")
    if text != text.rstrip() and target.api == "messages":
        raise UsageError(f"the Messages API takes no {option('prefill')} that ends with a blank")
    return target._replace(url=target.prefill_url), Prefill(text, style.message, style.body)
