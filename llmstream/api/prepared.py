"""Prepares the requests of Python programs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from .. import inputs
from ..config import file as config_file
from ..config import keys
from ..config.file import Config
from ..core.request import Request
from ..core.stop.conditions import from_mapping
from ..core.stop.stops import Stops
from ..errors import UsageError
from ..providers.registry import REPLAY
from ..providers.target import Target
from ..request.attachments import is_url
from ..request.choices import Choice, Choices, by_model, require_checkable
from ..request.options import PYTHON, parse, unknown

CALLBACKS = ("on_text", "on_finish", "note")
SCHEMAS = ("schema", "schema_multi")
FILES = ("messages", "tools")  # options whose text is the name of a file


class PreparedRequest:
    """A request and how to send it. Once it `is_built` there are `choice`, the model to ask, and those `following`.

    Raises TypeError for a name or a value that no annotation allows, and UsageError for what cannot be asked. `config`
    is the configuration, if it was read before; `headers` are lines to send beside the provider's.
    """

    choice: Choice
    following: list[Choice]

    def __init__(
        self, prompt: str, options: Mapping[str, Any], config: Config | None = None, headers: Sequence[str] = ()
    ) -> None:
        for name in options:
            if message := unknown(name, PYTHON):
                raise TypeError(message)
        options = {name: _as_schema(value) if name in SCHEMAS else value for name, value in options.items()}
        values = parse(options, PYTHON, lambda name, message: TypeError(f"{name} {message}"))
        if not isinstance(prompt, str):
            raise TypeError(f"prompt must be a str, not {type(prompt).__name__}")
        self.callbacks = {name: values.pop(name, None) for name in CALLBACKS}
        self._until = values.pop("until", {})
        self.new_stops()  # a wrong condition is an error at once
        config = config or config_file.read(os.environ)
        if config.warning:
            import warnings

            warnings.warn(config.warning, stacklevel=4)
        self._options = by_model(values, config, os.environ)
        if not values.get("check"):  # a default of the configuration is for commands, which may ask again
            for each in self._options:
                each.pop("check", None)
                each.pop("check_retries", None)
        require_checkable(self._options, {"until": bool(self._until)})
        if "-" in self._sources():
            raise UsageError("options cannot read stdin here: read it in the program, and pass the text")
        self._prompt, self.catalogue = prompt, config.catalogue
        self._headers = headers
        self.is_built = False

    @property
    def target(self) -> Target:
        """Where the request goes."""
        return self.choice.target

    @property
    def request(self) -> Request:
        """The request to the model."""
        return self.choice.request

    def new_stops(self) -> Stops | None:
        """Returns the stop conditions of one answer, None without any."""
        conditions, mode = from_mapping(self._until)
        return Stops(conditions, mode) if conditions else None

    def build(self, may_block: bool = True) -> None:
        """Makes the target and the request: finds the key, reads files, fetches attachments. Raises UsageError.

        Where that takes a while and must not block, nothing is done.
        """
        if self.is_built:
            return
        catalogue = self.catalogue
        if not may_block:
            if sources := [item for item in self._sources() if isinstance(item, str)]:
                for path in (source for source in sources if not is_url(source)):
                    inputs.check_file(path)
                return
            catalogue = catalogue._replace(read_key=partial(catalogue.read_key, wait=False))
        try:
            builder = Choices("", self._options, os.environ, catalogue)
        except keys.NotCached:
            return
        if not self._prompt and not builder.has_conversation:
            raise UsageError("the prompt is empty: pass one")
        self.choice, *self.following = map(self._with_headers, builder.requests(self._prompt))
        if self.target.row.transport != REPLAY:  # whose dialect the recording has
            self.target.body(self.request._replace(attachments=()))  # what the dialect or the model does not have
        self.is_built = True

    def _with_headers(self, choice: Choice) -> Choice:
        row = choice.target.row
        choice = choice._replace(
            target=choice.target._replace(row=row._replace(headers=(*row.headers, *self._headers)))
        )
        return choice.with_native() if choice.may_pause else choice

    def _sources(self) -> list[object]:
        """Returns the values of the options that may name files."""
        return [item for each in self._options for item in (*map(each.get, FILES), *(each.get("attach") or ()))]


def prepare(
    prompt: str, options: Mapping[str, Any], config: Config | None = None, headers: Sequence[str] = ()
) -> PreparedRequest:
    """Returns a request that is built. Raises TypeError, UsageError, and Unavailable for attachments."""
    prepared = PreparedRequest(prompt, options, config, headers)
    prepared.build()
    return prepared


def _as_schema(value: object) -> object:
    """Returns the JSON schema of a class: a pydantic model, a dataclass or a TypedDict; any other value as it is."""
    if not isinstance(value, type):
        return value
    if hasattr(value, "model_json_schema"):
        return value.model_json_schema()
    import msgspec

    try:
        schema = msgspec.json.schema(value)
    except TypeError as error:
        raise TypeError(f"cannot make a JSON schema of {value.__name__}: {error}") from None
    definitions = schema.get("$defs", {})
    top = definitions.get(schema.get("$ref", "").removeprefix("#/$defs/"))
    if top is None:
        return schema
    if f'"#/$defs/{value.__name__}"' not in msgspec.json.encode(definitions).decode():  # it does not contain itself
        definitions = {name: one for name, one in definitions.items() if one is not top}
    return {**top, "$defs": definitions} if definitions else top
