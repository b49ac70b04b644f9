"""Reads the configuration file, checks it as a whole, and turns it into a Catalogue.

The file decides which key goes to which address, so it is never taken from the working directory. Relative paths in
it start at its own folder.
"""

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.secrets import is_variable, looks_like_key
from ..dialects import APIS
from ..errors import UsageError, nearest
from ..providers.registry import BUILT_IN, PROVIDERS, SCHEMES, SDK, Catalogue, Provider, at_other_address
from ..providers.resolve import checked_url, model_names, named

if TYPE_CHECKING:
    from .toml import Document, Keys
else:
    Document = Keys = object

TOP = ("model", "aliases", "providers")
KEY_SOURCES = ("key_file", "key_cmd")
SOURCES = " or ".join(KEY_SOURCES)
KEYS_THEMSELVES = {"key", "api_key", "apikey", "api-key", "token"}  # names under which users write down a key
CERTIFICATE = ("cert", "cert_key")
ADDRESS = ("base_url", "api", "key_env", *KEY_SOURCES, "key_header", "headers", *CERTIFICATE)
SIGNED = ("api", "key_env", *KEY_SOURCES, "key_header", *CERTIFICATE)  # not of a provider whose SDK signs
PROVIDER = (*ADDRESS, "model", "defaults", "models")
FRAMING = ("accept-encoding", "connection", "content-length", "content-type", "expect", "transfer-encoding")
SHELL = ("/bin/sh", "-c")


class Config(NamedTuple):
    """The catalogue of models, and the defaults of request options, by provider, and by provider and model."""

    catalogue: Catalogue = BUILT_IN
    defaults: Mapping[str, dict[str, Any]] = {}
    by_model: Mapping[tuple[str, str], dict[str, Any]] = {}
    document: Document | None = None
    folder: str = ""  # at which relative paths start
    warning: str = ""  # about other users who can write the file


def path_of(env: Mapping[str, str]) -> tuple[str, bool]:
    """Returns the file's path, "" if there is no home directory, and whether the file must exist."""
    if path := env.get("LLMSTREAM_CONFIG"):
        return path, True
    base = env.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # invalid by the XDG specification: it would be in the working directory
        base = os.path.expanduser("~/.config")
    return (f"{base}/llmstream/config.toml" if os.path.isabs(base) else ""), False


def read(env: Mapping[str, str]) -> Config:
    """Returns the configuration, an empty one without a file. Raises UsageError, which names file, line and key."""
    path, required = path_of(env)
    if not path:
        return Config()
    if not required:
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return Config()
        except OSError:  # which reading it reports
            pass
    from .textfile import read_text
    from .toml import Document

    document = Document(read_text(path, "the configuration "), path)
    warning = _writers(path)
    config = _Reader(document, os.path.dirname(os.path.abspath(path)), warning).config()
    return config._replace(warning=warning)


def _writers(path: str) -> str:
    """Returns a warning where users other than this one and root can write the file, else "".

    The user's own group, which has the user's name and no other member, is the user.
    """
    state = os.stat(path)
    if state.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to another user, who can change it: chown it, or use a copy"
    if state.st_mode & stat.S_IWOTH or (state.st_mode & stat.S_IWGRP and not _is_own_group(state.st_gid)):
        return f"other users can write {path} (mode {stat.S_IMODE(state.st_mode):04o}): chmod go-w {path}"
    return ""


def _is_own_group(number: int) -> bool:
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(number)
    except KeyError:
        return False
    return user.pw_gid == number and user.pw_name == group.gr_name and not {*group.gr_mem} - {user.pw_name}


def _is_command(name: str) -> bool:
    import shutil

    return shutil.which(name) is not None


def placed_model(name: str, folder: str) -> str:
    """Returns a model's name; a name that is a relative path starts at the folder."""
    if name.startswith("replay:"):
        return "replay:" + os.path.join(folder, os.path.expanduser(name.removeprefix("replay:")))
    if name.endswith(".gguf"):
        return os.path.join(folder, os.path.expanduser(name.removeprefix("local/")))
    return name


class _Reader:
    """Checks a document, and turns it into a Config, key by key."""

    def __init__(self, document: Document, folder: str, warning: str = "") -> None:
        self._document, self._folder, self._warning = document, folder, warning
        self._rows = dict(PROVIDERS)
        self._defaults: dict[str, dict[str, Any]] = {}
        self._by_model: dict[tuple[str, str], dict[str, Any]] = {}

    def config(self) -> Config:
        document, data = self._document, self._document.data
        document.check_names((), data, TOP)
        for name, entry in document.table(("providers",), data.get("providers", {})).items():
            self._provider(name, document.table(("providers", name), entry))
        models = {
            name: self._alias(("aliases", name), value)
            for name, value in document.table(("aliases",), data.get("aliases", {})).items()
        }
        aliases = {name: names[0] for name, names in models.items()}
        fallbacks = {name: names[1:] for name, names in models.items() if names[1:]}
        model = self._model(("model",), data["model"]) if "model" in data else ""
        catalogue = Catalogue(self._rows, aliases, fallbacks, model, self._read_key)
        for at, name in [(("aliases", name), name) for name in aliases] + ([(("model",), model)] if model else []):
            self._check_model(at, name, catalogue)
        return Config(catalogue, self._defaults, self._by_model, document, self._folder)

    def _read_key(self, provider: str, row: Provider, wait: bool = True) -> str:
        from . import keys

        try:
            return keys.read(row, wait)
        except UsageError as error:
            name = "key_file" if row.key_file else "key_cmd"
            raise self._document.error(("providers", provider, name), error.message) from None

    def _alias(self, at: Keys, value: object) -> tuple[str, ...]:
        if not at[-1] or any(c.isspace() for c in at[-1]):
            raise self._document.error(at, "an alias must be one word")
        return tuple(placed_model(name, self._folder) for name in self._document.strings(at, value))

    def _model(self, at: Keys, value: object) -> str:
        return placed_model(self._document.string(at, value), self._folder)

    def _path(self, path: str) -> str:
        return os.path.join(self._folder, os.path.expanduser(path))

    def _check_model(self, at: Keys, name: str, catalogue: Catalogue) -> None:
        try:
            for one in model_names(name, {}, catalogue):
                named(one, {}, catalogue)
        except UsageError as error:
            raise self._document.error(at, error.message) from None

    def _provider(self, name: str, entry: dict[str, Any]) -> None:
        document, at = self._document, ("providers", name)
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or name in SCHEMES:
            raise document.error(at, "a provider's name must consist of letters, digits, - and _, but not be replay")
        for key in KEYS_THEMSELVES & entry.keys():
            raise document.error((*at, key), f"there is no such key: use {SOURCES}")
        document.check_names(at, entry, PROVIDER)
        if name in PROVIDERS and not PROVIDERS[name].has_address:
            for key in [key for key in ADDRESS if key in entry]:
                raise document.error((*at, key), "the embedded model has no address: leave this out")
        if name in PROVIDERS and PROVIDERS[name].transport == SDK:
            for key in [key for key in SIGNED if key in entry]:
                raise document.error((*at, key), f"the SDK of {name} sets this: leave it out")
        if name not in PROVIDERS and "base_url" not in entry:
            near = nearest(name, PROVIDERS)
            hint = f": did you mean {near}?" if near else ""
            raise document.error(at, f"a new provider needs a base_url{hint}")
        self._rows[name] = self._row(at, entry, PROVIDERS.get(name, Provider("")))
        if defaults := document.table((*at, "defaults"), entry.get("defaults", {})):
            self._defaults[name] = defaults
        for model, defaults in document.table((*at, "models"), entry.get("models", {})).items():
            self._by_model[name, model] = document.table((*at, "models", model), defaults)

    def _row(self, at: Keys, entry: dict[str, Any], row: Provider) -> Provider:
        """Returns a provider's row with the entry's changes."""
        document = self._document
        if "base_url" in entry and (url := self._url((*at, "base_url"), entry["base_url"], row)) != row.base_url:
            row = at_other_address(row)._replace(base_url=url, keyless="key_env" not in entry)
        if "api" in entry:
            api = document.string((*at, "api"), entry["api"])
            if api not in APIS:
                raise document.error((*at, "api"), f"must be one of {', '.join(APIS)}, not {api!r}")
            row = row._replace(api=api, compatible_api=row.compatible_api and api)
        row = self._with_key(at, entry, row)
        if "key_header" in entry:
            name = document.string((*at, "key_header"), entry["key_header"])
            self._check_header((*at, "key_header"), name, "x")
            row = row._replace(key_header=name)
        if "cert_key" in entry and "cert" not in entry:
            raise document.error((*at, "cert_key"), "needs a cert: add it")
        paths: dict[str, Any] = {
            key: self._path(document.string((*at, key), entry[key])) for key in CERTIFICATE if key in entry
        }
        row = row._replace(**paths)
        if "model" in entry:
            row = row._replace(model=document.string((*at, "model"), entry["model"]))
        return row._replace(headers=self._headers((*at, "headers"), entry.get("headers", {})))

    def _with_key(self, at: Keys, entry: dict[str, Any], row: Provider) -> Provider:
        """Returns a row with the entry's source of the key. Messages do not show a name that may be the key itself."""
        document = self._document
        if "key_env" in entry:
            names = document.strings((*at, "key_env"), entry["key_env"])
            if not all(map(is_variable, names)):
                raise document.error(
                    (*at, "key_env"), "is the name of a variable, not the key: use key_file or key_cmd"
                )
            row = row._replace(key_env=names)
        if len(entry.keys() & set(KEY_SOURCES)) > 1:
            raise document.error((*at, "key_cmd"), "key_file and key_cmd exclude each other: leave one out")
        if "key_file" in entry:
            path = document.string((*at, "key_file"), entry["key_file"])
            if looks_like_key(path) and not os.path.exists(self._path(path)):
                raise document.error((*at, "key_file"), "is the name of a file, not the key, and there is no such file")
            row = row._replace(key_file=self._path(path))
        if "key_cmd" in entry:
            command = document.strings((*at, "key_cmd"), entry["key_cmd"])
            if looks_like_key(command[0]) and not _is_command(command[0]):
                raise document.error((*at, "key_cmd"), "is a command, not the key, and there is no such command")
            if self._warning:
                raise document.error((*at, "key_cmd"), f"is not run: {self._warning}")
            row = row._replace(key_cmd=command if isinstance(entry["key_cmd"], list) else (*SHELL, *command))
        return row

    def _url(self, at: Keys, value: object, row: Provider) -> str:
        try:
            return checked_url(self._document.string(at, value).rstrip("/"), row)
        except ValueError as error:
            raise self._document.error(at, str(error)) from None

    def _headers(self, at: Keys, value: object) -> tuple[str, ...]:
        lines = []
        for name, text in self._document.table(at, value).items():
            content = self._document.string((*at, name), text)
            self._check_header((*at, name), name, content)
            lines.append(f"{name}: {content}")
        return tuple(lines)

    def _check_header(self, at: Keys, name: str, content: str) -> None:
        """Checks a header by RFC 9110, 5.1 and 5.5. Messages do not show its content, which may be a secret."""
        if not name.isascii() or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name) or not name:
            raise self._document.error(at, "the name of a header must consist of letters, digits and hyphens")
        if name.lower() in FRAMING:
            raise self._document.error(at, "llmstream itself sets this header: leave it out")
        if not (content.isascii() and content.isprintable() and content.strip()):
            raise self._document.error(at, "the value is blank, or has a line end or a character that is not ASCII")
