"""What the Claude models take: efforts, thinking and sampling parameters, by the model's name.

A name may be that of a cloud or a gateway, which has the model's within it. Of names without a row nothing is known.
Source: Anthropic documentation, "Thinking", "Effort", and "What's new" and the migration guide of each model.
"""

from __future__ import annotations

import re
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


MODELS = (  # the first that matches
    (r"claude-(haiku|sonnet|opus)-4[-.]5", Features(BUDGET, sampling=True)),
    (r"claude-(sonnet|opus)-4[-.]6", Features(efforts=WITHOUT_XHIGH, sampling=True)),
    (r"claude-opus-4[-.][78]", Features(off="")),  # does not think unless a request says so
    (r"claude-sonnet-5[-.]5", Features(off="between_tools")),
    (r"claude-mythos-preview", Features(efforts=WITHOUT_XHIGH[1:])),
    (r"claude-(fable|mythos|opus-5[-.]5)", Features(efforts=EFFORTS[1:])),
    (r"claude-[a-z]+-[5-9]", Features()),
    ("", Features("", sampling=True)),
)


def features(model: str) -> Features:
    """Returns what a model takes, by its name."""
    return next(row for pattern, row in MODELS if re.search(pattern, model))
