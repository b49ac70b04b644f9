"""What models take, where it is known: efforts, and a temperature beside them. Models that are not here take anything.

Sources: the providers' pages on reasoning, and the errors of their servers. A row of the registry names its table.
"""

import re
from typing import NamedTuple

from ..core.request import EFFORTS, Request
from ..errors import UsageError, option

DEFAULTS = {"temperature": 1, "top_p": 1}  # values of sampling that all models take


class ModelLimits(NamedTuple):
    """What some models take.

    `models` is a regular expression for the whole name. `sampling` are the efforts beside which a temperature is taken,
    "" for a request without an effort; None where it is taken always, or where that is not known. `tools`: whether they
    can be offered any.
    """

    models: str
    efforts: tuple[str, ...]
    sampling: tuple[str, ...] | None = None
    tools: bool = True


def check(table: tuple[ModelLimits, ...], request: Request) -> None:
    """Raises UsageError for an effort, a temperature or tools that the request's model does not take."""
    sampling = [name for name, value in DEFAULTS.items() if request.same_names.get(name, value) != value]
    if request.effort is None and not (sampling or request.tools):
        return
    row = next((row for row in table if re.fullmatch(row.models, request.model)), None)
    if row is None:
        return
    model, effort = request.model, request.effort or ""
    if effort and effort not in row.efforts:
        raise UsageError(f"{model} has no {option('effort', effort)}: {_advice(row.efforts)}")
    if request.tools and not row.tools:
        raise UsageError(f"{model} has no {option('tools')}: leave it out")
    if sampling and row.sampling is not None and effort not in row.sampling:
        beside = next(filter(None, row.sampling), "")
        advice = f"use {option('effort', beside)}, or leave it out" if beside else "leave it out"
        raise UsageError(f"{model} has no {option(sampling[0])}{' while it thinks' if beside else ''}: {advice}")


def _advice(efforts: tuple[str, ...]) -> str:
    if not efforts:
        return "leave it out"
    return f"use one of {', '.join(efforts)}" if len(efforts) > 1 else f"use {option('effort', efforts[0])}"


LOW, MEDIUM, HIGH = "low", "medium", "high"
DATE = r"(-\d{4}-\d\d-\d\d)?"
THINKS_LATER = ("", "none")  # sampling of models that think only where an effort says so

# OpenAI documentation, "Reasoning models", and the pages of the models.
OPENAI = (
    ModelLimits(r"gpt-(3\.5|4).*|chatgpt-4o-latest|gpt-5-chat-latest", ()),
    ModelLimits(rf"o[134](-mini|-pro)?{DATE}", (LOW, MEDIUM, HIGH), ()),
    ModelLimits(rf"gpt-5(-mini|-nano)?{DATE}", ("minimal", LOW, MEDIUM, HIGH), ()),
    ModelLimits(rf"gpt-5-pro{DATE}", (HIGH,), ()),
    ModelLimits(rf"gpt-5\.1{DATE}", ("none", LOW, MEDIUM, HIGH), THINKS_LATER),
    ModelLimits(rf"gpt-5\.[24](-mini|-nano)?{DATE}", ("none", LOW, MEDIUM, HIGH, "xhigh"), THINKS_LATER),
    ModelLimits(rf"gpt-5\.[245]-pro{DATE}", (MEDIUM, HIGH, "xhigh"), ()),
    ModelLimits(rf"gpt-5\.5{DATE}", ("none", LOW, MEDIUM, HIGH, "xhigh"), ("none",)),
    ModelLimits(r"gpt-5\.6-(sol|terra)", EFFORTS, ("none",)),
    ModelLimits(r"gpt-5\.6-luna|gpt-6-sol|gpt-6-luna", ("none", LOW, MEDIUM, HIGH, "xhigh", "max"), ("none",)),
    ModelLimits(r"gpt-6-astra", (LOW, MEDIUM, HIGH, "xhigh", "max"), ()),
)
# Gemini API documentation, "OpenAI compatibility": only 2.5 Flash can do without thinking.
GEMINI = (
    ModelLimits(r"gemini-2\.5-flash.*", ("none", "minimal", LOW, MEDIUM, HIGH)),
    ModelLimits(r"gemini-(2\.5-pro|3).*", ("minimal", LOW, MEDIUM, HIGH)),
)
# The model's own chat template, which has no place for either.
SMOLLM2 = (ModelLimits(r"smollm2-.*", (), tools=False),)
# Groq documentation, "Reasoning". Qwen has one effort more, "default", which is that of a request without one.
GROQ = (
    ModelLimits(r"openai/gpt-oss-.*", (LOW, MEDIUM, HIGH)),
    ModelLimits(r"qwen/qwen3-32b", ("none",)),
    ModelLimits(r"(meta-llama/)?llama-.*", ()),
)
# Mistral documentation, "Adjustable reasoning".
MISTRAL = (ModelLimits(r"mistral-small-latest|mistral-medium-3[.-]5", ("none", HIGH)),)
# xAI documentation, "Reasoning".
XAI = (
    ModelLimits(r"grok-4\.3", ("none", LOW, MEDIUM, HIGH)),
    ModelLimits(r"grok-4\.5", (LOW, MEDIUM, HIGH)),
    ModelLimits(r"grok-4\.20-multi-agent.*", (LOW, MEDIUM, HIGH, "xhigh")),
    ModelLimits(r"grok-4\.20-.*reasoning", ()),
)
