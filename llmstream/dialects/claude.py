"""What the Claude models take: efforts, thinking and sampling parameters, by the model's name.

A name may be that of a cloud or a gateway, which has the model's within it.
Source: Anthropic documentation, "Thinking", "Effort", and "What's new" and the migration guide of each model.
"""

from __future__ import annotations

from typing import NamedTuple

BUDGET, ADAPTIVE = "budget", "adaptive"
EFFORTS = ("none", "low", "medium", "high", "xhigh", "max")
WITHOUT_XHIGH = ("none", "low", "medium", "high", "max")


class Features(NamedTuple):
    """What a model takes.

    `thinking` is BUDGET for a number of tokens, ADAPTIVE for an effort, "" if unknown. `off` is the type of thinking
    that turns it off, "" for none: leave the field out, then. A model without the effort "none" always thinks.
    `sampling` says whether it takes temperature and top_p.
    """

    thinking: str = ADAPTIVE
    efforts: tuple[str, ...] = EFFORTS
    off: str = "disabled"
    sampling: bool = False


MODELS: tuple[tuple[tuple[str, ...], Features], ...] = (  # by parts of names: the first that matches
    (("haiku-4-5", "sonnet-4-5", "opus-4-5"), Features(BUDGET, sampling=True)),
    (("sonnet-4-6", "opus-4-6"), Features(efforts=WITHOUT_XHIGH, sampling=True)),
    (("opus-4-7", "opus-4-8"), Features(off="")),  # think only where a request says so
    (("sonnet-5-5",), Features(off="between_tools")),
    (("mythos-preview",), Features(efforts=WITHOUT_XHIGH[1:])),
    (("fable", "mythos", "opus-5-5"), Features(efforts=EFFORTS[1:])),
    (("haiku-5", "sonnet-5", "opus-5"), Features()),
)
UNKNOWN = Features("", sampling=True)


def features(model: str) -> Features:
    """Returns what a model takes, by its name."""
    _, _, name = model.replace(".", "-").partition("claude-")
    return next((row for names, row in MODELS if name.startswith(names)), UNKNOWN)
