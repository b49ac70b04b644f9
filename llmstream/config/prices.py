"""What an answer cost, by the list of the extra `prices`: genai-prices, whose list is in the package.

Nothing is asked over the network. The import takes a quarter of a second, so it comes after the answer.
"""

from __future__ import annotations

from ..core.events import Usage
from ..providers.registry import PROVIDERS

# The list's names of providers, where they are not ours.
LISTED = {
    "bedrock": "aws",
    "bedrock-mantle": "aws",
    "foundry": "azure",
    "gemini": "google",
    "vertex": "google",
    "xai": "x-ai",
}


def cost(provider: str, model: str, usage: Usage | None) -> float | None:
    """US dollars; None where the tokens or the price are not known, or nobody sends a bill."""
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
        price = calc_price(tokens, model, provider_id=LISTED.get(provider, provider))
    except (LookupError, ValueError):  # not on the list; counts that contradict one another
        return None
    return round(float(price.total_price), 8)
