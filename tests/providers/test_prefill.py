"""Which targets continue a last message of the assistant's: the rows' styles, applied."""

from __future__ import annotations

import pytest

from llmstream.errors import UsageError
from llmstream.providers.prefill import continues, prefilled
from llmstream.providers.registry import PROVIDERS
from llmstream.providers.target import Target


def target(provider: str, api: str = "chat", model: str = "m") -> Target:
    return Target(provider, model, api, "http://x/chat/completions", "", PROVIDERS[provider])


@pytest.mark.parametrize(
    ("provider", "api", "model", "expected"),
    [
        ("llamacpp", "chat", "m", True),
        ("llamacpp", "responses", "m", False),
        ("local", "chat", "m", True),
        ("openai", "chat", "m", False),
        ("anthropic", "messages", "claude-sonnet-4-5", True),
        ("anthropic", "messages", "claude-haiku-4-5-20251001", True),
        ("anthropic", "messages", "claude-sonnet-4-51", False),
        ("anthropic", "messages", "claude-sonnet-5-5", False),
        ("anthropic", "chat", "claude-sonnet-4-5", False),
    ],
)
def test_a_row_says_which_targets_continue(provider, api, model, expected):
    assert continues(target(provider, api, model)) is expected


def test_the_request_goes_to_the_provider_s_url_for_prefills():
    reached, prefill = prefilled(target("deepseek"), "Once")
    assert reached.url == "https://api.deepseek.com/beta/chat/completions"
    assert prefill.message == {"prefix": True}
    assert prefilled(target("mistral"), "Once")[0].url == "http://x/chat/completions"


def test_an_error_names_the_providers_that_continue():
    with pytest.raises(
        UsageError, match=r"openai \(chat\) does not support prefill: mistral, groq, .*llamacpp.* and Claude"
    ):
        prefilled(target("openai"), "Once")
