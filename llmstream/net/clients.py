"""Builds the SDKs' clients, which find credentials where the cloud's own tools do.

Each builder imports its SDK. A cloud that needs further packages has an extra of the installation.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..dialects import MESSAGES
from ..errors import UsageError
from ..providers.registry import SDK_FINDS_IT
from ..providers.resolve import Target

OPENAI_SCOPE = "https://cognitiveservices.azure.com/.default"
FOUNDRY_SCOPE = "https://ai.azure.com/.default"

Settings = dict[str, Any]


def build(target: Target, on_request: Callable[[Any], None]) -> tuple[Any, Any]:
    """Returns the SDK's module and its client. `on_request` is called with each request before it goes out."""
    by_dialect = _anthropic if target.api == MESSAGES else _openai
    return CLIENTS.get(target.provider, by_dialect)(target, on_request)


def _settings(sdk: Any, target: Target, on_request: Callable[[Any], None]) -> Settings:
    """Returns the settings of all clients; the SDK finds the address where the target has none."""
    settings = {"http_client": sdk.DefaultHttpxClient(event_hooks={"request": [on_request]})}
    return settings if target.url.startswith(SDK_FINDS_IT) else settings | {"base_url": target.url}


def _bedrock(target: Target, on_request: Callable[[Any], None]) -> tuple[Any, Any]:
    _require("boto3", target.provider, "bedrock")
    import anthropic

    return anthropic, anthropic.AnthropicBedrock(**_settings(anthropic, target, on_request))


def _mantle(target: Target, on_request: Callable[[Any], None]) -> tuple[Any, Any]:
    _require("boto3", target.provider, "bedrock")
    import anthropic

    return anthropic, anthropic.AnthropicBedrockMantle(**_settings(anthropic, target, on_request))


def _vertex(target: Target, on_request: Callable[[Any], None]) -> tuple[Any, Any]:
    _require("google.auth", target.provider, "vertex")
    import anthropic

    return anthropic, anthropic.AnthropicVertex(**_settings(anthropic, target, on_request))


def _foundry(target: Target, on_request: Callable[[Any], None]) -> tuple[Any, Any]:
    import anthropic

    token = _entra(target, FOUNDRY_SCOPE)
    settings = _settings(anthropic, target, on_request)
    return anthropic, anthropic.AnthropicFoundry(azure_ad_token_provider=token, **settings)


def _azure(target: Target, on_request: Callable[[Any], None]) -> tuple[Any, Any]:
    """Builds a client of Azure's v1 API, which takes a bearer token as OpenAI's does."""
    import openai

    token = (lambda: target.key) if target.key else _entra(target, OPENAI_SCOPE)
    return openai, openai.OpenAI(api_key=token, **_settings(openai, target, on_request))


def _anthropic(target: Target, on_request: Callable[[Any], None]) -> tuple[Any, Any]:
    import anthropic

    return anthropic, anthropic.Anthropic(api_key=target.key or None, **_settings(anthropic, target, on_request))


def _openai(target: Target, on_request: Callable[[Any], None]) -> tuple[Any, Any]:
    import openai

    return openai, openai.OpenAI(api_key=target.key or None, **_settings(openai, target, on_request))


CLIENTS = {
    "azure": _azure,
    "bedrock": _bedrock,
    "bedrock-mantle": _mantle,
    "foundry": _foundry,
    "vertex": _vertex,
}


# Hints where an SDK finds no credentials: its own message is for programmers, or very long.
HINTS = {
    "azure": "set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN, or log in with `az login`",
    "bedrock": "set AWS_REGION, and credentials as for the command `aws`",
    "bedrock-mantle": "set AWS_REGION, and credentials as for the command `aws`",
    "foundry": "set ANTHROPIC_FOUNDRY_API_KEY, or log in with `az login`",
    "vertex": "set CLOUD_ML_REGION, ANTHROPIC_VERTEX_PROJECT_ID and GOOGLE_APPLICATION_CREDENTIALS",
}


def _entra(target: Target, scope: str) -> Callable[[], str]:
    """Returns a source of Microsoft Entra tokens: the environment, the managed identity, or `az login`."""
    _require("azure.identity", f"{target.provider} without a key", "azure")
    from azure.identity import DefaultAzureCredential, get_bearer_token_provider

    source: Callable[[], str] = get_bearer_token_provider(DefaultAzureCredential(), scope)
    return source


def _require(module: str, user: str, extra: str) -> None:
    """Raises UsageError where the extra is not installed."""
    try:
        import_module(module)
    except ImportError:
        raise UsageError(f"{user} needs the extra `{extra}`: pip install 'llmstream-cli[{extra}]'") from None
