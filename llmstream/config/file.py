"""The configuration file: read where there is one, checked as a whole, and turned into what the registry knows.

Its values are the user's word on which key goes where, so nothing of it comes from the working directory; relative
paths in it start at its own folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..dialects import APIS
from ..errors import UsageError, nearest
from ..providers.registry import BUILT_IN, PROVIDERS, SCHEMES, SDK, Catalogue, Provider, at_other_address
from ..providers.resolve import named
from .textfile import read_text

if TYPE_CHECKING:
    from .toml import Document, Keys

TOP = ("model", "aliases", "providers")
KEY_SOURCES = ("key_file", "key_cmd")
ADDRESS = ("base_url", "api", "key_env", *KEY_SOURCES, "key_header", "headers")
SIGNED = ("api", "key_env", *KEY_SOURCES, "key_header")  # what is not to be chosen where an SDK signs
PROVIDER = (*ADDRESS, "model", "defaults", "models")
FRAMING = ("accept-encoding", "connection", "content-length", "content-type", "expect", "transfer-encoding")
SHELL = ("/bin/sh", "-c")


class Config(NamedTuple):
    """What names mean, and the defaults of request options, by provider and by provider and model."""

    catalogue: Catalogue = BUILT_IN
    defaults: Mapping[str, dict[str, Any]] = {}
    by_model: Mapping[tuple[str, str], dict[str, Any]] = {}
    document: Document | None = None
    folder: str = ""  # where relative paths start


def path_of(env: Mapping[str, str]) -> tuple[str, bool]:
    """The file's path, "" where it has no place, and whether it was named and so has to be there."""
    if named := env.get("LLMSTREAM_CONFIG"):
        return named, True
    base = env.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: to be ignored; it would be read from the working directory
        base = os.path.expanduser("~/.config")
    return (f"{base}/llmstream/config.toml" if os.path.isabs(base) else ""), False


def read(env: Mapping[str, str]) -> Config:
    """The configuration. Raises UsageError, which names file, line and key."""
    path, required = path_of(env)
    if not path:
        return Config()
    try:
        text = read_text(path, "the configuration ")
    except UsageError as error:
        if not required and isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return Config()
        raise
    from .toml import Document

    return _Reader(Document(text, path), os.path.dirname(os.path.abspath(path))).config()


def placed_model(name: str, folder: str) -> str:
    """A model's name; where it is a file's path, it starts at the folder."""
    if name.startswith("replay:"):
        return "replay:" + os.path.join(folder, os.path.expanduser(name.removeprefix("replay:")))
    if name.endswith(".gguf"):
        return os.path.join(folder, os.path.expanduser(name.removeprefix("local/")))
    return name


def _read_key(provider: str, row: Provider) -> str:
    from . import keys

    return keys.read(provider, row)


class _Reader:
    """Checks a document and takes it over, key by key."""

    def __init__(self, document: Document, folder: str) -> None:
        self._document, self._folder = document, folder
        self._rows = dict(PROVIDERS)
        self._defaults: dict[str, dict[str, Any]] = {}
        self._by_model: dict[tuple[str, str], dict[str, Any]] = {}

    def config(self) -> Config:
        document, data = self._document, self._document.data
        document.check_names((), data, TOP)
        for name, entry in document.table(("providers",), data.get("providers", {})).items():
            self._provider(name, document.table(("providers", name), entry))
        aliases = {
            name: self._alias(("aliases", name), value)
            for name, value in document.table(("aliases",), data.get("aliases", {})).items()
        }
        model = self._model(("model",), data["model"]) if "model" in data else ""
        catalogue = Catalogue(self._rows, aliases, model, _read_key)
        for at, name in [(("aliases", name), name) for name in aliases] + ([(("model",), model)] if model else []):
            self._must_be_known(at, name, catalogue)
        return Config(catalogue, self._defaults, self._by_model, document, self._folder)

    def _alias(self, at: Keys, value: object) -> str:
        if not at[-1] or any(c.isspace() for c in at[-1]):
            raise self._document.error(at, "the name of an alias is one word")
        return self._model(at, value)

    def _model(self, at: Keys, value: object) -> str:
        return placed_model(self._document.string(at, value), self._folder)

    def _path(self, path: str) -> str:
        return os.path.join(self._folder, os.path.expanduser(path))

    def _must_be_known(self, at: Keys, name: str, catalogue: Catalogue) -> None:
        try:
            named(name, {}, catalogue)
        except UsageError as error:
            raise self._document.error(at, str(error)) from None

    def _provider(self, name: str, entry: dict[str, Any]) -> None:
        document, at = self._document, ("providers", name)
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or name in SCHEMES:
            raise document.error(at, "the name of a provider is of letters, digits, - and _, and not replay")
        document.check_names(at, entry, PROVIDER)
        if name in PROVIDERS and not PROVIDERS[name].has_address:
            for key in [key for key in ADDRESS if key in entry]:
                raise document.error((*at, key), "the embedded model has no address: leave it out")
        if name in PROVIDERS and PROVIDERS[name].transport == SDK:
            for key in [key for key in SIGNED if key in entry]:
                raise document.error((*at, key), f"the SDK of {name} sees to this: leave it out")
        if name not in PROVIDERS and "base_url" not in entry:
            near = nearest(name, PROVIDERS)
            hint = f": did you mean {near}?" if near else ""
            raise document.error(at, f"a provider of your own needs a base_url{hint}")
        self._rows[name] = self._row(at, entry, PROVIDERS.get(name, Provider("")))
        if defaults := document.table((*at, "defaults"), entry.get("defaults", {})):
            self._defaults[name] = defaults
        for model, defaults in document.table((*at, "models"), entry.get("models", {})).items():
            self._by_model[name, model] = document.table((*at, "models", model), defaults)

    def _row(self, at: Keys, entry: dict[str, Any], row: Provider) -> Provider:
        """A provider's row after the entry; what the entry does not say stays as it is."""
        document = self._document
        if "base_url" in entry and (url := self._url((*at, "base_url"), entry["base_url"], row)) != row.base_url:
            row = at_other_address(row)._replace(base_url=url, keyless="key_env" not in entry)
        if "api" in entry:
            api = document.string((*at, "api"), entry["api"])
            if api not in APIS:
                raise document.error((*at, "api"), f"there is no dialect {api!r}: it is one of {', '.join(APIS)}")
            row = row._replace(api=api, compatible_api=row.compatible_api and api)
        if "key_env" in entry:
            row = row._replace(key_env=document.strings((*at, "key_env"), entry["key_env"]))
        if len(entry.keys() & set(KEY_SOURCES)) > 1:
            raise document.error((*at, "key_cmd"), "there is a key_file too: leave one of them out")
        if "key_file" in entry:
            row = row._replace(key_file=self._path(document.string((*at, "key_file"), entry["key_file"])))
        if "key_cmd" in entry:
            command = document.strings((*at, "key_cmd"), entry["key_cmd"])
            row = row._replace(key_cmd=command if isinstance(entry["key_cmd"], list) else (*SHELL, *command))
        if "key_header" in entry:
            name = document.string((*at, "key_header"), entry["key_header"])
            self._check_header((*at, "key_header"), name, "x")
            row = row._replace(key_header=name)
        if "model" in entry:
            row = row._replace(model=document.string((*at, "model"), entry["model"]))
        return row._replace(headers=self._headers((*at, "headers"), entry.get("headers", {})))

    def _url(self, at: Keys, value: object, row: Provider) -> str:
        url = self._document.string(at, value).rstrip("/")
        if not url.startswith(("http://", "https://")) or not url.isascii() or not url.isprintable() or " " in url:
            raise self._document.error(at, "this is not a URL: it begins with https:// or http://, and has no blanks")
        if "?" in url or "#" in url:
            raise self._document.error(at, "this is no base URL: paths are added to it, so it has no ? and no #")
        return url if url.endswith(row.url_path) else url + row.url_path

    def _headers(self, at: Keys, value: object) -> tuple[str, ...]:
        lines = []
        for name, text in self._document.table(at, value).items():
            content = self._document.string((*at, name), text)
            self._check_header((*at, name), name, content)
            lines.append(f"{name}: {content}")
        return tuple(lines)

    def _check_header(self, at: Keys, name: str, content: str) -> None:
        """A line end would begin another header; the content may be a secret, and is not shown (RFC 9110, 5.1, 5.5)."""
        if not name.isascii() or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name) or not name:
            raise self._document.error(at, "the name of a header is of letters, digits and hyphens")
        if name.lower() in FRAMING:
            raise self._document.error(at, "this header is the request's own: leave it out")
        if not (content.isascii() and content.isprintable() and content.strip()):
            raise self._document.error(at, "the value holds a line end or a character that is not ASCII, or is blank")
