"""Parses the rate-limit headers of a response.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as Go durations (`12ms`, `6m0s`); Groq alike.
Cerebras: the same with the suffix `-day`, `-hour` or `-minute`, resets in seconds. OpenRouter: `x-ratelimit-*` without
a unit (requests), resets in milliseconds of Unix time; others in its seconds, or in seconds from now. Anthropic:
`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, resets in RFC 3339.
Azure sends -1 and 0 for unknown values. A header that cannot be parsed is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple


class Limit(NamedTuple):
    """`remaining` of `limit` (None: unknown) requests or tokens; in `reset` seconds all are available again."""

    unit: str  # "requests" or "tokens"
    limit: float | None
    remaining: float
    reset: float


_SPANS = ("", "-minute", "-hour", "-day")
# Each row: the unit, and the name of its three headers, with "limit", "remaining" and "reset" for {}.
_NAMES = (
    ("requests", "x-ratelimit-{}"),
    *((unit, "x-ratelimit-{}-" + unit + span) for unit in ("requests", "tokens") for span in _SPANS),
    ("requests", "anthropic-ratelimit-requests-{}"),
    *(("tokens", f"anthropic-ratelimit-{kind}tokens-" + "{}") for kind in ("", "input-", "output-")),
)
_ROWS = tuple((unit, *(name.format(part) for part in ("limit", "remaining", "reset"))) for unit, name in _NAMES)
_GO_DURATION = re.compile(
    r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?(?:\d+(?:\.\d+)?[uµn]s)?"
)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)


def limits_of(headers: Mapping[str, str], wall: float) -> list[Limit]:
    """Returns the limits in headers (names in lower case) that can be parsed; `wall` is the Unix time in seconds."""
    limits = []
    for unit, limit, remaining, reset in _ROWS:
        if remaining in headers:
            left, seconds = _count(headers[remaining]), _reset(headers.get(reset, "").strip(), wall)
            most = _count(headers.get(limit, ""))
            # A limit of 0, or one that cannot be parsed, makes the rest of its row meaningless too.
            if left is not None and seconds is not None and (most or limit not in headers):
                limits.append(Limit(unit, most, left, seconds))
    return limits


def _count(text: str) -> float | None:
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _reset(text: str, wall: float) -> float | None:
    """Parses a time: returns seconds from now, never negative; None if the text is not one of the formats."""
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= 1e11:  # milliseconds since 1970; in seconds it would be the year 5138
            number = number / 1000 - wall
        elif number >= 1e9:
            number -= wall
        return max(0.0, number)
    if text and (match := _GO_DURATION.fullmatch(text)):
        days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    from datetime import datetime

    try:
        then = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return max(0.0, then.timestamp() - wall) if then.tzinfo else None
