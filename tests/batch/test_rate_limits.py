"""Rate-limit headers of providers, and headers that cannot be parsed."""

from __future__ import annotations

import pytest

from llmstream.batch.rate_limits import Limit, limits_of

NOON = 1_700_000_000.0  # 2023-11-14T22:13:20Z


def openai(reset: str) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": reset,
    }


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("12ms", 0.012),
        ("1s", 1.0),
        ("7.66s", 7.66),
        ("6m0s", 360.0),
        ("2m59.56s", 179.56),
        ("1h2m3.5s", 3723.5),
        ("123µs", 0.0),
        ("0", 0.0),
        ("33011.382867", 33011.382867),
        ("1700000060", 60.0),
        ("1700000060500", 60.5),
        ("1600000000", 0.0),
        ("2023-11-14T22:14:20Z", 60.0),
        ("2023-11-14t22:14:20.25z", 60.25),
        ("2023-11-15T00:14:20+02:00", 60.0),
        ("2023-11-14T17:44:20-04:30", 60.0),
        ("2024-02-29T22:13:20Z", 107 * 86400.0),
        ("2023-11-14T22:00:00Z", 0.0),
    ],
)
def test_resets(reset, seconds):
    (limit,) = limits_of(openai(reset), NOON)
    assert limit[:3] == ("requests", 60, 59)
    assert limit.reset == pytest.approx(seconds)


@pytest.mark.parametrize("reset", ["", "soon", "-1", "nan", "inf", "1e9", "5 s", "m", "2023-11-14", "9" * 5000, "٣"])
def test_an_invalid_reset_is_ignored(reset):
    assert limits_of(openai(reset), NOON) == []


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, []),
        # Azure: -1 and 0 for unknown values, and no reset
        ({"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}, []),
        ({"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9"}, []),
        ({"x-ratelimit-remaining-requests": "79", "x-ratelimit-remaining-tokens": "61353"}, []),
        # OpenRouter
        (
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1700000030000"},
            [Limit("requests", 20, 0, 30)],
        ),
        # Cerebras
        (
            {
                "x-ratelimit-limit-requests-day": "14400",
                "x-ratelimit-remaining-requests-day": "14399",
                "x-ratelimit-reset-requests-day": "33011.5",
                "x-ratelimit-limit-tokens-minute": "60000",
                "x-ratelimit-remaining-tokens-minute": "59000",
                "x-ratelimit-reset-tokens-minute": "11.5",
            },
            [Limit("requests", 14400, 14399, 33011.5), Limit("tokens", 60000, 59000, 11.5)],
        ),
        # Anthropic
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:21Z",
                "anthropic-ratelimit-output-tokens-limit": "8000",
                "anthropic-ratelimit-output-tokens-remaining": "7000",
                "anthropic-ratelimit-output-tokens-reset": "2023-11-14T22:13:28Z",
            },
            [Limit("requests", 50, 49, 1), Limit("tokens", 8000, 7000, 8)],
        ),
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "2"}, [Limit("requests", None, 5, 2)]),
    ],
)
def test_providers(headers, limits):
    assert limits_of(headers, NOON) == limits
