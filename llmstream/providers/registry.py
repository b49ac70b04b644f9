"""The registry of providers: a row each, which says how to reach it and what its servers can do.

A compatible server is one row. A configuration adds and changes rows, and hands them on as a Catalogue.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..dialects import CHAT, MESSAGES, OLLAMA, RESPONSES
from . import model_limits
from .model_limits import ModelLimits

# Transports, by the names that net/transports opens them by.
CURL, SDK, REPLAY, EMBEDDED = "curl", "sdk", "replay", "embedded"
SDK_WITHOUT_KEY = "sdk without key"  # the SDK where there is no key, else curl
SDK_FINDS_IT = "sdk:"  # in place of an address

OFFSET, BACKGROUND = "offset", "background"  # ways to resume an answer: see net/resume


class PrefillStyle(NamedTuple):
    """How a server is asked to continue a last message of the assistant's."""

    message: dict[str, Any] = {}  # noqa: RUF012 - further fields of that message
    body: dict[str, Any] = {}  # noqa: RUF012 - further fields of the body
    repeats: bool = False  # the answer begins with that message again
    apis: tuple[str, ...] = (CHAT,)  # the only dialects in which it does
    models: str = ""  # a regular expression for the models that do, "" for all


ASSISTANT = PrefillStyle()
PREFIX = PrefillStyle({"prefix": True})
REPEATED_PREFIX = PrefillStyle({"prefix": True}, repeats=True)
CONTINUE_FINAL = PrefillStyle(body={"continue_final_message": True, "add_generation_prompt": False})
CLAUDE_4_5 = PrefillStyle(apis=(MESSAGES,), models=r"claude-(haiku|sonnet|opus)-4-5\b")  # newer models refuse it


class ReasoningStyle(NamedTuple):
    """How a server is asked to send the reasoning, where it does so on request only."""

    body: dict[str, Any]  # fields that are merged into the body
    models: str  # a regular expression for the models that take them
    api: str  # the only dialect in which they do


# OpenAI: models that think. "chat" in a name stands for those that do not.
SUMMARY = ReasoningStyle({"reasoning": {"summary": "auto"}}, r"^(gpt-([5-9]|\d\d)|o[34]|codex-)(?!.*-chat)", RESPONSES)
# Gemini: thinking came with 2.5. Source: "OpenAI compatibility", on thinking.
THOUGHTS = ReasoningStyle(
    {"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}},
    r"gemini-(2\.5|[3-9]|flash-|pro-)(?!.*-(image|tts|audio))", CHAT,
)  # fmt: skip
# Groq: its gpt-oss models refuse the field, and send the reasoning anyway. Source: "Reasoning".
PARSED = ReasoningStyle({"reasoning_format": "parsed"}, r"qwen3|qwq|deepseek-r1", CHAT)


# OpenAI documentation, "Prompt caching": GPT-5.6 and later families.
MATCHES_AT_MARKS = r"gpt-(5\.([6-9]|\d\d)|[6-9]|\d\d)"


class EffortStyle(NamedTuple):
    """How a server is asked for an effort, where it has no field for it."""

    bodies: dict[str, dict[str, Any]]  # fields that are merged into the body instead, by effort
    api: str  # the only dialect in which it is so


# DeepSeek API documentation, "Thinking mode": it has other efforts as all servers have.
NO_THINKING = EffortStyle({"none": {"thinking": {"type": "disabled"}}}, CHAT)

# The values of `service_tier`. Sources: the types of the SDKs.
OPENAI_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
ANTHROPIC_TIERS = ("auto", "standard_only")
GROQ_TIERS = ("auto", "on_demand", "flex", "performance")


class Provider(NamedTuple):
    """A row of the registry: how a provider is reached, and what its servers can do.

    `base_url` ends where the dialect's PATH begins; the environment variable `url_env` may replace it.
    """

    base_url: str = ""
    api: str = CHAT
    key_env: tuple[str, ...] = ()  # environment variables that may hold the key; () where no key is needed
    url_env: str = ""
    model: str = ""  # the default model, where the provider has one that stays
    prefixes: tuple[str, ...] = ()  # prefixes of model names that mean this provider
    field_names: dict[str, str] = {}  # noqa: RUF012 - the server's names of body fields, "" to leave a field out
    key_header: str = ""  # the header of the key, where it is not the dialect's
    bearer_env: tuple[str, ...] = ()  # those of key_env whose keys are sent as `Authorization: Bearer`
    header_env: Mapping[str, str] = {}  # headers for the provider's own address, by the variables of their values
    url_path: str = ""  # what is appended to the value of url_env
    host_port: int = 0  # the port where url_env may be a host alone, as OLLAMA_HOST: see host.py; 0 where it is a URL
    resume: str = ""  # OFFSET or BACKGROUND, if an answer that was cut can go on so
    prefill: PrefillStyle | None = None
    reasoning: ReasoningStyle | None = None  # None where it comes unasked, or the dialect asks
    effort: EffortStyle | None = None
    limits: tuple[ModelLimits, ...] = ()  # what its models take
    windows: tuple[str, ...] = ()  # of time, in which background responses are answered at a discount
    batches: bool = True  # whether its servers may have the batches of its dialect's maker; some have others, or none
    tiers: tuple[str, ...] = ()  # the values of `service_tier`, () where they are not known
    model_prefix: str = ""  # what stands before a model's name that has no slash
    prefill_base: str = ""  # the base URL for prefilled requests, where it is not base_url
    cache_key: bool = False  # whether a request may have `prompt_cache_key`
    cache_marks: str = ""  # a regular expression for the models whose cache matches at marks only
    schema_api: str = ""  # the only dialect in which the server obeys a schema, "" for all
    model_fields: Mapping[str, Any] = {}  # of the body for `model`, where the request has none
    model_system: str = ""  # the system prompt for `model`, where the request has none
    bridges_results: bool = False  # refuses a user's message right behind the result of a tool
    text_only: bool = False  # the models take no images and no sound
    compatible_api: str = ""  # the dialect that servers at other addresses speak, where it may differ
    transport: str = CURL
    token_env: str = ""  # the environment variable of a token that the SDK sends where there is no key
    # Set by a configuration only:
    key_file: str = ""  # a file that holds the key
    key_cmd: tuple[str, ...] = ()  # a command that prints the key
    cert: str = ""  # a file of the client certificate, in PEM
    cert_key: str = ""  # a file of its key, where that is not in `cert`
    keyless: bool = False  # the key may be missing, although key_env names one
    headers: tuple[str, ...] = ()  # further HTTP header lines
    # Set by providers.resolve only:
    bearer: bool = False  # the key is sent as `Authorization: Bearer`

    def full_name(self, model: str) -> str:
        """Returns a model's name as the servers know it; "" stays ""."""
        return self.model_prefix + model if model and "/" not in model else model

    @property
    def has_address(self) -> bool:
        """Whether its servers have a URL, unlike recordings and the embedded model."""
        return self.transport not in (REPLAY, EMBEDDED)

    @property
    def may_use_sdk(self) -> bool:
        """Whether an SDK finds the credentials where no key is set."""
        return self.transport in (SDK, SDK_WITHOUT_KEY)


# The names of body fields where they differ from the dialect's own.
COMPLETION_TOKENS = {"max_tokens": "max_completion_tokens"}

# A model this small may repeat itself without end. A system prompt other than its own makes it answer to the point.
SMALL_MODEL = {"max_tokens": 1024, "repeat_penalty": 1.05, "repeat_last_n": 256}
SMALL_MODEL_SYSTEM = "You are a helpful assistant."

LOCAL = "local"  # the embedded model: what .gguf files mean, and the default where no key is set

# Batches that are not OpenAI's, by the providers' documentation: Gemini's compatible API takes no files of requests,
# Mistral has /batch/jobs, OpenRouter requests within the batch, xAI requests beside it, Together another purpose of
# files and other statuses, Fireworks jobs of an account; DeepSeek and Perplexity have none.
PROVIDERS: dict[str, Provider] = {
    "openai": Provider(
        "https://api.openai.com/v1", RESPONSES, ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "gpt-6-luna",
        ("gpt-", "chatgpt-", "o1", "o3", "o4", "codex-"), COMPLETION_TOKENS, compatible_api=CHAT, resume=BACKGROUND,
        reasoning=SUMMARY, limits=model_limits.OPENAI, tiers=OPENAI_TIERS, windows=("2h", "8h"), cache_key=True,
        cache_marks=MATCHES_AT_MARKS,
        header_env={"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"},
    ),
    "anthropic": Provider(
        "https://api.anthropic.com", MESSAGES, ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"), "ANTHROPIC_BASE_URL",
        "claude-sonnet-5-5", ("claude-",), prefill=CLAUDE_4_5, tiers=ANTHROPIC_TIERS,
        bearer_env=("ANTHROPIC_AUTH_TOKEN",),
    ),
    "azure": Provider(
        "", RESPONSES, ("AZURE_OPENAI_API_KEY",), "AZURE_OPENAI_ENDPOINT",
        field_names=COMPLETION_TOKENS, key_header="api-key", url_path="/openai/v1", resume=BACKGROUND,
        reasoning=SUMMARY, cache_key=True, transport=SDK_WITHOUT_KEY, token_env="AZURE_OPENAI_AD_TOKEN",
    ),
    "gemini": Provider(
        "https://generativelanguage.googleapis.com/v1beta/openai", CHAT, ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "GEMINI_BASE_URL", "gemini-flash-latest", ("gemini-",), reasoning=THOUGHTS, limits=model_limits.GEMINI,
        batches=False,
    ),
    "mistral": Provider(
        "https://api.mistral.ai/v1", CHAT, ("MISTRAL_API_KEY",), "MISTRAL_BASE_URL", "mistral-small-latest",
        ("mistral-", "magistral-", "ministral-", "codestral-", "devstral-", "pixtral-"),
        {"seed": "random_seed", "stream_options": ""}, prefill=REPEATED_PREFIX,
        limits=model_limits.MISTRAL, batches=False, bridges_results=True,
    ),
    "groq": Provider(
        "https://api.groq.com/openai/v1", CHAT, ("GROQ_API_KEY",), "GROQ_BASE_URL", prefill=ASSISTANT,
        reasoning=PARSED, limits=model_limits.GROQ, tiers=GROQ_TIERS,
    ),
    "openrouter": Provider(
        "https://openrouter.ai/api/v1", CHAT, ("OPENROUTER_API_KEY",), "OPENROUTER_BASE_URL", "openrouter/auto",
        batches=False,
    ),
    "deepseek": Provider(
        "https://api.deepseek.com", CHAT, ("DEEPSEEK_API_KEY",), "DEEPSEEK_BASE_URL", "deepseek-flash", ("deepseek-",),
        prefill=PREFIX, effort=NO_THINKING, prefill_base="https://api.deepseek.com/beta", batches=False,
    ),
    "xai": Provider(
        "https://api.x.ai/v1", RESPONSES, ("XAI_API_KEY",), "XAI_BASE_URL", "", ("grok-",), limits=model_limits.XAI,
        batches=False,
    ),
    "together": Provider(
        "https://api.together.xyz/v1", CHAT, ("TOGETHER_API_KEY",), "TOGETHER_BASE_URL", batches=False
    ),
    "fireworks": Provider(
        "https://api.fireworks.ai/inference/v1", CHAT, ("FIREWORKS_API_KEY",), "FIREWORKS_BASE_URL", batches=False
    ),
    "cerebras": Provider("https://api.cerebras.ai/v1", CHAT, ("CEREBRAS_API_KEY",), "CEREBRAS_BASE_URL"),
    "perplexity": Provider(
        "https://api.perplexity.ai/v1", RESPONSES, ("PERPLEXITY_API_KEY",), "PERPLEXITY_BASE_URL", "perplexity/sonar",
        ("sonar",), {"store": ""}, model_prefix="perplexity/", batches=False,  # it refuses fields that it does not know
    ),
    "bedrock": Provider(f"{SDK_FINDS_IT}bedrock", MESSAGES, (), "ANTHROPIC_BEDROCK_BASE_URL", transport=SDK),
    "bedrock-mantle": Provider(
        f"{SDK_FINDS_IT}bedrock-mantle", MESSAGES, (), "ANTHROPIC_BEDROCK_MANTLE_BASE_URL", transport=SDK
    ),
    "vertex": Provider(f"{SDK_FINDS_IT}vertex", MESSAGES, (), "ANTHROPIC_VERTEX_BASE_URL", transport=SDK),
    "foundry": Provider(
        "", MESSAGES, ("ANTHROPIC_FOUNDRY_API_KEY",), "ANTHROPIC_FOUNDRY_BASE_URL", transport=SDK_WITHOUT_KEY
    ),
    "ollama": Provider(
        "http://127.0.0.1:11434/v1", OLLAMA, (), "OLLAMA_HOST", url_path="/v1", host_port=11434,
        prefill=PrefillStyle(apis=(OLLAMA, CHAT)),
    ),
    "llamacpp": Provider(
        "http://127.0.0.1:8080/v1", CHAT, (), "LLAMACPP_BASE_URL",
        resume=OFFSET, prefill=ASSISTANT, schema_api=CHAT,
    ),
    "vllm": Provider("http://127.0.0.1:8000/v1", CHAT, (), "VLLM_BASE_URL", prefill=CONTINUE_FINAL),
    "lmstudio": Provider("http://127.0.0.1:1234/v1", CHAT, (), "LMSTUDIO_BASE_URL"),
    LOCAL: Provider(
        model="smollm2-135m", model_fields=SMALL_MODEL, model_system=SMALL_MODEL_SYSTEM, resume=OFFSET,
        prefill=ASSISTANT, schema_api=CHAT, text_only=True, transport=EMBEDDED,
        limits=model_limits.SMOLLM2,
    ),
}  # fmt: skip


SCHEMES = {"replay": Provider(transport=REPLAY)}  # rows that a model's name means by SCHEME:REST


class Catalogue(NamedTuple):
    """The providers and aliases that a model's name is looked up in.

    `fallbacks` are the models to ask after the first one, by the name or alias of the first. `model` is the default
    model's name, "" to choose one by the keys that are set; `read_key` returns the key that a row's key_file or key_cmd
    holds; it takes `wait=False` where the caller must not block.
    """

    providers: Mapping[str, Provider] = PROVIDERS
    aliases: Mapping[str, str] = {}
    fallbacks: Mapping[str, tuple[str, ...]] = {}
    model: str = ""
    read_key: Callable[..., str] = lambda provider, row, wait=True: ""

    def row(self, provider: str) -> Provider:
        """Returns the row of a provider or scheme."""
        return SCHEMES[provider] if provider in SCHEMES else self.providers[provider]


BUILT_IN = Catalogue()


def at_other_address(row: Provider) -> Provider:
    """Returns the row as used at another base URL: a compatible dialect, and no extras of the provider's servers."""
    row = row._replace(prefill_base="", headers=(), limits=(), tiers=(), header_env={}, cert="", cert_key="")
    if not row.compatible_api:
        return row
    return row._replace(
        api=row.compatible_api, field_names={}, resume="", reasoning=None, cache_key=False, cache_marks=""
    )
