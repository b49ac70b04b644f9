"""The registry: which providers there are, and how to reach them.

A compatible server is one row. What the user's configuration adds and changes comes as a Catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..dialects import CHAT, MESSAGES, RESPONSES

SDK, SDK_WITHOUT_KEY = "sdk", "sdk without key"  # who signs and sends, where it is not our own wire: net/sdk
SDK_FINDS_IT = "sdk:"  # in place of an address


class Provider(NamedTuple):
    """A row. `base_url` goes up to where the dialect's PATH begins; `url_env` may replace it."""

    base_url: str
    api: str = CHAT
    key_env: tuple[str, ...] = ()  # () needs no key
    url_env: str = ""
    model: str = ""  # the default, where the provider has one that stays
    prefixes: tuple[str, ...] = ()  # of bare model names that are plainly this provider's
    fields: dict[str, str] = {}  # noqa: RUF012 - our body fields by the server's names, "" to leave out
    key_header: str = ""  # where the key does not go in the dialect's own header
    url_path: str = ""  # what the value of url_env still lacks
    resume: str = ""  # how an answer that was cut can go on: see net/resume
    resume_base: str = ""  # where, if not at base_url
    compatible_api: str = ""  # the dialect at any other address, where that is not surely the same
    transport: str = ""  # SDK or SDK_WITHOUT_KEY
    token_env: str = ""  # a token that the SDK sends where there is no key
    # What only a configuration has:
    key_file: str = ""  # a file that holds the key
    key_cmd: tuple[str, ...] = ()  # a command that prints it
    keyless: bool = False  # the key may be missing, whatever key_env says
    headers: tuple[str, ...] = ()  # further HTTP header lines


# The names of body fields where they differ from the dialect's own.
COMPLETION_TOKENS = {"max_tokens": "max_completion_tokens"}

PROVIDERS: dict[str, Provider] = {
    "openai": Provider(
        "https://api.openai.com/v1", RESPONSES, ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "gpt-5.5",
        ("gpt-", "chatgpt-", "o1", "o3", "o4", "codex-"), COMPLETION_TOKENS, compatible_api=CHAT, resume="background",
    ),
    "anthropic": Provider(
        "https://api.anthropic.com", MESSAGES, ("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL", "claude-sonnet-5-5",
        ("claude-",), resume="assistant",
    ),
    "azure": Provider(
        "", RESPONSES, ("AZURE_OPENAI_API_KEY",), "AZURE_OPENAI_ENDPOINT",
        fields=COMPLETION_TOKENS, key_header="api-key", url_path="/openai/v1", resume="background",
        transport=SDK_WITHOUT_KEY, token_env="AZURE_OPENAI_AD_TOKEN",
    ),
    "gemini": Provider(
        "https://generativelanguage.googleapis.com/v1beta/openai", CHAT, ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "GEMINI_BASE_URL", "gemini-flash-latest", ("gemini-",),
    ),
    "mistral": Provider(
        "https://api.mistral.ai/v1", CHAT, ("MISTRAL_API_KEY",), "MISTRAL_BASE_URL", "mistral-small-latest",
        ("mistral-", "magistral-", "ministral-", "codestral-", "devstral-", "pixtral-"),
        {"seed": "random_seed", "stream_options": ""}, resume="repeated_prefix",
    ),
    "groq": Provider("https://api.groq.com/openai/v1", CHAT, ("GROQ_API_KEY",), "GROQ_BASE_URL", resume="assistant"),
    "openrouter": Provider(
        "https://openrouter.ai/api/v1", CHAT, ("OPENROUTER_API_KEY",), "OPENROUTER_BASE_URL", "openrouter/auto"
    ),
    "deepseek": Provider(
        "https://api.deepseek.com", CHAT, ("DEEPSEEK_API_KEY",), "DEEPSEEK_BASE_URL", "deepseek-chat", ("deepseek-",),
        resume="prefix", resume_base="https://api.deepseek.com/beta",
    ),
    "xai": Provider("https://api.x.ai/v1", CHAT, ("XAI_API_KEY",), "XAI_BASE_URL", "", ("grok-",)),
    "together": Provider("https://api.together.xyz/v1", CHAT, ("TOGETHER_API_KEY",), "TOGETHER_BASE_URL"),
    "fireworks": Provider(
        "https://api.fireworks.ai/inference/v1", CHAT, ("FIREWORKS_API_KEY",), "FIREWORKS_BASE_URL"
    ),
    "cerebras": Provider("https://api.cerebras.ai/v1", CHAT, ("CEREBRAS_API_KEY",), "CEREBRAS_BASE_URL"),
    "perplexity": Provider(
        "https://api.perplexity.ai", CHAT, ("PERPLEXITY_API_KEY",), "PERPLEXITY_BASE_URL", "sonar", ("sonar",),
        {"stream_options": ""},
    ),
    "bedrock": Provider(f"{SDK_FINDS_IT}bedrock", MESSAGES, (), "ANTHROPIC_BEDROCK_BASE_URL", transport=SDK),
    "bedrock-mantle": Provider(
        f"{SDK_FINDS_IT}bedrock-mantle", MESSAGES, (), "ANTHROPIC_BEDROCK_MANTLE_BASE_URL", transport=SDK
    ),
    "vertex": Provider(f"{SDK_FINDS_IT}vertex", MESSAGES, (), "ANTHROPIC_VERTEX_BASE_URL", transport=SDK),
    "foundry": Provider(
        "", MESSAGES, ("ANTHROPIC_FOUNDRY_API_KEY",), "ANTHROPIC_FOUNDRY_BASE_URL", transport=SDK_WITHOUT_KEY
    ),
    "ollama": Provider("http://127.0.0.1:11434/v1", CHAT, (), "OLLAMA_HOST", url_path="/v1", resume="assistant"),
    "llamacpp": Provider("http://127.0.0.1:8080/v1", CHAT, (), "LLAMACPP_BASE_URL", resume="replay"),
    "vllm": Provider("http://127.0.0.1:8000/v1", CHAT, (), "VLLM_BASE_URL", resume="continue_final_message"),
    "lmstudio": Provider("http://127.0.0.1:1234/v1", CHAT, (), "LMSTUDIO_BASE_URL"),
    "local": Provider("", CHAT, (), model="smollm2-135m", resume="replay"),
}  # fmt: skip


class Catalogue(NamedTuple):
    """What a model's name can mean: `model` is what no name means, `read_key` reads a row's key_file or key_cmd."""

    providers: Mapping[str, Provider] = PROVIDERS
    aliases: Mapping[str, str] = {}
    model: str = ""
    read_key: Callable[[str, Provider], str] = lambda provider, row: ""


BUILT_IN = Catalogue()


def at_other_address(row: Provider) -> Provider:
    """The row of a provider whose address is not its own: what answers there need not be what its own server is."""
    return row._replace(api=row.compatible_api, fields={}, resume="") if row.compatible_api else row
