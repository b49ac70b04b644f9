"""Prices of answers: what the provider states, or else by the package of the extra `prices`: genai-prices.

The package has the list inside and needs no network. Its import takes a quarter of a second, so it comes after the
answer.
"""

from __future__ import annotations

from decimal import Decimal

from ..core.events import Usage
from ..providers.registry import EMBEDDED, LOCAL, PROVIDERS, REPLAY

# The list's names of providers, if they differ from ours.
LISTED_AS = {
    "bedrock": "aws",
    "bedrock-mantle": "aws",
    "foundry": "azure",
    "gemini": "google",
    "vertex": "google",
    "xai": "x-ai",
}
DISCOUNTS = {"2h": 0.3, "8h": 0.4}  # of the prices of tokens, by tier. OpenAI documentation, "Background mode"
BATCH = "batch"  # the tier of requests in batches, whose prices the list has
PRECISION = 1_000_000  # fractions of a token, for the average of many answers


def is_free(provider: str) -> bool:
    """Returns whether answers cost nothing: those of the embedded model and of recordings."""
    return provider in (LOCAL, EMBEDDED, REPLAY)


def cost(provider: str, requested: str, usage: Usage | None, answering: str = "", answers: int = 1) -> float | None:
    """Returns the price in US dollars; None if tokens or price are unknown. This machine and recordings cost nothing.

    `requested` is the model's name in the request, `answering` the provider's name of the model that answered, which
    may be another one. `usage` is the sum of `answers` answers of one tier: where a price depends on the length of a
    prompt, the average prompt counts.
    """
    if is_free(provider):
        return 0.0
    if usage is None:
        return None
    if usage.cost_usd is not None:
        return usage.cost_usd
    row = PROVIDERS.get(provider)
    if row is None or not (row.key_env or row.transport):
        return None
    try:
        from genai_prices import Usage as Tokens
        from genai_prices import calc_price
    except ImportError:
        return None
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_reasoning_tokens": usage.reasoning_tokens,
        "web_searches": usage.searches,
    }
    averages = {name: Decimal(count * PRECISION // answers) / PRECISION for name, count in counts.items()}
    discount = DISCOUNTS.get(usage.tier, 0.0)
    tier = "" if discount else usage.tier.lower()
    # The list's names of one thing: OpenAI's, Anthropic's, and that of batches.
    context = {"service_tier": tier, "speed": tier, "processing": tier}
    for model in _names(requested, answering):
        try:
            price = calc_price(
                Tokens(**averages), model, provider_id=LISTED_AS.get(provider, provider), price_context=context
            )
        except (LookupError, ValueError):  # not on the list; counts that contradict one another
            continue
        tokens = price.input_price + price.output_price
        return round((float(price.total_price) - float(tokens) * discount) * answers, 8)
    return None


def _names(requested: str, answering: str) -> list[str]:
    """Returns a model's names, the one that says most about its price first."""
    if answering.lower() in requested.lower():  # which adds a region, at Bedrock
        return [requested, answering] if answering else [requested]
    return [answering, requested]
