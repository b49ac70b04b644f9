"""What a run of many prompts came to, so far and in the end."""

from __future__ import annotations

from ..core.events import Usage
from ..core.timing import Timing
from . import answer
from .answer import Record

SAMPLES = 10_000  # of which medians are taken: the last ones


class Totals:
    """Counts of prompts and tokens."""

    def __init__(self) -> None:
        self.done = self.failed = self.earlier = 0
        self.status = 0  # the worst
        self.failure = ""  # the first one's message
        self.input_tokens = self.output_tokens = 0
        self._sums: dict[tuple[str, str], list[int]] = {}  # by provider and model: answers, and the counts of Usage
        self.retries = 0
        self._ttfts: list[float] = []
        self._rates: list[float] = []

    def finished(self, record: Record, earlier: bool) -> None:
        """A prompt has its record, `earlier` by another run."""
        status = answer.status(record)
        self.status = max(self.status, status)
        if status:
            self.failed += 1
            self.failure = self.failure or str(record["error"]["message"])
        elif earlier:
            self.earlier += 1
        else:
            self.done += 1

    def used(self, provider: str, model: str, usage: Usage | None, timing: Timing) -> None:
        """A generation has ended, however it did."""
        if timing.ttft is not None:
            self._ttfts.append(timing.ttft)
            del self._ttfts[:-SAMPLES]
        if usage is None:
            return
        sums = self._sums.setdefault((provider, model), [0, 0, 0, 0, 0, 0])
        for at, count in enumerate([1, *(getattr(usage, name) for name in Usage.__slots__)]):
            sums[at] += count
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        if (rate := timing.rate(usage.output_tokens)) is not None:
            self._rates.append(rate)
            del self._rates[:-SAMPLES]

    def cost(self) -> float | None:
        """US dollars, as far as prices are known; where they depend on a prompt's length, by the average prompt."""
        from ..config import prices

        costs = []
        for (provider, model), (answers, *counts) in self._sums.items():
            cost = prices.cost(provider, model, Usage(*(count // answers for count in counts)))
            costs += [] if cost is None else [cost * answers]
        return sum(costs) if costs else None

    def summary(self, seconds: float, unfinished: int, priced: bool) -> str:
        """The line at the end."""
        from .progress import summary

        return summary(
            done=self.done,
            failed=self.failed,
            earlier=self.earlier,
            unfinished=unfinished,
            input_tokens=self.input_tokens if self._sums else None,
            output_tokens=self.output_tokens if self._sums else None,
            cost=self.cost() if priced else None,
            seconds=seconds,
        )

    def times(self, throttled: int) -> str:
        """How quick the streams were, and how often one was tried again."""
        parts = []
        if self._ttfts:
            half, most = _part(self._ttfts, 0.5), _part(self._ttfts, 0.99)
            parts.append(f"first after {half:.2f} s (median), {most:.2f} s (99 %)")
        if self._rates:
            parts.append(f"{_part(self._rates, 0.5):.1f} tokens/s a stream (median)")
        plural = "retry" if self.retries == 1 else "retries"
        parts.append(f"{self.retries:,} {plural}" + (f", {throttled:,} rate limits" if throttled else ""))
        return "; ".join(parts)


def _part(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
