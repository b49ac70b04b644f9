"""From a model's name to a Target: which provider it means, at which address, with which key.

Keys and addresses are looked up in the environment that is passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..dialects import CHAT, dialect
from ..errors import UsageError, nearest, option
from .registry import BUILT_IN, SDK, Catalogue, Provider, at_other_address


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


def resolve(name: str | None, api: str | None, env: Mapping[str, str], catalogue: Catalogue = BUILT_IN) -> Target:
    """The target that a model's name means. Raises UsageError for unknown names and missing keys."""
    provider, model = named(name, env, catalogue)
    if provider == "replay":
        return Target(provider, model, api or CHAT, "", "", {}, "")
    if not model:
        raise UsageError(f"{provider} has no default model: use {option('model', f'{provider}/MODEL')}")
    return reach(provider, model, api, env, catalogue)


def named(name: str | None, env: Mapping[str, str], catalogue: Catalogue = BUILT_IN) -> tuple[str, str]:
    """The provider and the model that a name means; without a name, those that are meant then."""
    if name == "":  # what asked for one was cancelled, maybe; the default is not meant
        raise UsageError(f"the model's name is empty: leave {option('model')} out for the default model")
    name = name or env.get("LLMSTREAM_MODEL") or catalogue.model or _with_key(env, catalogue)
    followed = []
    while name in catalogue.aliases and name not in followed:
        followed.append(name)
        name = catalogue.aliases[name]
    if name in followed:
        raise UsageError(f"the alias {name!r} leads back to itself")
    scheme, _, recording = name.partition(":")
    if scheme == "replay":
        if not recording:
            raise UsageError(f"replay: names no recording: use {option('model', 'replay:FILE')}")
        return "replay", recording
    provider, model = _split(name, catalogue)
    return provider, model or catalogue.providers[provider].model


def reach(
    provider: str, model: str, api: str | None, env: Mapping[str, str], catalogue: Catalogue = BUILT_IN
) -> Target:
    """The target that a provider's model is. Raises UsageError for a missing key."""
    row = catalogue.providers[provider]
    if provider == "local":
        return Target(provider, model, api or row.api, "", "", row.fields, "", row.resume)
    base_url = _base_url(provider, row, env)
    own = base_url == row.base_url or not row.base_url
    more = row.headers if own else ()
    key = "" if row.transport == SDK else _key(provider, row, env, own, catalogue)
    if row.transport and not key:
        if row.transport == SDK and api not in (None, row.api):
            raise UsageError(f"{provider} has no {option('api', api)}: it speaks {row.api}")
        token = env.get(row.token_env, "")  # the SDK adds its own paths to the base
        return Target(provider, model, api or row.api, base_url, token, row.fields, "", more=more, transport=SDK)
    if row.compatible_api and not own:
        row = at_other_address(row)
    api = api or row.api
    resume_url = endpoint(row.resume_base, api) if row.resume_base and own else ""
    key_header = row.key_header if key else ""
    return Target(
        provider, model, api, endpoint(base_url, api), key, row.fields, key_header, row.resume, resume_url, more
    )


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


def _split(name: str, catalogue: Catalogue) -> tuple[str, str]:
    """Provider and model ("" for its default) of a model's name."""
    if name.endswith(".gguf"):
        return "local", name.removeprefix("local/")
    rows = catalogue.providers
    head, slash, model = name.partition("/")
    if head in rows and (model or not slash):
        return head, model
    if not slash:
        for provider, row in rows.items():
            if name.startswith(row.prefixes or ("/",)):
                return provider, name
    if slash and head in ("", ".", "..", "~"):
        raise UsageError(f"{name} names no model: the file of one ends in .gguf")
    near = nearest(head, rows if slash else [*catalogue.aliases, *rows])
    meant = near if near in catalogue.aliases else f"{near}/{model or 'MODEL'}"
    hint = f"did you mean {meant}?" if near else f"PROVIDER is one of {', '.join(rows)}"
    what = f"unknown provider {head!r}" if slash else f"cannot tell the provider of model {name!r}"
    raise UsageError(f"{what}: use {option('model', 'PROVIDER/MODEL')} or the path of a .gguf file: {hint}")


def _with_key(env: Mapping[str, str], catalogue: Catalogue) -> str:
    """The first provider whose key is set, else the embedded model."""
    for name, row in catalogue.providers.items():
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


def _key(provider: str, row: Provider, env: Mapping[str, str], own: bool, catalogue: Catalogue) -> str:
    """The key; that of a file or a command goes to the address that the configuration has it for, and to no other."""
    for name in row.key_env:
        if key := env.get(name):
            return checked_key(key, name)
    if own and (row.key_file or row.key_cmd):
        return catalogue.read_key(provider, row)
    if own and row.key_env and not row.keyless and not row.transport:
        raise UsageError(f"no key for {provider}: set {' or '.join(row.key_env)}")
    return ""


def checked_key(key: str, source: str) -> str:
    """The key. Raises UsageError, which does not show it, where it cannot be one: it would break the header."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(f"{source} is no key: it holds a line end, a blank or a character that is not ASCII")
    return key
