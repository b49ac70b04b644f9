"""Builds requests, and resolves their target, from options by name. `gen`, `map` and the library share it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.request import Attachment, Request
from ..core.retry import RetryPolicy
from ..core.timing import Timeouts
from ..dialects import dialect
from ..errors import UsageError, option
from ..providers.registry import BUILT_IN, Catalogue
from ..providers.resolve import resolve
from ..providers.target import Target
from .options import OPTIONS, add_layer

COMPOSED = {"json", "schema", "schema_multi", "messages", "attach", "tools", "prefill"}  # need more than a copy
SHAPES = {"json", "schema", "schema_multi"}


class Cache(NamedTuple):
    """What many requests of one run share, each read or found once."""

    items: dict[str, list[Any]]  # what files hold, by path
    attachments: dict[str, Attachment]  # by path or URL
    targets: dict[str | None, Target]  # by the model's name, with their keys


class RequestBuilder:
    """Builds requests for one target. `options` are values by option name, parsed; missing names are unset.

    `command` is the prefix of notes. `cache` is that of another builder with the same address and key. Raises
    UsageError, as providers.resolve does.
    """

    def __init__(
        self,
        command: str,
        options: Mapping[str, Any],
        env: Mapping[str, str],
        catalogue: Catalogue = BUILT_IN,
        cache: Cache | None = None,
    ) -> None:
        self._command, self._env, self._catalogue = command, env, catalogue
        self.options = {name: value for name, value in options.items() if _is_set(value)}
        self._cache = cache or Cache({}, {}, {})
        model, api, url = (options.get(name) for name in ("model", "api", "base_url"))
        targets, key_env = self._cache.targets, options.get("key_env")
        if model not in targets:
            key = options.get("api_key") if key_env is None else _key(key_env, env)
            targets[model] = resolve(model, api, env, catalogue, key=key, key_env=key_env or "", url=url)
        self.target = targets[model]

    @property
    def has_conversation(self) -> bool:
        """Whether there are messages, which can do without a prompt."""
        return "messages" in self.options

    def add_conversation(self, path: str, messages: list[dict[str, Any]]) -> None:
        """Puts the messages of a file before the prompt. A system prompt that says what theirs says is theirs."""
        if "messages" in self.options:
            raise UsageError(f"{option('chat')} and {option('messages')} exclude each other: leave one out")
        if not messages:
            return
        first = messages[0]
        if first["role"] == "system" and first.get("content") == self.options.get("system"):
            del self.options["system"]
        self.options["messages"], self._cache.items[path] = path, messages

    @property
    def reads_stdin(self) -> bool:
        """Whether an option reads stdin."""
        return "-" in self._sources()

    def request(self, prompt: str) -> tuple[Target, Request]:
        """Returns the request for a prompt, and the target to send it to. Raises UsageError."""
        options = self.options
        fields = {name: options[name] for name in options.keys() & set(Request._fields) - COMPOSED - {"model"}}
        same_names = {name: value for name, value in options.items() if OPTIONS[name].same_name}
        extra = tuple(_placed(options.get("options", {}), dialect(self.target.api).FIELD_OBJECTS).items())
        request = Request(self.target.model, prompt, extra=extra, same_names=same_names, **fields)
        return self._compose(request) if options.keys() & COMPOSED else (self.target, request)

    def with_overrides(self, options: Mapping[str, Any]) -> "RequestBuilder":
        """Returns a builder with other values of a record's options; body fields are added to those there are."""
        merged = dict(options)
        add_layer(merged, self.options, lambda name, value: value)
        return RequestBuilder(self._command, merged, self._env, self._catalogue, self._cache)

    def _compose(self, request: Request) -> tuple[Target, Request]:
        """Adds what is read, checked, or depends on the target."""
        options, target = self.options, self.target
        self._check_combination()
        schema = options.get("schema")
        if "schema_multi" in options:
            from ..core.schema import list_schema

            schema = list_schema(dict(options["schema_multi"]))
        request = request._replace(schema=schema, json="json" in options and schema is None)
        if "messages" in options:
            from .conversation import converse

            request = converse(request, *self._read("messages"), target)
            if files := tuple(file for message in request.messages for file in message.files):
                from .attachments import check

                check(files, target)
        if "tools" in options:
            from .tools import parse_tools

            request = request._replace(tools=parse_tools(*self._read("tools")))
        if "attach" in options:
            from .attachments import load

            request = request._replace(
                attachments=load(self._command, options["attach"], target, self._cache.attachments)
            )
        if "prefill" in options:
            from ..providers.prefill import prefilled

            target, prefill = prefilled(target, options["prefill"])
            request = request._replace(prefill=prefill)
        return target, request

    def _read(self, name: str) -> tuple[list[Any], str]:
        """Returns the items of an option, and their source for messages. A file is read once."""
        value = self.options[name]
        if not isinstance(value, str):
            return value, name
        if value not in self._cache.items:
            from .conversation import read_items

            self._cache.items[value] = read_items(self._command, value)
        return self._cache.items[value], value

    def _sources(self) -> list[object]:
        options = self.options
        return [options.get("messages"), options.get("tools"), *options.get("attach", ())]

    def _check_combination(self) -> None:
        """Raises UsageError for options that exclude each other."""
        shapes = self.options.keys() & SHAPES
        if {"schema", "schema_multi"} <= shapes:
            raise UsageError(f"{option('schema')} and {option('schema_multi')} exclude each other: leave one out")
        if shapes and "prefill" in self.options:
            raise UsageError(f"{option('prefill')} and a schema exclude each other: leave one out")
        target = self.target
        if shapes and target.row.schema_api not in ("", target.api):
            raise UsageError(f"{target.provider} ignores a schema in {target.api}: leave {option('api')} out")
        if self._sources().count("-") > 1:
            raise UsageError("only one option can read stdin")


def _placed(fields: Mapping[str, Any], objects: Mapping[str, str]) -> dict[str, Any]:
    """Returns fields of the body, each in the object in which it stands; `objects` maps fields to those."""
    placed = {name: value for name, value in fields.items() if name not in objects}
    for name, value in fields.items():
        if name in objects:
            members = placed.get(objects[name])
            placed[objects[name]] = {**(members if isinstance(members, dict) else {}), name: value}
    return placed


def _key(name: str, env: Mapping[str, str]) -> str:
    """Returns the key in an environment variable. Raises UsageError where there is none."""
    if not (key := env.get(name, "").strip()):
        raise UsageError(f"no key in {name}, which {option('key_env')} names: set that variable")
    return key


def _is_set(value: object) -> bool:
    return value is not None and value is not False and value not in ((), [])  # 0 is a value


def network(options: Mapping[str, Any]) -> tuple[Timeouts, RetryPolicy]:
    """Returns the time-outs and the retry policy of the options; a time-out of 0 is no limit."""

    def value(name: str) -> Any:
        return options.get(name, OPTIONS[name].default)

    waits = bool(options.get("within"))  # for an answer that comes whole, hours later
    timeouts = Timeouts(
        first_token=None if waits else value("first_token_timeout") or None,
        stall=None if waits else value("stall_timeout") or None,
        total=value("timeout") or None,
        connect=value("connect_timeout") or None,
    )
    return timeouts, RetryPolicy(value("retries"), value("max_retry_wait"), chosen="retries" in options)
