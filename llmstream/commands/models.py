"""`llmstream models`: the names that -m takes, and which keys are set."""

from __future__ import annotations

import os
import re
import time
from importlib.util import find_spec
from typing import Any

from .. import stdio
from ..config import file as config
from ..config import keys
from ..config.file import SHELL
from ..core.json_codec import to_json
from ..core.text import encode
from ..errors import Error, NotFound, UsageError, nearest
from ..providers.child_environment import without_keys
from ..providers.registry import BUILT_IN, EMBEDDED, SCHEMES, SDK, Catalogue
from ..providers.resolve import default_name, env_key, model_names, named, resolve
from ..providers.target import Target, list_url
from . import parameters
from .parameters import operand, plain_option

NOT_INSTALLED = "not installed (pip install 'llmstream-cli[{}]')"
MAX_SECONDS = 2**33  # since 1970, in the year 2242: more is not a time in seconds
PAGES = 100  # of a list; a provider that sends more repeats itself

Record = dict[str, Any]


def _complete_provider(incomplete: str) -> list[str]:
    try:
        catalogue = config.read(os.environ).catalogue
    except Error:  # the command itself will say so
        catalogue = BUILT_IN
    return [name for name in catalogue.providers if name.startswith(incomplete)]


@parameters.command("models")
@operand("provider", complete=_complete_provider)
@plain_option("--json", "as_json", is_flag=True, help="Write NDJSON, an object a line.")
def command(provider: str | None, as_json: bool) -> None:
    """List the names that -m takes: aliases and providers, or the models that PROVIDER lists.

    \b
    llmstream models
    llmstream models anthropic | grep haiku
    llmstream gen -m "$(llmstream models openai | fzf | cut -f 1)" Hello
    """
    stdio.require_stdout()
    configuration = config.read(os.environ)
    if configuration.warning:
        stdio.note("models", configuration.warning)
    catalogue = configuration.catalogue
    if provider is None:
        records = _overview(catalogue)
        lines = _columns(records)
    else:
        records = _models(provider, catalogue)
        lines = ["\t".join(map(stdio.one_line, filter(None, (record["name"], _mark(record))))) for record in records]
    if as_json:
        lines = [to_json(record) for record in records]
    stdio.write(encode("".join(f"{line}\n" for line in lines)))


# The overview, without a request.


def _overview(catalogue: Catalogue) -> list[Record]:
    """Returns aliases, then providers; before them the default model, where it is neither."""
    rows = [(alias, "alias", *named(alias, {}, catalogue)) for alias in catalogue.aliases]
    rows += [(name, "provider", name, row.model) for name, row in catalogue.providers.items()]
    name = default_name(os.environ, catalogue)
    provider, model = named(None, os.environ, catalogue)
    default = next((row for row in rows if row[0] == name), (provider, "provider", provider, model))
    if default not in rows:
        default = (name, "model", provider, model)
        rows.insert(0, default)
    records = []
    for row in rows:
        name, kind, provider, model = row
        is_set, words = _key(provider, catalogue)
        records.append({
            "name": name, "kind": kind, "model": _full(provider, model), "fallbacks": _fallbacks(name, catalogue),
            "key_found": is_set, "key": words, "default": row == default,
        })  # fmt: skip
    return records


def _fallbacks(name: str, catalogue: Catalogue) -> list[str]:
    """Returns the full names of the models that are asked after the first one that an alias stands for."""
    if name not in catalogue.aliases:
        return []
    names = (named(each, {}, catalogue) for each in model_names(name, {}, catalogue)[1:])
    return [_full(provider, model) or provider for provider, model in names]


def _full(provider: str, model: str) -> str | None:
    """Returns a model's full name, or None where the provider has no default model."""
    if provider in SCHEMES:
        return f"{provider}:{model}"
    return model if model.endswith(".gguf") else f"{provider}/{model}" if model else None


def _key(provider: str, catalogue: Catalogue) -> tuple[bool | None, str]:
    """Returns whether a provider's key is set, None where it needs no key, and the same in words. Runs no key_cmd.

    Where the provider cannot be used for another reason, such as a missing package, it is False, and the words say why.
    """
    row = catalogue.row(provider)
    if row.has_address and not row.base_url and not os.environ.get(row.url_env, "").strip():
        return False, f"no address (set {row.url_env})"
    if row.transport == EMBEDDED and find_spec("xllamacpp") is None:
        return False, NOT_INSTALLED.format("local")
    variable, _ = env_key(row, os.environ)
    if variable:
        return True, f"key found ({variable})"
    if row.key_cmd:
        if name := _missing_command(row.key_cmd):
            return False, f"key not found (key_cmd: there is no command {name})"
        return True, "key from key_cmd"
    if row.key_file:
        try:
            keys.from_file(row.key_file)
        except UsageError as error:
            return False, f"key not found (key_file: {error.message})"
        return True, "key found (key_file)"
    if row.may_use_sdk:
        from ..net.clients import missing_extra

        has_token = bool(os.environ.get(row.token_env, "").strip())
        if extra := missing_extra(provider, has_token):
            return False, NOT_INSTALLED.format(extra)
        return None, f"token found ({row.token_env})" if has_token else "credentials: the SDK's"
    if not row.key_env:
        return None, "no key needed"
    return False, f"key not found (set {' or '.join(row.key_env)})"


def _missing_command(command: tuple[str, ...]) -> str:
    """Returns the name of the program that a key_cmd runs if there is none, "" also where only the shell can tell."""
    import shutil
    import subprocess

    if command[:-1] != SHELL:
        return "" if shutil.which(command[0]) else command[0]
    name = command[-1].split()[0] if command[-1].strip() else ""
    if not re.fullmatch(r"[\w./+@%:-]+", name):
        return ""
    script = [*SHELL, 'command -v -- "$1"', "sh", name]
    env = without_keys(os.environ)
    done = subprocess.run(script, stdin=subprocess.DEVNULL, capture_output=True, env=env, check=False)
    return name if done.returncode else ""


def _columns(records: list[Record]) -> list[str]:
    """Returns a line for each record: its name, its model, and the state of its key."""
    cells = [
        (
            record["name"],
            ",".join([record["model"] or "-", *record["fallbacks"]]),
            ("default, " if record["default"] else "") + record["key"],
        )
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [f"{name:{widths[0]}}  {model:{widths[1]}}  {key}" for name, model, key in cells]


# The list of a provider.


def _models(provider: str, catalogue: Catalogue) -> list[Record]:
    """Returns the models that a provider lists, sorted by name."""
    if provider in catalogue.aliases and provider not in catalogue.providers:
        of, model = named(provider, {}, catalogue)
        hint = "" if of in SCHEMES else f": llmstream models {of} lists those of its provider"
        raise UsageError(f"{provider} is an alias of the model {_full(of, model) or of}{hint}")
    if provider not in catalogue.providers:
        near = nearest(provider, catalogue.providers)
        hint = f"did you mean {near}?" if near else f"it is one of {', '.join(catalogue.providers)}"
        raise UsageError(f"unknown provider {provider!r}: {hint}")
    row = catalogue.providers[provider]
    if not row.has_address:
        items: list[Any] = [{"id": row.model}]
    else:
        target = resolve((provider, ""), None, os.environ, catalogue)
        if target.row.transport == SDK:
            raise UsageError(f"cannot list the models of {provider}: use the cloud's own tools")
        items = _listed(target)
    records = {}
    for item in items:
        if isinstance(item, dict) and isinstance(name := item.get("id") or item.get("name"), str):
            model = name.removeprefix("models/")  # Gemini's are paths
            named_model = {"name": f"{provider}/{model}", "provider": provider, "model": model}
            records[model] = {**named_model, **_lifecycle(item), "details": item}
    if not records:
        raise NotFound(f"{provider} lists no models")
    return [records[model] for model in sorted(records)]


RETIREMENT_DATES = (  # the fields of an item that may say when it retires
    "retires_at",  # Anthropic
    "shutdown_date",  # OpenAI
    "deprecation",  # Mistral; Azure has an object here
    "expiration_date",  # OpenRouter
)


def _lifecycle(item: Record) -> Record:
    """Returns what a provider says of a model's retirement: its lifecycle, the date and what to use instead.

    What it does not say is None. Sources: the types of OpenAI's and Anthropic's SDKs; the lists of Mistral, OpenRouter
    and Azure.
    """
    date = next(filter(None, (_date(item.get(name)) for name in RETIREMENT_DATES)), None)
    lifecycle = item.get("lifecycle")  # Anthropic
    if lifecycle not in ("active", "deprecated", "retired"):
        lifecycle = "deprecated" if date else None
    replacement = item.get("deprecation_replacement_model")  # Mistral
    is_name = isinstance(replacement, str) and replacement
    return {"lifecycle": lifecycle, "retires": date, "replacement": replacement if is_name else None}


def _date(value: Any) -> str | None:
    """Returns the day, as 2026-10-23, of a time in ISO 8601 or in seconds since 1970; None for anything else."""
    if isinstance(value, dict):
        value = value.get("inference")  # Azure
    if isinstance(value, str) and (match := re.match(r"\d{4}-\d\d-\d\d(?!\d)", value)):
        return match[0]
    if type(value) is int and 0 < value < MAX_SECONDS:
        return time.strftime("%Y-%m-%d", time.gmtime(value))
    return None


def _mark(record: Record) -> str:
    """Returns words for a model that retires, "" for any other."""
    date, replacement = record["retires"], record["replacement"]
    if record["lifecycle"] not in ("deprecated", "retired"):
        return ""
    word = "retired" if record["lifecycle"] == "retired" else "retires" if date else "deprecated"
    return f"{word}{f' {date}' if date else ''}{f', use {replacement}' if replacement else ''}"


def _listed(target: Target) -> list[Any]:
    """Returns the items of all pages. Anthropic's next page begins after the last id; others have one page."""
    from urllib.parse import quote

    from ..net.fetch import Fetcher

    url, items, last = list_url(target), [], None
    query = "?limit=1000" if target.api == "messages" else ""
    fetcher = Fetcher()
    try:
        for _ in range(PAGES):
            page = fetcher.json(target, url + query)
            fields = page if isinstance(page, dict) else {"data": page}
            models = fields.get("data") or fields.get("models")
            items += models if isinstance(models, list) else []
            if not fields.get("has_more") or fields.get("last_id") in (last, None):
                break
            last = fields["last_id"]
            query = f"?limit=1000&after_id={quote(str(last), safe='')}"
    finally:
        fetcher.close()
    return items
