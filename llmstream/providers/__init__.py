"""The registry: which providers there are, how to reach them, and which one a model's name means.

A compatible server is one row. Keys and addresses are looked up in the environment that is passed in; what the user's
configuration adds and changes comes as a Catalogue.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import NamedTuple

from ..errors import UsageError, nearest

CHAT, RESPONSES, MESSAGES = APIS = ("chat", "responses", "messages")
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
    elsewhere: str = ""  # the dialect at any other address, where that is not surely the same
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
        ("gpt-", "chatgpt-", "o1", "o3", "o4", "codex-"), COMPLETION_TOKENS, elsewhere=CHAT, resume="background",
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


class Target(NamedTuple):
    """Where a request goes. `url` is "" for the embedded model, whose server is yet to be started."""

    provider: str
    model: str
    api: str
    url: str
    key: str
    fields: dict[str, str]
    key_header: str
    resume: str = ""
    resume_url: str = ""
    more: tuple[str, ...] = ()  # header lines of the user's, which replace ours of the same name
    transport: str = ""  # SDK, or our own wire

    def headers(self) -> list[str]:
        """HTTP header lines: those that carry the key, where no SDK adds them, and the user's own."""
        replaced = {_field(line) for line in self.more}
        return [*(line for line in self._key_lines() if _field(line) not in replaced), *self.more]

    def hidden(self) -> Target:
        """The same for people to see: without the key, and without the values of headers, which may be secrets too."""
        more = tuple(f"{line.partition(':')[0]}: [hidden]" for line in self.more)
        return self._replace(key=self.key and "[key]", more=more)

    def _key_lines(self) -> list[str]:
        if self.transport == SDK:
            return []
        if self.key_header:
            return [f"{self.key_header}: {self.key}"]
        lines: list[str] = dialect(self.api).headers(self.key)
        return lines


def shown(url: str) -> str:
    """A URL for people to see: without a password."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def dialect(api: str) -> ModuleType:
    """The module of a dialect: PATH, headers(), body(), Decoder."""
    return importlib.import_module(f".{api}", __name__)


def resolve(name: str | None, api: str | None, env: Mapping[str, str], known: Catalogue = BUILT_IN) -> Target:
    """The target that a model's name means. Raises UsageError for unknown names and missing keys."""
    provider, model = named(name, env, known)
    if provider == "replay":
        return Target(provider, model, api or CHAT, "", "", {}, "")
    if not model:
        raise UsageError(f"{provider} has no default model: name one with -m {provider}/MODEL")
    return reach(provider, model, api, env, known)


def named(name: str | None, env: Mapping[str, str], known: Catalogue = BUILT_IN) -> tuple[str, str]:
    """The provider and the model that a name means; without a name, those that are meant then."""
    if name == "":  # what asked for one was cancelled, maybe; the default is not meant
        raise UsageError("the model's name is empty: leave -m out for the default model")
    name = name or env.get("LLMSTREAM_MODEL") or known.model or _with_key(env, known)
    followed = []
    while name in known.aliases and name not in followed:
        followed.append(name)
        name = known.aliases[name]
    if name in followed:
        raise UsageError(f"the alias {name!r} leads back to itself")
    scheme, _, recording = name.partition(":")
    if scheme == "replay":
        if not recording:
            raise UsageError("replay: names no recording: say -m replay:FILE")
        return "replay", recording
    provider, model = _split(name, known)
    return provider, model or known.providers[provider].model


def reach(provider: str, model: str, api: str | None, env: Mapping[str, str], known: Catalogue = BUILT_IN) -> Target:
    """The target that a provider's model is. Raises UsageError for a missing key."""
    row = known.providers[provider]
    if provider == "local":
        return Target(provider, model, api or row.api, "", "", row.fields, "", row.resume)
    base_url = _base_url(provider, row, env)
    own = base_url == row.base_url or not row.base_url
    more = row.headers if own else ()
    key = "" if row.transport == SDK else _key(provider, row, env, own, known)
    if row.transport and not key:
        if row.transport == SDK and api not in (None, row.api):
            raise UsageError(f"{provider} has no --api {api}: it speaks {row.api}")
        token = env.get(row.token_env, "")  # the SDK adds its own paths to the base
        return Target(provider, model, api or row.api, base_url, token, row.fields, "", more=more, transport=SDK)
    if row.elsewhere and not own:
        row = moved(row)
    api = api or row.api
    resume_url = endpoint(row.resume_base, api) if row.resume_base and own else ""
    key_header = row.key_header if key else ""
    return Target(
        provider, model, api, endpoint(base_url, api), key, row.fields, key_header, row.resume, resume_url, more
    )


def moved(row: Provider) -> Provider:
    """The row of a provider whose address is not its own: what answers there need not be what its own server is."""
    return row._replace(api=row.elsewhere, fields={}, resume="") if row.elsewhere else row


def endpoint(base_url: str, api: str) -> str:
    """The address of a dialect; whether the base has the /v1 that one dialect wants and another has itself or not."""
    path: str = dialect(api).PATH
    return (base_url.removesuffix("/v1") if path.startswith("/v1/") else base_url) + path


def list_url(target: Target) -> str:
    """The address of the list of a provider's models."""
    path: str = dialect(target.api).PATH
    return target.url.removesuffix(path) + ("/v1/models" if path.startswith("/v1/") else "/models")


def _field(line: str) -> str:
    return line.partition(":")[0].lower()


def _split(name: str, known: Catalogue) -> tuple[str, str]:
    """Provider and model ("" for its default) of a model's name."""
    if name.endswith(".gguf"):
        return "local", name.removeprefix("local/")
    rows = known.providers
    head, slash, model = name.partition("/")
    if head in rows and (model or not slash):
        return head, model
    if not slash:
        for provider, row in rows.items():
            if name.startswith(row.prefixes or ("/",)):
                return provider, name
    if slash and head in ("", ".", "..", "~"):
        raise UsageError(f"{name} names no model: the file of one ends in .gguf")
    near = nearest(head, rows if slash else [*known.aliases, *rows])
    meant = near if near in known.aliases else f"{near}/{model or 'MODEL'}"
    hint = f"did you mean {meant}?" if near else f"PROVIDER is one of {', '.join(rows)}"
    what = f"unknown provider {head!r}" if slash else f"no provider is plain from the model's name {name!r}"
    raise UsageError(f"{what}: say -m PROVIDER/MODEL or the path of a .gguf file: {hint}")


def _with_key(env: Mapping[str, str], known: Catalogue) -> str:
    """The first provider whose key is set, else the embedded model."""
    for name, row in known.providers.items():
        if any(env.get(k) for k in row.key_env) or ((row.key_file or row.key_cmd) and row.model):
            return name
    return "local"


def _base_url(provider: str, row: Provider, env: Mapping[str, str]) -> str:
    url = env.get(row.url_env, "").rstrip("/")
    if not url:
        if not row.base_url:
            raise UsageError(f"{provider} needs an address: set {row.url_env}")
        return row.base_url
    if "://" not in url and not row.key_env:  # OLLAMA_HOST is a mere host; a key never goes out in clear by default
        url = f"http://{url}"
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{row.url_env} is not a URL: it begins with https:// or http://")
    if "?" in url or "#" in url:
        raise UsageError(f"{row.url_env} is no base URL: paths are added to it, so it has no ? and no #")
    return url if url.endswith(row.url_path) else url + row.url_path


def _key(provider: str, row: Provider, env: Mapping[str, str], own: bool, known: Catalogue) -> str:
    """The key; that of a file or a command goes to the address that the configuration has it for, and to no other."""
    for name in row.key_env:
        if key := env.get(name):
            return checked_key(key, name)
    if own and (row.key_file or row.key_cmd):
        return known.read_key(provider, row)
    if own and row.key_env and not row.keyless and not row.transport:
        raise UsageError(f"no key for {provider}: set {' or '.join(row.key_env)}")
    return ""


def checked_key(key: str, source: str) -> str:
    """The key. Raises UsageError, which does not show it, where it cannot be one: it would break the header."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(f"{source} is no key: it holds a line end, a blank or a character that is not ASCII")
    return key
