"""What OpenAI's two dialects have in common: the key's header, named schemas, and prices that servers state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.decoder import amount


def bearer(key: str, body: Mapping[str, Any]) -> list[str]:
    """Returns the HTTP header lines that carry the key."""
    return [f"Authorization: Bearer {key}"] if key else []


def named_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a schema in the format of OpenAI's two dialects: with a name, and strict if its shape allows that."""
    from ..core import schema as schemas

    closed = schemas.close_objects(schema)
    return {"name": schemas.schema_name(schema), "schema": closed, "strict": schemas.is_strict(closed)}


def stated_cost(usage: dict[str, Any]) -> float | None:
    """Returns the price in US dollars that the provider states, None without one."""
    ticks = amount(usage, "cost_in_usd_ticks")
    if ticks is not None:  # xAI, in 1e-10 dollars
        return ticks / 1e10
    price = usage.get("cost")
    if isinstance(price, dict):  # Perplexity
        return amount(price, "total_cost") if price.get("currency", "USD") == "USD" else None
    cost = amount(usage, "cost")
    if cost is not None and usage.get("is_byok") is True:
        # With a key of the user's own, OpenRouter's cost is its fee, and the provider is paid beside it.
        cost += amount(usage, "cost_details", "upstream_inference_cost") or 0.0
    return cost
