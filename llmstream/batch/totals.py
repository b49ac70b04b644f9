"""Counts the prompts, tokens, times and costs of a run of map."""

from __future__ import annotations

from collections import deque

from ..core.events import Usage
from ..core.exchange import Exchange
from ..core.report import dollars
from ..providers.registry import REPLAY
from .record_builder import Record

SAMPLES = 10_000  # the last ones, of which medians are taken


class Totals:
    """Counts of prompts: `done` by this run, `earlier` by one whose journal had them, or `failed`; and of tokens."""

    def __init__(self) -> None:
        self.done = self.failed = self.earlier = self.retries = 0
        self.new_failures = 0  # those of `failed` that are not an earlier run's
        self.unsent = 0  # those of `failed` that were not sent, since their provider refused all before
        self.status = 0  # the worst exit status
        self.failure = ""  # the first failed prompt's message, its options marked
        self.input_tokens = self.output_tokens = 0
        self._has_usage = False
        self._stated_usd: float | None = None  # the sum of the prices that providers state
        # Of the other answers, by provider, requested model, answering model and tier: their number, then the counts.
        self._sums: dict[tuple[str, str, str, str], list[int]] = {}
        self._ttfts, self._rates = deque[float](maxlen=SAMPLES), deque[float](maxlen=SAMPLES)

    def add_record(self, record: Record, earlier: bool, failure: str) -> None:
        """Counts a prompt; `earlier`: its record is another run's; `failure` is the message of its error."""
        if "error" in record:
            self.failed += 1
            self.new_failures += not earlier
            self.status = max(self.status, record["error"]["status"])
            self.failure = self.failure or failure or str(record["error"]["message"])
        elif earlier:
            self.earlier += 1
        else:
            self.done += 1

    def add_generation(self, provider: str, model: str, exchange: Exchange, tier: str = "") -> None:
        """Counts the tokens and times of a generation that has ended, complete or not.

        `model` is the requested one, `tier` that of the service, where the answer does not say it.
        """
        usage, timing = exchange.usage, exchange.timing
        if timing.ttft is not None:
            self._ttfts.append(timing.ttft)
        if usage is None:
            return
        self._has_usage = True
        if usage.cost_usd is not None and provider != REPLAY:
            self._stated_usd = (self._stated_usd or 0.0) + usage.cost_usd
        else:
            key = provider, model, exchange.model, tier or usage.tier
            sums = self._sums.setdefault(key, [0] * (1 + len(Usage.counts)))
            for at, count in enumerate([1, *(getattr(usage, name) for name in Usage.counts)]):
                sums[at] += count
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        if (rate := timing.rate(usage.output_tokens)) is not None:
            self._rates.append(rate)

    def cost(self) -> float | None:
        """Returns US dollars for the answers whose prices are known, None if none is."""
        from ..config import prices

        costs = [self._stated_usd]
        for (provider, model, answering, tier), (answers, *counts) in self._sums.items():
            costs.append(prices.cost(provider, model, Usage(*counts, tier=tier), answering, answers))
        amounts = [cost for cost in costs if cost is not None]
        return sum(amounts) if amounts else None

    def summary(self, seconds: float, unfinished: int, priced: bool) -> str:
        """Returns the line at the end of a run of `seconds`, with `unfinished` prompts; `priced`: with its cost."""
        count = self.done + self.failed + self.earlier + unfinished
        prompts = f"{count:,} prompt{'' if count == 1 else 's'}: {self.done:,} done"
        prompts += f", {self.earlier:,} done earlier" if self.earlier else ""
        unsent = f" ({self.unsent:,} not sent)" if self.unsent else ""
        prompts += f", {self.failed:,} failed{unsent}" + (f", {unfinished:,} unfinished" if unfinished else "")
        parts = [prompts]
        if self._has_usage:
            unit = "token" if self.input_tokens == 1 else "tokens"
            tokens = f"{self.input_tokens:,} {unit} in, {self.output_tokens:,} out"
            parts.append(tokens + (f", {self.output_tokens / seconds:,.0f} tokens/s" if seconds else ""))
        if priced and (cost := self.cost()) is not None:
            parts.append(dollars(cost))
        return "; ".join([*parts, f"{seconds:,.1f} s"])

    def record(self, seconds: float, unfinished: int, throttled: int) -> dict[str, object]:
        """Returns all counts, times in seconds and US dollars of a run; None for what no provider has reported."""
        ttfts, rates = self._ttfts, self._rates
        return {
            "done": self.done,
            "earlier": self.earlier,
            "failed": self.failed,
            "unsent": self.unsent,
            "unfinished": unfinished,
            "input_tokens": self.input_tokens if self._has_usage else None,
            "output_tokens": self.output_tokens if self._has_usage else None,
            "cost_usd": self.cost(),
            "ttft": round(_quantile(ttfts, 0.5), 4) if ttfts else None,
            "ttft_p99": round(_quantile(ttfts, 0.99), 4) if ttfts else None,
            "tokens_per_second": round(_quantile(rates, 0.5), 2) if rates else None,
            "seconds": round(seconds, 4),
            "retries": self.retries,
            "rate_limits": throttled,
            "status": self.status,
        }

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


def _quantile(values: deque[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
