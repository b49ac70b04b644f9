"""Builds the SDKs' clients, which find credentials where the cloud's own tools do."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from ..core.secrets import Secrets, url_secrets
from ..dialects import MESSAGES
from ..errors import UsageError
from ..providers.registry import SDK_FINDS_IT
from ..providers.target import Target

PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Cloud(NamedTuple):
    """How a provider's client is built: the SDK's module, the class in it, and where its credentials come from."""

    sdk: str
    client: str
    hint: str = "is its key set?"  # in place of the SDK's message: that is for programmers, or very long
    needs: str = ""  # a module that the extra installs
    extra: str = ""
    scope: str = ""  # of the Microsoft Entra token that replaces a missing key
    token_argument: str = "api_key"  # the client's parameter for a key or such a token


ENTRA = "azure.identity"  # the module that gets Microsoft Entra's tokens
ANTHROPIC, OPENAI = Cloud("anthropic", "Anthropic"), Cloud("openai", "OpenAI")
AWS_HINT = "set AWS_REGION, and credentials as for the command `aws`"
CLOUDS = {
    "azure": Cloud(  # its v1 API takes a bearer token as OpenAI's does
        "openai", "OpenAI", "set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN, or log in with `az login`",
        scope="https://cognitiveservices.azure.com/.default",
    ),
    "bedrock": Cloud("anthropic", "AnthropicBedrock", AWS_HINT, "boto3", "bedrock"),
    "bedrock-mantle": Cloud("anthropic", "AnthropicBedrockMantle", AWS_HINT, "boto3", "bedrock"),
    "foundry": Cloud(
        "anthropic", "AnthropicFoundry", "set ANTHROPIC_FOUNDRY_API_KEY, or log in with `az login`",
        scope="https://ai.azure.com/.default", token_argument="azure_ad_token_provider",
    ),
    "vertex": Cloud(
        "anthropic", "AnthropicVertex",
        "set CLOUD_ML_REGION, ANTHROPIC_VERTEX_PROJECT_ID and GOOGLE_APPLICATION_CREDENTIALS", "google.auth", "vertex",
    ),
}  # fmt: skip


def cloud_of(target: Target) -> Cloud:
    """Returns the row of the target's provider, else that of its dialect's SDK."""
    return CLOUDS.get(target.provider, ANTHROPIC if target.api == MESSAGES else OPENAI)


def missing_extra(provider: str, has_token: bool) -> str:
    """Returns the extra that a provider needs where no key is set, and that is not installed; "" for none."""
    cloud = CLOUDS[provider]
    if cloud.needs and not _installed(cloud.needs):
        return cloud.extra
    return "azure" if cloud.scope and not has_token and not _installed(ENTRA) else ""


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # of the package that holds the module
        return False


def build(target: Target, on_request: Callable[[Any], None]) -> tuple[Any, Any]:
    """Returns the SDK's module and its client. `on_request` is called with each request before it goes out."""
    cloud = cloud_of(target)
    if target.row.cert:
        raise UsageError(
            f"the SDK of {target.provider} takes no cert: leave cert out, or set the key of {target.provider}"
        )
    if cloud.needs:
        _require(cloud.needs, target.provider, cloud.extra)
    sdk = import_module(cloud.sdk)
    settings: dict[str, Any] = {}
    if not cloud.extra:
        settings[cloud.token_argument] = target.key or (_entra(target, cloud.scope) if cloud.scope else None)
    try:
        settings["http_client"] = sdk.DefaultHttpxClient(event_hooks={"request": [on_request]})
    except Exception:  # its message may quote a proxy's password
        names = [name for name in (*PROXY_VARIABLES, *CA_VARIABLES) if os.environ.get(name)]
        raise UsageError(f"the SDK cannot use the proxy or the CA certificates: look at {', '.join(names)}") from None
    if not target.url.startswith(SDK_FINDS_IT):  # else the SDK finds the address
        settings["base_url"] = target.url
    return sdk, getattr(sdk, cloud.client)(**settings)


def hide_proxies(text: str) -> str:
    """Returns a text without the users and passwords of proxies, which libraries quote."""
    return Secrets(secret for name in PROXY_VARIABLES for secret in url_secrets(os.environ.get(name, ""))).hide(text)


def _entra(target: Target, scope: str) -> Callable[[], str]:
    """Returns a source of Microsoft Entra tokens: the environment, the managed identity, or `az login`."""
    _require(ENTRA, f"{target.provider} without a key", "azure")
    from azure.identity import DefaultAzureCredential, get_bearer_token_provider

    source: Callable[[], str] = get_bearer_token_provider(DefaultAzureCredential(), scope)
    return source


def _require(module: str, user: str, extra: str) -> None:
    """Raises UsageError where the extra is not installed."""
    try:
        import_module(module)
    except ImportError:
        raise UsageError(f"{user} needs the extra `{extra}`: pip install 'llmstream-cli[{extra}]'") from None
