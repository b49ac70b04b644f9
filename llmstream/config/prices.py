"""Prices of answers, by the package of the extra `prices`: genai-prices, which has the list inside.

It needs no network. The import takes a quarter of a second, so it comes after the answer.
"""

from __future__ import annotations

from ..core.events import Usage
from ..providers.registry import PROVIDERS

# The list's names of providers, if they differ from ours.
LISTED_AS = {
    "bedrock": "aws",
    "bedrock-mantle": "aws",
    "foundry": "azure",
    "gemini": "google",
    "vertex": "google",
    "xai": "x-ai",
}


def cost(provider: str, model: str, usage: Usage | None) -> float | None:
    """Returns the price in US dollars; None if tokens or price are unknown, or if the provider is free."""
    row = PROVIDERS.get(provider)
    if usage is None or row is None or not (row.key_env or row.transport):
        return None
    try:
        from genai_prices import Usage as Tokens
        from genai_prices import calc_price
    except ImportError:
        return None
    try:
        tokens = Tokens(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
        price = calc_price(tokens, model, provider_id=LISTED_AS.get(provider, provider))
    except (LookupError, ValueError):  # not on the list; counts that contradict one another
        return None
    return round(float(price.total_price), 8)
