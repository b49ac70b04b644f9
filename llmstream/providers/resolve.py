"""Resolves a model's name to a Target: the provider, its address and its key.

Keys and addresses are looked up in the environment that the caller passes.
"""

import re
from collections.abc import Mapping

from ..dialects import OLLAMA
from ..errors import UsageError, nearest, option
from .registry import BUILT_IN, CURL, EMBEDDED, LOCAL, PROVIDERS, SCHEMES, SDK, Catalogue, Provider, at_other_address
from .target import Target, endpoint, field_name

# A base URL: the hosts that libcurl takes, and a port of up to five digits.
BASE_URL = r"""https?://([^/@]*@)?(\[[0-9a-fA-F:.]+(%[\w.~%-]+)?\]|[^]/:?#@\s{}[\\$'"^`*<>=;,+&()%|!]+)(:(?P<port>\d{1,5})?)?(/.*)?"""
EMBEDDED_MODEL = PROVIDERS[LOCAL].model


def resolve(
    name: str | tuple[str, str] | None,
    api: str | None,
    env: Mapping[str, str],
    catalogue: Catalogue = BUILT_IN,
    *,
    key: str | None = None,
    key_env: str = "",
    url: str | None = None,
) -> Target:
    """Returns the target that a model's name means. Raises UsageError for unknown names and missing keys.

    `name` may also be a provider and its model, "" for any. `api` is the dialect, where it is not to be the provider's
    own. `key` and `url`, where the caller passes them, replace those of the environment and the configuration. A `url`
    gets only the `key` beside it: no key and no headers that are meant for another address. `key_env` is the variable
    that the key comes from, "" where a program passes it.
    """
    provider, model = name if isinstance(name, tuple) else named(name, env, catalogue)
    if not model and not isinstance(name, tuple):
        source = _source(name, env, catalogue)
        raise UsageError(f"{source}{provider} has no default model: use {option('model', f'{provider}/MODEL')}")
    row = catalogue.row(provider)
    key_name = option("key_env") if key_env else "api_key"
    if not row.has_address:
        if key is not None or url is not None:
            raise _no_address(provider, key_name, url is not None and name is None)
        if row.transport == EMBEDDED and api == OLLAMA:
            raise UsageError(f"the embedded model has no {option('api', api)}: leave it out")
        is_fallback = provider == LOCAL and name is None and not default_name(env, catalogue)
        return Target(provider, model, api or row.api, "", "", row, is_fallback)
    if (key is not None or url is not None) and (row.transport == SDK or (row.may_use_sdk and key is None)):
        names = f"{key_name} and {option('base_url')}"
        raise UsageError(f"the SDK of {provider} finds key and address: leave {names} out")
    base_url = _base_url(provider, row, env, url)
    is_default_url = base_url == row.base_url or not row.base_url
    variable = key_env
    if key is not None:
        secret = checked_key(key, key_env or key_name)
        if not secret and is_default_url and row.key_env:
            raise UsageError(f"{key_name} is empty: pass the key of {provider}")
    elif row.transport == SDK or url is not None:
        secret = ""
    else:
        variable, secret = _key(provider, row, env, is_default_url, catalogue)
    if row.may_use_sdk and not secret:
        if row.transport == SDK and api not in (None, row.api):
            raise UsageError(f"{provider} has no {option('api', api)}: it speaks {row.api}")
        token = env.get(row.token_env, "").strip()
        row = row._replace(transport=SDK, headers=row.headers if is_default_url else ())
        return Target(provider, model, api or row.api, base_url, token, row)  # the SDK appends its own paths
    row = row._replace(transport=CURL, bearer=variable in row.bearer_env)
    if not is_default_url:
        row = at_other_address(row)
    row = row._replace(headers=() if url is not None else _headers(row, env))
    api = api or row.api
    return Target(provider, model, api, endpoint(base_url, api), secret, row)


def _headers(row: Provider, env: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the row's header lines, and those whose values the environment has. Raises UsageError."""
    names = {field_name(line) for line in row.headers}
    values = {name: value for name in row.header_env if (value := env.get(name, "").strip())}
    lines = [f"{row.header_env[name]}: {checked_key(value, name, 'header')}" for name, value in values.items()]
    return (*(line for line in lines if field_name(line) not in names), *row.headers)


def _no_address(provider: str, key_name: str, needs_model: bool) -> UsageError:
    """Returns the error of a key or an address for what has none; `needs_model`: no model was named beside the URL."""
    if needs_model:
        advice = f"use {option('model', 'PROVIDER/MODEL')}, openai/MODEL for a server of OpenAI's protocol"
        return UsageError(f"{option('base_url')} needs a model: {advice}")
    return UsageError(f"{provider} takes neither {key_name} nor {option('base_url')}: leave them out")


def named(name: str | None, env: Mapping[str, str], catalogue: Catalogue = BUILT_IN) -> tuple[str, str]:
    """Returns the provider and the model that a name means, "" where the provider has no default model.

    Without a name it is LLMSTREAM_MODEL's, the configuration's, or the first provider's whose key is set.
    """
    if name == "":  # a command that prints a name was cancelled, perhaps: the default is not meant
        raise UsageError(f"the model's name is empty: leave {option('model')} out for the default model")
    try:
        return _meaning(name or default_name(env, catalogue) or _with_key(env, catalogue), catalogue)
    except UsageError as error:
        raise UsageError(f"{_source(name, env, catalogue)}{error.message}") from None


def _source(name: str | None, env: Mapping[str, str], catalogue: Catalogue) -> str:
    """Returns the beginning of a message about a default model: where its name comes from. "" for another model."""
    if name or not default_name(env, catalogue):
        return ""
    return "LLMSTREAM_MODEL: " if env.get("LLMSTREAM_MODEL", "").strip() else "the model of the configuration: "


def _meaning(name: str, catalogue: Catalogue) -> tuple[str, str]:
    """Returns the provider and the model that a name means; aliases are followed."""
    followed = []
    while name in catalogue.aliases and name not in followed:
        followed.append(name)
        name = catalogue.aliases[name]
    if name in followed:
        raise UsageError(f"the alias {name!r} refers to itself")
    scheme, _, rest = name.partition(":")
    if scheme in SCHEMES:
        if not rest:
            raise UsageError(f"{scheme}: lacks the name of a recording: use {option('model', f'{scheme}:FILE')}")
        return scheme, rest
    provider, model = _split(name, catalogue)
    row = catalogue.providers[provider]
    model = row.full_name(model or row.model)
    if row.transport == EMBEDDED and model != EMBEDDED_MODEL and not model.endswith(".gguf"):
        advice = f"use {option('model', LOCAL)} or the path of a .gguf file"
        raise UsageError(f"the embedded model is {EMBEDDED_MODEL}, not {model!r}: {advice}")
    return provider, model


def model_names(
    model: str | tuple[str, ...] | None, env: Mapping[str, str], catalogue: Catalogue = BUILT_IN
) -> tuple[str | None, ...]:
    """Returns the names of the models to ask, in their order: more than one for several names, and for some aliases.

    None is the default model. Raises UsageError for an alias that refers to itself.
    """
    names: list[str | None] = []
    for name in model if isinstance(model, tuple) else (model,):
        several = _with_fallbacks(default_name(env, catalogue) if name is None else name, catalogue, ())
        names += several if len(several) > 1 else [name]
    return tuple(dict.fromkeys(names))


def _with_fallbacks(name: str, catalogue: Catalogue, followed: tuple[str, ...]) -> list[str]:
    """Returns the models that a name stands for; `followed` are the aliases that have led to it."""
    if name in followed:
        raise UsageError(f"the alias {name!r} refers to itself")
    followed = (*followed, name)
    names = _with_fallbacks(catalogue.aliases[name], catalogue, followed) if name in catalogue.aliases else [name]
    for other in catalogue.fallbacks.get(name, ()):
        names += _with_fallbacks(other, catalogue, followed)
    return names


def default_name(env: Mapping[str, str], catalogue: Catalogue) -> str:
    """Returns the default model's name that LLMSTREAM_MODEL or the configuration has, "" where neither has one."""
    return env.get("LLMSTREAM_MODEL", "").strip() or catalogue.model


def env_key(row: Provider, env: Mapping[str, str]) -> tuple[str, str]:
    """Returns the environment variable that holds a provider's key, and the key; two "" where none does.

    Blanks and line ends around it do not count: `$(cat FILE)` and files of settings written on Windows leave them.
    """
    return next(((name, key) for name in row.key_env if (key := env.get(name, "").strip())), ("", ""))


def refuse_model_file(name: str, source: str, remedy: str) -> None:
    """Raises UsageError for a model's name that is a file's: one that comes from others must not open files.

    The message names the `source` of the name and the `remedy`, and does not say whether there is such a file.
    """
    if name.partition(":")[0] in SCHEMES or name.endswith(".gguf"):
        raise UsageError(f"{source} cannot name a model that is a file: {remedy}")


def _split(name: str, catalogue: Catalogue) -> tuple[str, str]:
    """Returns provider and model ("" for its default) of a model's name."""
    if name.endswith(".gguf"):
        return LOCAL, name.removeprefix(f"{LOCAL}/")
    rows = catalogue.providers
    head, slash, model = name.partition("/")
    if head in rows and (model or not slash):
        return head, model
    if not slash:
        for provider, row in rows.items():
            if name.startswith(row.prefixes or ("/",)):
                return provider, name
    if slash and head in ("", ".", "..", "~"):
        raise UsageError(f"{name} is not a model: a model file's name ends in .gguf")
    if slash and head in rows:
        raise UsageError(f"{name} names no model: use {option('model', f'{head}/MODEL')}")
    if "," in name:
        raise UsageError(f"{name!r} is not a model: for several, repeat {option('model')}")
    what = f"unknown provider {head!r}" if slash else f"cannot tell the provider of model {name!r}"
    if meant := _near_name(head, model if slash else None, catalogue):
        raise UsageError(f"{what}: did you mean {meant}?")
    advice = f"use {option('model', 'PROVIDER/MODEL')} or the path of a .gguf file"
    raise UsageError(f"{what}: {advice}: llmstream models lists the providers")


def _near_name(head: str, model: str | None, catalogue: Catalogue) -> str:
    """Returns the near name for an unknown provider and its model, or for a name without a slash; "" for none."""
    rows = catalogue.providers
    if model is not None:
        return f"{near}/{model or 'MODEL'}" if (near := nearest(head.lower(), rows)) else ""
    if head.lower() == LOCAL or head.lower().startswith("smollm"):
        return LOCAL
    provider, colon, model = head.partition(":")
    if colon and provider in rows:
        return f"{provider}/{model}"
    if default := next((row.model for row in rows.values() if head.lower() in row.model.split("-")), ""):
        return default  # sonnet, gpt
    if near := nearest(head.lower(), [*catalogue.aliases, *rows]):
        return near if near in catalogue.aliases else f"{near}/MODEL"
    begins = (prefix for row in rows.values() for prefix in row.prefixes if prefix.endswith("-"))
    family = next((prefix for prefix in begins if head.startswith(prefix[:-1])), "")  # gpt4: gpt-4
    return family + head[len(family) - 1 :] if family else ""


def _with_key(env: Mapping[str, str], catalogue: Catalogue) -> str:
    """Returns the first provider whose key is set, else the embedded model's."""
    for name, row in catalogue.providers.items():
        if env_key(row, env)[1] or ((row.key_file or row.key_cmd) and row.model):
            return name
    return LOCAL


def _base_url(provider: str, row: Provider, env: Mapping[str, str], argument: str | None) -> str:
    """Returns the base URL: a program's argument, the environment's, or the row's."""
    source, url = row.url_env, _trimmed(env.get(row.url_env, "").strip(), row)
    if argument is not None:
        source, url = option("base_url"), _trimmed(argument, row)
        if not url:  # its source was empty, perhaps: the provider's address is not meant
            raise UsageError(f"{source} is empty: leave it out for the provider's own address")
    elif not url:
        if not row.base_url:
            raise UsageError(f"{provider} needs an address: set {row.url_env}")
        return row.base_url
    if "://" not in url and not row.key_env:  # a key never goes out in clear by default
        url = f"http://{url}"
    try:
        return checked_url(url, row)
    except ValueError as error:
        raise UsageError(f"{source} {error}") from None


def _trimmed(url: str, row: Provider) -> str:
    """Returns a URL without slashes at its end; of OLLAMA_HOST's forms, which need not be one, the URL."""
    if row.host_port and url.strip("/"):
        from .host import host_url

        return host_url(url, row.host_port)
    return url.rstrip("/")


def checked_url(url: str, row: Provider) -> str:
    """Returns a base URL with the row's path at its end. Raises ValueError; the message continues after a name."""
    if not url.startswith(("http://", "https://")) or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("is not a URL: it must begin with https:// or http://, and have no blanks")
    if "?" in url or "#" in url:
        escapes = "; in a password they are %3F and %23" if "@" in url else ""
        raise ValueError(f"is not a base URL: it must have no ? and no #, as paths are added to it{escapes}")
    match = re.fullmatch(BASE_URL, url)
    if match is None or int(match["port"] or 0) > 65535:
        escapes = ", or its password needs %40 for @ and %2F for /" if "@" in url else ""
        raise ValueError(f"is not a URL: its host or port is malformed{escapes}")
    return url if url.endswith(row.url_path) else url + row.url_path


def _key(
    provider: str, row: Provider, env: Mapping[str, str], is_default_url: bool, catalogue: Catalogue
) -> tuple[str, str]:
    """Returns the variable that holds the key, and the key; "" where there is none.

    A key of a file or a command goes to the row's own address only.
    """
    name, key = env_key(row, env)
    if key:
        return name, checked_key(key, name)
    if is_default_url and (row.key_file or row.key_cmd):
        return "", catalogue.read_key(provider, row)
    if is_default_url and row.key_env and not row.keyless and not row.may_use_sdk:
        raise UsageError(f"no key for {provider}: set {' or '.join(row.key_env)}")
    return "", ""


def checked_key(key: str, source: str, what: str = "key") -> str:
    """Returns the key, or the value of another header, without blanks and line ends around it.

    Raises UsageError, which does not show it, where it would break the header.
    """
    key = key.strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(
            f"{source} is not a valid {what}: it contains a line end, a blank or a character that is not ASCII"
        )
    return key
