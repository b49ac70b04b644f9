"""The options of a request from several sources, the higher one deciding.

The order is: the door's own options, the prompt file, the environment, the configuration's defaults for the model,
those for its provider, the table's defaults. The model is settled first, as the configuration's defaults depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..config.file import Config
from ..config.toml import Document, Keys, unknown
from ..errors import UsageError
from ..providers.resolve import named
from .builder import SHAPES
from .options import FILE, OPTIONS, Option, add_layer, at

if TYPE_CHECKING:
    from .prompt_file import PromptFile

HEAD = ("model", "system", "schema")  # the options at a prompt file's top; all others stand in its table [options]
NOT_BY_MODEL = ("model", "api")  # options that no table of defaults has


def add_prompt_file(values: dict[str, Any], file: PromptFile) -> None:
    """Adds the options of a prompt file's head. Raises UsageError with file and line."""
    document, data = file.head, file.head.data
    document.check_names((), data, (*HEAD, "options", "vars"))
    table = document.table(("options",), data.get("options", {}))
    options = _by_name(document, ("options",), table)
    reader = _Reader(document, file.folder)
    layer: dict[str, tuple[Keys, Any]] = {name: (("options", key), table[key]) for name, key in options.items()}
    layer |= {name: ((name,), data[name]) for name in HEAD if name in data}
    add_layer(values, layer, lambda name, item: reader.parse(item[0], OPTIONS[name], item[1]))


def add_defaults(values: dict[str, Any], config: Config, env: Mapping[str, str]) -> None:
    """Adds the configuration's defaults for the model of `values`; the names of all defaults are checked.

    Raises UsageError with file and line.
    """
    document = config.document
    if document is None:
        return
    tables: dict[Keys, dict[str, Any]] = {
        **{("providers", name, "models", model): table for (name, model), table in config.by_model.items()},
        **{("providers", name, "defaults"): table for name, table in config.defaults.items()},
    }
    names = {keys: _by_name(document, keys, table, NOT_BY_MODEL) for keys, table in tables.items()}
    chosen = set(values)
    provider, model = named(values.get("model"), env, config.catalogue)
    reader = _Reader(document, config.folder)
    rows = config.catalogue.providers
    models = [key for key in config.by_model if key[0] == provider and rows[provider].full_name(key[1]) == model]
    for keys in (*(("providers", provider, "models", key[1]) for key in models), ("providers", provider, "defaults")):
        layer = {name: ((*keys, key), tables[keys][key]) for name, key in names.get(keys, {}).items()}
        add_layer(values, layer, lambda name, item: reader.parse(item[0], OPTIONS[name], item[1]))
    if not (values.keys() & SHAPES and values.get("check")):
        for name in {"check", "check_retries"} - chosen:  # a default for answers in JSON alone
            values.pop(name, None)


def _by_name(document: Document, keys: Keys, table: Mapping[str, Any], but: tuple[str, ...] = ()) -> dict[str, str]:
    """Returns the keys of a table by the names of their options. Raises UsageError for a key that is no option."""
    rows = {row.flag or row.name: row.name for row in at(FILE) if row.name not in but}
    for key in table:
        if key.replace("-", "_") not in rows:
            raise document.error((*keys, key), unknown(key, rows))
    return {rows[key.replace("-", "_")]: key for key in table}


class _Reader:
    """Checks the values of a document. A relative path in it starts at `folder`."""

    def __init__(self, document: Document, folder: str) -> None:
        self._document, self._folder = document, folder

    def parse(self, keys: Keys, row: Option, value: object) -> Any:
        """Returns the checked value of an option. Raises UsageError with file, line and key."""
        kind = row.kind
        placed = kind.place(value, self._folder)
        try:
            if not isinstance(placed, str):
                return row.parse(placed, FILE)
            item = kind.read(placed)
            return kind.join([item]) if kind.repeatable else item
        except (ValueError, UsageError) as error:
            raise self._document.error(keys, getattr(error, "message", str(error))) from None
