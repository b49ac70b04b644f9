"""The limit on what a run of map may cost, in US dollars."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..config import max_cost
from ..config.prices import BATCH
from ..core.exchange import Exchange
from ..core.report import dollars
from ..core.request import Request
from ..errors import Error, Incomplete, UsageError, option
from ..providers.target import Target
from ..request.choices import Choice


class Spending:
    """The cost of a run so far, and its limit in US dollars; `tier` is the service tier.

    `running` returns what the prompts under way may cost.
    """

    def __init__(
        self, limit: float, running: Callable[[], float] = lambda: 0.0, *, tier: str = "", has_journal: bool = False
    ) -> None:
        self._limit, self._running, self._tier, self._has_journal = limit, running, tier, has_journal
        self._usd = 0.0

    def expected(self, choices: list[Choice], output_tokens: int) -> float:
        """Returns what a prompt may cost at the dearest of its models.

        `output_tokens` are those of an answer whose request does not limit them. Raises UsageError where a price is
        unknown, or the prompt alone costs more than the limit even without them.
        """
        sizes = [(choice.target, max_cost.size(choice.target, choice.request, self._tier)) for choice in choices]
        least = max(max_cost.estimate(target, size, size.max_output or 0) for target, size in sizes)
        if least > self._limit:
            raise self._too_dear("the prompt", least)
        return max(max_cost.estimate(target, size, size.max_output or output_tokens) for target, size in sizes)

    def add(self, target: Target, request: Request, exchange: Exchange) -> None:
        """Adds what an answer has cost, complete or not."""
        self._usd += max_cost.of_answer(target, request, exchange)

    def allows(self, usd: float) -> bool:
        """Returns whether so much may be spent beside the answers so far, and the prompts under way."""
        return self._usd + usd + self._running() <= self._limit

    def error(self, usd: float) -> Error:
        """Returns why the next prompt, which may cost `usd`, is not sent: Incomplete where a later run may send it."""
        if usd > self._limit:
            return self._too_dear("the next prompt", usd)
        limit = option("max_cost", f"{self._limit:g}")
        then = "run the same again for the rest" if self._has_journal else "no more are sent"
        return Incomplete(
            f"the next prompt may cost {dollars(usd)}, and {dollars(self._usd)} of {limit} are spent: {then}"
        )

    def _too_dear(self, prompt: str, usd: float) -> UsageError:
        limit, advice = (
            option("max_cost", f"{self._limit:g}"),
            f"set a lower {option('max_tokens')}, or raise the limit",
        )
        return UsageError(f"{prompt} may cost {dollars(usd)}, more than {limit}: {advice}")


def require_affordable(prompts: Iterable[list[Choice]], limit: float) -> None:
    """Raises UsageError where batches of prompts, which cannot be stopped, may cost more than `limit` US dollars."""
    spending, usd = Spending(limit, tier=BATCH), 0.0
    for choices in prompts:
        target, request = choices[0][:2]
        if max_cost.size(target, request).max_output is None:
            raise UsageError(
                f"{option('max_cost')} of a batch needs {option('max_tokens')}: nothing else limits answers"
            )
        usd += spending.expected(choices, 0)
    if usd > limit:
        advice = f"set a lower {option('max_tokens')}, or raise the limit"
        cost = f"the prompts may cost {dollars(usd)}, more than {option('max_cost', f'{limit:g}')}"
        raise UsageError(f"{cost}: {advice}; none is sent")
