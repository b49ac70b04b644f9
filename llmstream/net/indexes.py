"""The package indexes that pip and uv are configured with, by their variables and configuration files.

Sources: pip's documentation, "Configuration"; uv's reference, "Settings" and "Environment variables". Files of a
project are left out, as by `uv tool`: llmstream is not a part of the project in whose directory it runs.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from ..errors import UsageError

PIP_SECTIONS = ("global", "install")
NAME = re.compile(r"([\w.-]+)=(?=.)")  # of an index in UV_INDEX


class Source(NamedTuple):
    """Where to look for a package.

    `url` is without the user and password in it. `is_index` tells an index, which has a page for each package, from a
    page or a directory of files.
    """

    url: str
    is_index: bool = True
    user: str = ""
    password: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.url.startswith("file:")


class Settings(NamedTuple):
    """What one tool is configured with. Its default index is None where it has no other than the public one."""

    pages: list[Source]
    default: Source | None
    indexes: list[Source]
    no_index: bool


def sources() -> list[Source]:
    """Returns where to look for a package, local sources first. Raises UsageError for a wrong configuration."""
    tools = (_pip(), _uv())
    found = [page for tool in tools for page in tool.pages]
    with_index = [tool for tool in tools if not tool.no_index]
    found += [index for tool in with_index for index in tool.indexes]
    defaults = [tool.default for tool in with_index if tool.default]
    found += defaults or (public_index() if len(with_index) == len(tools) else [])
    return sorted(dict.fromkeys(found), key=lambda source: not source.is_local)


def public_index() -> list[Source]:
    """Returns the index that pip uses by default, which only pip names; none where pip is not installed."""
    try:
        from pip._internal.models.index import PyPI
    except ImportError:
        return []
    return [Source(PyPI.simple_url)]


def _source(
    location: str, origin: str, is_index: bool = True, folder: str = "", user: str = "", password: str = ""
) -> Source:
    """Returns the source at a URL or a path; `origin` names the setting in messages, which never quote the location."""
    try:
        url = urlsplit(location)
        scheme = url.scheme if url.netloc or url.scheme == "file" else ""
        url.port  # noqa: B018  # raises ValueError
    except ValueError:
        raise UsageError(f"{origin} is not a URL: it must be https://HOST/PATH, file:///PATH or a path") from None
    if not scheme and "://" not in location:
        return Source("file://" + quote(os.path.abspath(os.path.join(folder, os.path.expanduser(location)))), is_index)
    if scheme == "file":
        return Source("file://" + url.path, is_index)
    if scheme not in ("http", "https"):
        raise UsageError(f"{origin} is not a URL: it must be https://HOST/PATH, file:///PATH or a path")
    user = user or unquote(url.username or "")
    password = password or unquote(url.password or "")
    address = url._replace(netloc=url.netloc.rpartition("@")[2], fragment="").geturl()
    return Source(address, is_index, user, password)


def _pip() -> Settings:
    values: dict[str, tuple[str, str]] = {}  # with what they come from
    for path in _pip_files():
        values |= _pip_file(path)
    for key in ("index-url", "extra-index-url", "find-links", "no-index"):
        variable = "PIP_" + key.upper().replace("-", "_")
        if value := os.environ.get(variable):
            values[key] = (value, variable)

    def listed(key: str, is_index: bool) -> list[Source]:
        text, origin = values.get(key, ("", ""))
        return [_source(word, origin, is_index) for word in text.split()]

    location, origin = values.get("index-url", ("", ""))
    default = _source(location.strip(), origin) if location.strip() else None
    no_index = _is_true(values.get("no-index", ("", ""))[0])
    return Settings(listed("find-links", False), default, listed("extra-index-url", True), no_index)


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("1", "true", "yes", "y", "t", "on")


def _pip_files() -> Iterator[str]:
    """Yields pip's configuration files; a later one overrides an earlier one."""
    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return
    if sys.platform == "darwin":
        yield "/Library/Application Support/pip/pip.conf"
    for folder in _system_folders():
        yield os.path.join(folder, "pip/pip.conf")
    yield "/etc/pip.conf"
    if not chosen or not os.path.exists(chosen):
        yield os.path.expanduser("~/.pip/pip.conf")
        yield os.path.join(_user_folder(), "pip/pip.conf")
        if sys.platform == "darwin":
            yield os.path.expanduser("~/Library/Application Support/pip/pip.conf")
    yield os.path.join(sys.prefix, "pip.conf")
    if chosen:
        yield chosen


def _system_folders() -> list[str]:
    """Returns the folders of the system's configuration; an earlier one comes first."""
    return (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)


def _user_folder() -> str:
    return os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")


def _pip_file(path: str) -> dict[str, tuple[str, str]]:
    """Returns the settings in a file, by key; none where it cannot be read. Raises UsageError for a malformed file."""
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"invalid configuration of pip: {path} is not UTF-8") from None
    except configparser.Error as error:  # its text quotes the line, which may hold a password
        line = getattr(error, "lineno", None) or getattr(error, "errors", [("?",)])[0][0]
        raise UsageError(f"invalid configuration of pip: {path}:{line}") from None
    values = {}
    for section in PIP_SECTIONS:
        for name, value in parser.items(section) if parser.has_section(section) else ():
            key = name.lower().replace("_", "-").lstrip("-")
            values[key] = (value, f"{key} in {path}")
    return values


def _uv() -> Settings:
    environ = os.environ
    pages: list[Source] = []
    indexes: list[Source] = []
    defaults: list[Source] = []
    no_index = _is_true(environ.get("UV_NO_INDEX", ""))
    for location in environ.get("UV_INDEX", "").split():
        indexes.append(_uv_index(location, "UV_INDEX"))
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if location := environ.get(variable, "").strip():
            defaults.append(_uv_index(location, variable))
    for location in environ.get("UV_EXTRA_INDEX_URL", "").split():
        indexes.append(_uv_index(location, "UV_EXTRA_INDEX_URL"))
    for location in re.split(r"[\s,]+", environ.get("UV_FIND_LINKS", "").strip()):
        if location:
            pages.append(_source(location, "UV_FIND_LINKS", False))
    for path in _uv_files():
        document = _toml(path)
        folder = os.path.dirname(path)
        for table in (document, document.get("pip")):
            if not isinstance(table, dict):
                continue
            for row in _list(table, "index"):
                if not isinstance(row, dict) or not isinstance(row.get("url"), str) or row.get("explicit") is True:
                    continue  # an explicit index is for packages that name it
                is_index = row.get("format") != "flat"
                index = _uv_index(row["url"], f"index in {path}", folder, str(row.get("name", "")), is_index)
                (defaults if row.get("default") is True else indexes if is_index else pages).append(index)
            for key, found, is_index in (
                ("index-url", defaults, True),
                ("extra-index-url", indexes, True),
                ("find-links", pages, False),
            ):
                found += [
                    _source(location, f"{key} in {path}", is_index, folder)
                    for location in _list(table, key)
                    if isinstance(location, str)
                ]
            no_index = no_index or table.get("no-index") is True
    return Settings(pages, defaults[0] if defaults else None, indexes, no_index)


def _list(table: Mapping[str, Any], key: str) -> list[Any]:
    value = table.get(key, [])
    return value if isinstance(value, list) else [value]


def _uv_index(location: str, origin: str, folder: str = "", name: str = "", is_index: bool = True) -> Source:
    """Returns an index of uv, which may have its name before it, and its credentials in variables by that name."""
    if match := NAME.match(location):
        name, location = match[1], location[match.end() :]
    variable = "UV_INDEX_" + re.sub(r"\W", "_", name.upper())
    user, password = (os.environ.get(f"{variable}_{what}", "") if name else "" for what in ("USERNAME", "PASSWORD"))
    return _source(location, origin, is_index, folder, user, password)


def _uv_files() -> Iterator[str]:
    """Yields uv's configuration files; an earlier one overrides a later one."""
    if chosen := os.environ.get("UV_CONFIG_FILE"):
        yield chosen
    elif not _is_true(os.environ.get("UV_NO_CONFIG", "")):
        yield os.path.join(_user_folder(), "uv/uv.toml")
        for folder in _system_folders():
            yield os.path.join(folder, "uv/uv.toml")
        yield "/etc/uv/uv.toml"


def _toml(path: str) -> dict[str, Any]:
    """Returns what is in a file; nothing where it cannot be read. Raises UsageError for a malformed file."""
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError:
        return {}
    except ValueError as error:
        place = re.search(r"\(at (line \d+)", str(error))
        raise UsageError(f"invalid configuration of uv: {path}{f', {place[1]}' if place else ''}") from None
