"""The lines at the end of a run."""

from __future__ import annotations

import pytest

from llmstream.batch.totals import Totals
from llmstream.config import prices
from llmstream.core.decoder import Decoder
from llmstream.core.events import Usage
from llmstream.core.exchange import Exchange
from llmstream.core.timing import Timeouts, Timing

from ..support import needs


def exchange(usage: Usage, model: str = "") -> Exchange:
    """Returns the exchange of an answer of a model with this usage."""
    decoder = Decoder("mine", "m")
    decoder.usage = usage
    exchange = Exchange(decoder, Timeouts(), Timing(0.0), 0.0, "")
    exchange._tally.model = model
    return exchange


def totals(usages: tuple[tuple[int, int], ...], **counts: int) -> Totals:
    """Returns totals with prompts, and with answers of input and output tokens."""
    totals = Totals()
    for name, count in counts.items():
        setattr(totals, name, count)
    for input_tokens, output_tokens in usages:
        totals.add_generation("mine", "m", exchange(Usage(input_tokens, output_tokens)))
    return totals


@pytest.mark.parametrize(
    ("counts", "usages", "seconds", "unfinished", "line"),
    [
        (
            {"done": 998, "failed": 2},
            ((51_000, 498_000), (200, 100)),
            100.0,
            0,
            "1,000 prompts: 998 done, 2 failed; 51,200 tokens in, 498,100 out, 4,981 tokens/s; 100.0 s",
        ),
        ({"done": 1}, (), 0.5, 0, "1 prompt: 1 done, 0 failed; 0.5 s"),
        ({}, (), 0.0, 0, "0 prompts: 0 done, 0 failed; 0.0 s"),
        (
            {"done": 5, "failed": 1, "earlier": 1994},
            (),
            1234.56,
            0,
            "2,000 prompts: 5 done, 1,994 done earlier, 1 failed; 1,234.6 s",
        ),
        ({"done": 1}, (), 1.0, 3, "4 prompts: 1 done, 0 failed, 3 unfinished; 1.0 s"),
        ({"done": 2}, ((1, 1),), 2.0, 0, "2 prompts: 2 done, 0 failed; 1 token in, 1 out, 0 tokens/s; 2.0 s"),
        ({"done": 2}, ((2, 7),), 0.0, 0, "2 prompts: 2 done, 0 failed; 2 tokens in, 7 out; 0.0 s"),
    ],
)
def test_summary(counts, usages, seconds, unfinished, line):
    assert totals(usages, **counts).summary(seconds, unfinished, priced=False) == line


@pytest.mark.parametrize(("cost", "text"), [(1.2345, "$1.2345"), (0.0000125, "$0.000013"), (1234.5, "$1,234.5000")])
def test_the_summary_has_the_cost_where_prices_are_known(monkeypatch, cost, text):
    run = totals((), done=1)
    monkeypatch.setattr(run, "cost", lambda: cost)
    assert run.summary(1.0, 0, priced=True) == f"1 prompt: 1 done, 0 failed; {text}; 1.0 s"


def test_prices_that_providers_state_are_added():
    run = Totals()
    for cost in (0.25, 0.0, 0.5):
        run.add_generation("openrouter", "a/b", exchange(Usage(10, 10, cost_usd=cost)))
    run.add_generation("mine", "m", exchange(Usage(10, 10)))  # which has no price
    assert run.cost() == 0.75
    assert run.summary(0.0, 0, priced=True).endswith("40 tokens in, 40 out; $0.7500; 0.0 s")


@needs.package("genai_prices", "prices")
def test_tiers_and_models_that_answer_have_their_prices():
    answers = [
        (Usage(1000, 100, searches=1), "gpt-6-luna-2026-10-01"),
        (Usage(1000, 100), "gpt-6-luna-2026-10-01"),
        (Usage(1000, 100, tier="flex"), "gpt-6-luna-2026-10-01"),
        (Usage(1000, 100), "gpt-5"),
        (Usage(7, 1, cost_usd=1.5), ""),
    ]
    run = Totals()
    for usage, model in answers:
        run.add_generation("openai", "gpt-6-luna", exchange(usage, model))
    each = [prices.cost("openai", "gpt-6-luna", usage, model) for usage, model in answers]
    assert run.cost() == pytest.approx(sum(each))
    assert each[2] < each[1] < each[3] < each[0]
