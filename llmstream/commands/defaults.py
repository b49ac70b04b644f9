"""What an option is when the command line does not say it: the prompt file's word, or the configuration's.

The order is: command line, prompt file, environment, configuration, what is built in. The model is settled first, as
the configuration's defaults depend on it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..config import file as config
from ..config.toml import Document, Keys, kind, unknown
from ..errors import UsageError
from ..providers.resolve import named
from . import options

if TYPE_CHECKING:
    from ..request.prompt_file import PromptFile

HEAD = ("model", "system", "schema")  # what a prompt file says at its top; all other options stand in [options]
NOT_BY_MODEL = ("model", "api")
RIVALS = {"schema": "schema_multi", "schema_multi": "schema"}  # the one leaves no room for the other


def take_head(file: PromptFile, taken: Options) -> None:
    document, data = file.head, file.head.data
    top = [name for name in HEAD if name in taken.by_name]
    document.check_names((), data, (*top, "options", "vars"))
    taken.begin()
    chosen = document.table(("options",), data.get("options", {}))
    taken.check_names(document, ("options",), chosen)
    for name in top:
        if name in data:
            taken.take((name,), data[name], document, file.folder)
    for name, value in chosen.items():
        taken.take(("options", name), value, document, file.folder)


def take_defaults(settings: config.Config, model: str | None, taken: Options) -> None:
    """The defaults of the model, then those of its provider; the names of all are checked."""
    document = settings.document
    if document is None:
        return
    tables: dict[Keys, dict[str, Any]] = {
        **{("providers", name, "models", of): table for (name, of), table in settings.by_model.items()},
        **{("providers", name, "defaults"): table for name, table in settings.defaults.items()},
    }
    for keys, table in tables.items():
        taken.check_names(document, keys, table, NOT_BY_MODEL)
    provider, own = named(model, os.environ, settings.catalogue)
    for keys in (("providers", provider, "models", own), ("providers", provider, "defaults")):
        taken.begin()
        for name, value in tables.get(keys, {}).items():
            taken.take((*keys, name), value, document, settings.folder)


class Options:
    """The options of a command that may be set from elsewhere, by their long names."""

    def __init__(self, ctx: click.Context) -> None:
        self._ctx = ctx
        settable = options.settable()
        self.by_name = {
            opt.removeprefix("--").replace("-", "_"): param
            for param in ctx.command.params
            for opt in param.opts
            if opt.startswith("--") and param.name in settable
        }
        self._set = {param.name for param in self.by_name.values() if self._on_command_line(param)}
        self.begin()

    def begin(self) -> None:
        """What is taken from here on counts less than what was taken so far."""
        self._above = frozenset(self._set)

    def _on_command_line(self, param: click.Parameter) -> bool:
        return self._ctx.get_parameter_source(param.name or "") is not ParameterSource.DEFAULT

    def check_names(self, document: Document, keys: Keys, table: dict[str, Any], but: tuple[str, ...] = ()) -> None:
        """Raises UsageError for a name that is no option's."""
        allowed = [name for name in self.by_name if name not in but]
        for name in table:
            if name.replace("-", "_") not in allowed:
                raise document.error((*keys, name), unknown(name, allowed))

    def take(self, keys: Keys, value: object, document: Document, folder: str) -> None:
        """Sets an option, unless that is done already, or a rival of it counts for more.

        The value is converted as if it stood on the command line.
        """
        param = self.by_name[keys[-1].replace("-", "_")]
        if param.name is None or param.name in self._set or RIVALS.get(param.name) in self._above:
            return
        self._set.add(param.name)
        wrong: Callable[[str], UsageError] = lambda message: document.error(keys, message)  # noqa: E731
        try:
            self._ctx.params[param.name] = param.process_value(
                self._ctx, _as_given(param, _placed(param, value, folder), wrong)
            )
        except click.UsageError as error:
            raise wrong(error.message.rstrip(".")) from None


def _placed(param: click.Parameter, value: Any, folder: str) -> Any:
    """The value, its path starting at the folder where it is one: behind @, or where the folder has such a file."""
    if isinstance(value, list):
        return [_placed(param, one, folder) for one in value]
    metavar = param.metavar or ""
    if not isinstance(value, str) or not value or not ("FILE" in metavar or metavar == "MODEL"):
        return value
    if metavar == "MODEL":
        return config.placed_model(value, folder)
    if "@FILE" in metavar:
        return f"@{os.path.join(folder, os.path.expanduser(value[1:]))}" if value[0] == "@" else value
    path = os.path.join(folder, os.path.expanduser(value))
    return path if os.path.isfile(path) else value


def _as_given(param: click.Parameter, value: object, wrong: Callable[[str], UsageError]) -> Any:
    """A TOML value as the command line would have it: texts, JSON for a table; only a flag is true or false."""
    if param.multiple:
        if isinstance(value, dict) and "=" in (param.metavar or ""):
            return [f"{key}={_json(one, wrong)}" for key, one in value.items()]
        return [_text(one, wrong) for one in (value if isinstance(value, list) else [value])]
    if getattr(param, "is_flag", False):
        if not isinstance(value, bool):
            raise wrong(f"this is {kind(value)}: true or false is wanted")
        return value
    if isinstance(value, dict):
        return _json(value, wrong)
    if isinstance(value, int | float) and not isinstance(value, bool) and param.type is not click.STRING:
        return str(value)  # so that 1.5 is no integer
    return _text(value, wrong)


def _text(value: object, wrong: Callable[[str], UsageError]) -> str:
    if not isinstance(value, str):
        raise wrong(f"this is {kind(value)}: another kind of value is wanted")
    return value


def _json(value: object, wrong: Callable[[str], UsageError]) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise wrong("JSON has no dates, no infinity and no nan") from None
