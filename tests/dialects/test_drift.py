"""The dialects know every event, field and word of the installed SDKs' types, or say why not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args, get_origin

import pytest
from anthropic.types import Model
from anthropic.types.shared import ErrorType
from openai.types import ChatModel, ResponsesModel
from openai.types.responses import ResponseError
from pydantic import BaseModel

from llmstream.core import provider_errors
from llmstream.core.endings import ENDINGS
from llmstream.errors import Refused, Unavailable
from llmstream.providers.registry import PROVIDERS

from ..conftest import ROOT
from ..support.wire_types import ERRORS, WIRES, Wire

READ = "read"
TODO = "read it in the dialect, or give the reason in tests/support/wire_types.py"


def patterns(wire: Wire) -> dict[str, str]:
    """Returns each name or pattern with READ, or the reason why it is not read."""
    ignored = {name: why for names, why in wire.ignored.items() for name in names.split()}
    return dict.fromkeys(wire.read.split(), READ) | ignored


class Walk:
    """The names of all that an SDK's types have, but not of what is below a name that is not read."""

    def __init__(self, wire: Wire) -> None:
        self._patterns = patterns(wire)
        self._seen: set[type[BaseModel]] = set()
        self.names: dict[str, str] = {}  # -> READ, the reason, or "" where the table has no row
        self.used: set[str] = set()  # names and patterns of the table
        for root in wire.roots:
            self._visit(root)

    def _visit(self, hint: Any) -> None:
        for model in models(hint):
            if model in self._seen:
                continue
            self._seen.add(model)
            name, is_word = name_of(model)
            if is_word and not self._is_read(name):
                continue
            for key, field in model.model_fields.items():
                path = f"{name}.{field.alias or key}"
                if not (key == "type" and is_word) and self._is_read(path):
                    for word in words(field.annotation):
                        self._is_read(f"{path}={word}")
                    self._visit(field.annotation)

    def _is_read(self, name: str) -> bool:
        if name not in self.names:
            found = [pattern for pattern in self._patterns if fnmatchcase(name, pattern)]
            self.used.update(found)
            self.names[name] = self._patterns[found[0]] if found else ""
        return self.names[name] == READ


def models(hint: Any) -> Iterator[type[BaseModel]]:
    """Yields the models in a type."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for inner in get_args(hint):
        yield from models(inner)


def words(hint: Any) -> Iterator[str]:
    """Yields the words of the Literals in a type."""
    if get_origin(hint) is Literal:
        yield from map(str, get_args(hint))
    else:
        for inner in get_args(hint):
            yield from words(inner)


def name_of(model: type[BaseModel]) -> tuple[str, bool]:
    """Returns a model's name, and whether that is the word which says its type on the wire."""
    field = model.model_fields.get("type")
    if field and get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
        return str(get_args(field.annotation)[0]), True
    return re.sub("^(Beta)?(Raw)?", "", model.__name__), False


@pytest.fixture(params=WIRES)
def api(request: pytest.FixtureRequest) -> str:
    return request.param


def test_everything_that_the_sdk_knows_has_a_row(api):
    new = [name for name, row in Walk(WIRES[api]).names.items() if not row]
    assert not new, f"{api}: {', '.join(new)}: {TODO}"


def test_no_row_is_stale(api):
    stale = patterns(WIRES[api]).keys() - Walk(WIRES[api]).used
    assert not stale, f"{api}: the SDK no longer has {', '.join(sorted(stale))}: remove it from the table"


def strings(wire: Wire) -> set[str]:
    """Returns the strings in the source of the modules that read a wire."""
    trees = (ast.parse((ROOT / "llmstream" / module).read_text()) for module in wire.modules)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def is_in_source(name: str, api: str, source: set[str]) -> bool:
    """Says whether a name's last part is in the source of a dialect, or in the table of finish words."""
    path, _, word = name.partition("=")
    if word:
        return word in ENDINGS[api] or f"response.{word}" in source
    return path in source or path.rpartition(".")[2] in source


def test_what_is_read_is_in_the_source(api):
    source = strings(WIRES[api])
    read = [name for name, row in Walk(WIRES[api]).names.items() if row == READ and "Error.code=" not in name]
    found = {name for name in read if is_in_source(name, api, source)}
    # A block may be read by its field alone, whatever its type is.
    owners = {name.rpartition(".")[0] for name in found}
    missing = [name for name in read if name not in found | owners]
    assert not missing, f"llmstream does not read {', '.join(missing)} ({api}): {TODO}"


def test_what_is_ignored_is_not_in_the_source(api):
    """A reason not to read an event or a block is stale that the dialect reads; a single word may mean other things."""
    rows = Walk(WIRES[api]).names
    fields = {name.rpartition(".")[2] for name, row in rows.items() if row == READ}
    ignored = {name for name, row in rows.items() if row != READ and re.search("[._]", name)}
    stale = sorted((ignored & strings(WIRES[api])) - fields)
    assert not stale, f"{api} reads {', '.join(stale)}: say so in tests/support/wire_types.py"


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_are_refused_or_temporary(kind):
    """What ERRORS says of each code holds."""
    kinds = {"refused": Refused, "temporary": Unavailable}
    codes = ERRORS[kind].split()
    errors = {code: provider_errors.in_event({"error": {"type": code}}, "") for code in codes}
    other = [code for code, error in errors.items() if not isinstance(error, kinds[kind])]
    assert not other, f"not {kind}: {', '.join(other)}: see core/provider_errors.REFUSAL_CODES"


def test_the_sdks_codes_of_errors_are_known():
    theirs = {*words(ResponseError.model_fields["code"].annotation), *words(ErrorType)}
    ours = set(" ".join(ERRORS.values()).split())
    assert theirs == ours, "refused or temporary? say it in tests/support/wire_types.ERRORS"


MODELS = {*words(ChatModel), *words(ResponsesModel), *words(Model)}
MODEL = re.compile(r"\b(?:gpt-\d|chatgpt-\w|codex-\w|o\d-[a-z]|claude-[a-z])[\w.-]*\b")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_the_default_model_is_in_the_sdks_list(provider):
    assert PROVIDERS[provider].model in MODELS


def test_models_that_the_documentation_names_are_in_the_sdks_lists():
    """README, man pages, completions and the source."""
    files = [ROOT / "README.md"]
    files += [path for folder in ("man", "completions", "llmstream") for path in (ROOT / folder).rglob("*.*")]
    texts = {file.name: file.read_text().replace("\\-", "-") for file in files if file.suffix != ".pyc"}
    found = {(name, file) for file, text in texts.items() for name in MODEL.findall(text)}
    unknown = sorted(f"{name} ({file})" for name, file in found if name not in MODELS)
    assert not unknown, f"no SDK knows {', '.join(unknown)}: name models that exist"


class Ping(BaseModel):
    type: Literal["ping"]
    word: Literal["stop"]


class NewPing(Ping):
    word: Literal["stop", "pause"]  # type: ignore[assignment]
    more: int


def test_what_is_new_and_what_is_gone_is_noticed():
    wire = Wire((Ping,), (), "ping ping.word ping.word=stop", {"ping.gone": "no longer there"})
    assert set(Walk(wire).names.values()) == {READ}
    assert patterns(wire).keys() - Walk(wire).used == {"ping.gone"}
    found = Walk(wire._replace(roots=(NewPing | None,))).names
    assert [name for name, row in found.items() if not row] == ["ping.word=pause", "ping.more"]
