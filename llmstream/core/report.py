"""Reports the outcome of one generation: a record for machines, a line for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import Error, Incomplete, Refused, option
from .events import Finish, Usage
from .exchange import Exchange
from .json_codec import loads_strict

VERDICTS: dict[str, tuple[type[Error], str, str]] = {  # by finish reason: the error, what is wrong, what to do
    "refusal": (Refused, "the model refused", ""),
    "content_filter": (Refused, "the provider's content filter ended the answer", ""),
    "length": (Incomplete, "cut at the provider's length limit", ""),
    "paused": (
        Incomplete,
        "the provider paused the answer",
        "it waits for the conversation to be sent back",
    ),
    "incomplete": (Incomplete, "the answer is incomplete", ""),
    "unknown": (Incomplete, "the answer may be incomplete", "llmstream does not know this finish reason"),
}

SET_LIMIT = f"with {option('max_tokens', 'N')} such a cut counts as whole"
CUT_JSON = "the JSON is not whole"
USUAL_TIERS = ("default", "standard", "on_demand", "auto")  # which the line for people leaves out


class CutJson(Incomplete):
    """An answer that has to be JSON was cut at a limit of its length."""


def is_cut_json(exchange: Exchange, text: str) -> bool:
    """Returns whether an answer that has to be JSON was cut within that, at a limit of its length."""
    if exchange.finish is None or exchange.finish.reason != "length" or exchange.tool_calls:
        return False
    try:
        value = loads_strict(text)
    except (ValueError, RecursionError):
        return True
    return isinstance(value, int | float) and not isinstance(value, bool)  # of which there may be more digits


def verdict(finish: Finish | None, limited: bool, advice: str = "", is_cut_json: bool = False) -> Error | None:
    """Returns the error of an answer that its provider ended, but that was refused, filtered or is not whole, or None.

    `limited` says that the user set the limit of its length, which is then no error, unless the answer is JSON that it
    has cut. `advice` says how to set one.
    """
    if is_cut_json and finish:
        return CutJson(_sentence(finish, f"{CUT_JSON}: raise {option('max_tokens')}" if limited else CUT_JSON))
    if finish is None or finish.reason not in VERDICTS or (finish.reason == "length" and limited):
        return None
    hint = advice if finish.reason == "length" else VERDICTS[finish.reason][2]
    return VERDICTS[finish.reason][0](_sentence(finish, hint))


def _sentence(finish: Finish, hint: str) -> str:
    """Returns what is wrong with an answer, by its finish reason, and what to do; another limit has no such advice."""
    what = VERDICTS[finish.reason][1]
    message = f"{what} (finish reason {finish.provider_reason})" if finish.provider_reason else what
    if finish.reason == "length" and "context" in finish.provider_reason.lower():
        hint = ""
    return ": ".join(filter(None, (message, finish.explanation, hint)))


def record(
    provider: str,
    model: str,
    exchange: Exchange,
    now: float,
    *,
    status: int,
    reason: str = "",
    cost: float | None = None,
    earlier: Sequence[Exchange] = (),
) -> dict[str, object]:
    """Returns token counts, times in seconds and the outcome. What the provider did not report is None.

    `model` is the requested one; `answered_by` is the provider's name of the model that answered. `reason` ("until",
    "cancelled" or "error") replaces the finish reason. `cost` is in US dollars, `status` the exit status. `earlier` are
    the exchanges of the turns before, which count, too.
    """
    finish, timing, exchanges = exchange.finish, exchange.timing, [*earlier, exchange]
    usage = total_usage(exchanges)
    rate = timing.rate(usage.output_tokens) if usage and not earlier else None
    started, ttft = exchanges[0].timing.started, exchanges[0].timing.ttft
    return {
        "provider": provider,
        "model": model,
        "answered_by": exchange.model or None,
        **{name: getattr(usage, name, None) for name in Usage.counts},
        "tier": getattr(usage, "tier", "") or None,
        "cost_usd": cost,
        "characters": sum(each.characters for each in exchanges),
        "ttft": None if ttft is None else round(ttft, 4),
        "seconds": round(now - started, 4),
        "tokens_per_second": None if rate is None else round(rate, 2),
        "reason": finish.reason if finish and not reason else reason or "error",
        "status": status,
    }


def total_usage(exchanges: Sequence[Exchange]) -> Usage | None:
    """Returns the tokens of several answers together; None where the provider has reported none."""
    usages = [usage for exchange in exchanges if (usage := exchange.usage) is not None]
    if len(usages) < 2:
        return usages[0] if usages else None
    costs = [usage.cost_usd for usage in usages if usage.cost_usd is not None]
    cost = sum(costs) if len(costs) == len(usages) else None
    counts = {name: sum(getattr(usage, name) for usage in usages) for name in Usage.counts}
    return Usage(**counts, tier=usages[-1].tier, cost_usd=cost)


def line(data: dict[str, Any]) -> str:
    """Returns a record as one line of text."""
    parts = []
    if data["output_tokens"] is None:
        parts.append(f"{data['characters']} characters (the provider reported no token counts)")
    else:
        counts = {"cached": data["cached_tokens"], "into the cache": data["cache_write_tokens"]}
        details = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        cached = f" ({details})" if details else ""
        reasoning = f" ({data['reasoning_tokens']} reasoning)" if data["reasoning_tokens"] else ""
        parts.append(f"{data['input_tokens']} tokens in{cached}, {data['output_tokens']} out{reasoning}")
    if searches := data["searches"]:
        parts.append(f"{searches} search{'' if searches == 1 else 'es'}")
    if data["tier"] and data["tier"].lower() not in USUAL_TIERS:
        parts.append(f"{data['tier']} tier")
    if data["cost_usd"] is not None:
        at_least = (
            "at least " if data["reason"] in ("until", "cancelled", "error") else ""
        )  # the last counts did not come
        parts.append(at_least + dollars(data["cost_usd"]))
    if data["ttft"] is not None:
        parts.append(f"first after {data['ttft']:.2f} s")
    if data["tokens_per_second"] is not None:
        parts.append(f"{data['tokens_per_second']:.1f} tokens/s")
    parts.append(f"{data['seconds']:.2f} s in all")
    parts.append("stop condition met" if data["reason"] == "until" else str(data["reason"]))
    return f"{data['provider']}/{data['model']}: {', '.join(parts)}"


def dollars(cost: float) -> str:
    """Returns US dollars as text, with 4 decimals, or 6 below a tenth of a cent; what is free costs $0."""
    return f"${cost:,.{4 if cost >= 0.001 else 6}f}" if cost else "$0"
