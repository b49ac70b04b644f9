"""Counts the prompts, tokens, times and costs of a run of map."""

from __future__ import annotations

from ..core.events import Usage
from ..core.timing import Timing
from .record_builder import Record, exit_status

SAMPLES = 10_000  # the last ones, of which medians are taken


class Totals:
    """Counts of prompts and tokens: `done` by this run, `earlier` by another one, whose journal had them, and `failed`.

    `status` is the worst exit status, `failure` the first failed prompt's message, its options marked.
    """

    def __init__(self) -> None:
        self.done = self.failed = self.earlier = 0
        self.status = 0
        self.failure = ""
        self.input_tokens = self.output_tokens = 0
        self._sums: dict[
            tuple[str, str], list[int]
        ] = {}  # by provider and model: number of answers, then the fields of Usage
        self.retries = 0
        self._ttfts: list[float] = []
        self._rates: list[float] = []

    def add_record(self, record: Record, earlier: bool, failure: str) -> None:
        """Counts a prompt; `earlier`: its record is another run's; `failure` is the message of its error."""
        status = exit_status(record)
        self.status = max(self.status, status)
        if status:
            self.failed += 1
            self.failure = self.failure or failure or str(record["error"]["message"])
        elif earlier:
            self.earlier += 1
        else:
            self.done += 1

    def add_generation(self, provider: str, model: str, usage: Usage | None, timing: Timing) -> None:
        """Counts the tokens and times of a generation that has ended, complete or not."""
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
        """Returns US dollars for the models whose prices are known, None if none is.

        Where a price depends on the length of a prompt, the average prompt counts.
        """
        from ..config import prices

        costs = []
        for (provider, model), (answers, *counts) in self._sums.items():
            cost = prices.cost(provider, model, Usage(*(count // answers for count in counts)))
            costs += [] if cost is None else [cost * answers]
        return sum(costs) if costs else None

    def summary(self, seconds: float, unfinished: int, priced: bool) -> str:
        """Returns the line at the end of a run of `seconds`, with `unfinished` prompts; `priced`: with its cost."""
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
        """Returns the line about times to the first text, rates of tokens, retries and 429 responses (`throttled`)."""
        parts = []
        if self._ttfts:
            median, slow = _quantile(self._ttfts, 0.5), _quantile(self._ttfts, 0.99)
            parts.append(f"first after {median:.2f} s (median), {slow:.2f} s (99 %)")
        if self._rates:
            parts.append(f"{_quantile(self._rates, 0.5):.1f} tokens/s a stream (median)")
        plural = "retry" if self.retries == 1 else "retries"
        parts.append(f"{self.retries:,} {plural}" + (f", {throttled:,} rate limits" if throttled else ""))
        return "; ".join(parts)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
