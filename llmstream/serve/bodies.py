"""Pydantic models of the request bodies: they describe them in /openapi.json, check them, and return a ChatRequest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, create_model
from starlette.exceptions import HTTPException

from ..core import schema as schemas
from ..core.json_codec import to_json
from ..core.kinds import Kind, shown
from ..core.request import Request
from ..core.stop.conditions import ROWS, from_mapping
from ..errors import UsageError
from ..providers.resolve import refuse_model_file
from ..request.choices import require_checkable
from ..request.conversation import converse
from ..request.options import HTTP, OPTIONS, at
from ..request.tools import parse_tools
from .body_limits import BODY_BOUNDS, FIELD_BOUNDS, MAX_CHECKED_SCHEMA, MAX_UNTIL_CHARACTERS, UNTIL_BOUNDS
from .request import ChatRequest
from .settings import Settings

MAX_LISTED = 50  # models in a message
WILDCARDS = frozenset("*?[")  # in a pattern of models

# Fields beside those of the table of options that go to the provider as they stand: they say how the answer is sampled
# and written. What changes who pays, what is stored or what is called is not among them: the server's owner decides.
PASSED_FIELDS = frozenset(
    (
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "repeat_penalty", "dry_multiplier"),
        *("top_k", "top_a", "min_p", "typical_p", "mirostat", "mirostat_tau", "mirostat_eta", "min_tokens"),
        *("logit_bias", "logprobs", "top_logprobs", "ignore_eos", "stop_token_ids", "random_seed"),
        *("parallel_tool_calls", "prediction", "verbosity", "thinking", "reasoning"),
        *("chat_template_kwargs", "safe_prompt", "user", "safety_identifier", "prompt_cache_key"),
    )
)
CALL_FIELDS = ("tool_calls", "tool_call_id")  # of a message
CLIENT_TOOLS = (None, "function", "custom")  # types of tools that the provider does not run itself

_STRICT = ConfigDict(strict=True, extra="forbid", json_schema_extra=BODY_BOUNDS)


def _checked(kind: Kind, bounds: Mapping[str, Any] = {}) -> Any:
    """Returns the type of a field that a kind checks and describes; `bounds` are checked before."""
    return Annotated[Any, PlainValidator(kind.parse), WithJsonSchema({**kind.json_schema, **bounds})] | None


def fields_of(rows: Iterable[tuple[str, Any]], bounds: Mapping[str, Any] = FIELD_BOUNDS) -> Any:
    """Returns fields for rows of a table, by their names in a body; a row has a kind and a help."""
    return {
        _attribute(name): (_checked(row.kind, bounds.get(name, {})), Field(None, alias=name, description=row.help))
        for name, row in rows
    }


def _attribute(name: str) -> str:
    """Returns the attribute of a model for a field: not `json` and `schema`, as pydantic's models have methods so."""
    return f"{name}_" if hasattr(BaseModel, name) else name


Until: Any = create_model(
    "Until",
    __config__=_STRICT,
    __doc__=f"Stop conditions, of {MAX_UNTIL_CHARACTERS} characters: the answer ends at the first that is met.",
    **fields_of(ROWS.items(), UNTIL_BOUNDS),
)
PROMPT_OPTIONS = [row for row in at(HTTP) if row.name != "until"]
PROMPT_ATTRIBUTES = [(row.name, _attribute(row.name)) for row in PROMPT_OPTIONS]
CHAT_OPTIONS = [(name, row) for row in OPTIONS.values() for name in row.openai]


class Message(BaseModel):
    """A message of the conversation before the prompt."""

    model_config = _STRICT

    role: Literal["user", "assistant"]
    content: str = Field(min_length=1)


class _PromptBase(BaseModel):
    """The fields of a prompt that are not in the options table."""

    model_config = _STRICT

    prompt: str = Field(min_length=1)
    messages: list[Message] | None = Field(
        None, description="The conversation before the prompt.", json_schema_extra=FIELD_BOUNDS["messages"]
    )
    until: Until | None = None

    def request(self, settings: Settings) -> ChatRequest:
        """Returns the request of a body. Raises UsageError."""
        options = {name: getattr(self, attribute) for name, attribute in PROMPT_ATTRIBUTES}
        options |= {"model": model_of(options["model"], settings), "until": _until(self.until, settings)}
        options["messages"] = [message.model_dump() for message in self.messages] if self.messages else None
        options = drop_unset(options)
        if options.get("check"):
            _require_checkable(options, settings)
        return ChatRequest(self.prompt, options)


Prompt: Any = create_model(
    "Prompt",
    __base__=_PromptBase,
    __doc__="The body of POST /chat/stream.",
    **fields_of((row.name, row) for row in PROMPT_OPTIONS),
)


def field_names(parent: str = "") -> list[str]:
    """Returns the names of the fields of a prompt, or of what its field `parent` holds."""
    model: Any = {"": Prompt, "until": Until}.get(parent, Message)
    return [field.alias or name for name, field in model.model_fields.items()]


class Turn(BaseModel):
    """A message of text or of text parts."""

    model_config = ConfigDict(strict=True, extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    """Options of a stream of chunks."""

    include_usage: bool | None = False


class _ConversationBase(BaseModel):
    """The fields of a conversation that are not in the options table."""

    model_config = ConfigDict(strict=True, extra="allow", json_schema_extra=BODY_BOUNDS)

    messages: list[Turn] = Field(min_length=1, json_schema_extra=FIELD_BOUNDS["messages"])
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    response_format: dict[str, Any] | None = None

    def request(self, settings: Settings) -> ChatRequest:
        """Returns the request of a body. Raises UsageError."""
        system, messages = _conversation(self.messages)
        options: dict[str, Any] = {}
        for name, row in CHAT_OPTIONS:
            if options.get(row.name) is None:
                options[row.name] = getattr(self, name)
        if options["tools"]:
            _check_tool_types(options["tools"])
            parse_tools(options["tools"], "tools")  # an error before the generation starts
        options |= {"system": system, "messages": messages, "model": model_of(options["model"], settings)}
        options |= {"options": passed_fields(self.model_extra or {}, settings), **format_options(self.response_format)}
        return ChatRequest("", drop_unset(options))


Conversation: Any = create_model(
    "Conversation",
    __base__=_ConversationBase,
    __doc__="The body of POST /v1/chat/completions. Fields such as `top_k` go to the provider as they stand.",
    **fields_of(CHAT_OPTIONS),
)


def drop_unset(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options that are set."""
    return {name: value for name, value in options.items() if value is not None}


def model_of(name: str | None, settings: Settings) -> str | None:
    """Returns the model to ask: one that the server was started with. Raises HTTPException for any other.

    A client that speaks OpenAI's protocol may leave the provider out, where one model alone has the rest as its name.
    Only the server's owner may name a file, a client may not.
    """
    if name == "":
        raise UsageError("model is empty: leave it out for the default")
    if name is None or name in ("default", settings.model):
        return settings.model
    if name in settings.models:
        return name
    refuse_model_file(name, "a request", "start the server with it")
    if any(fnmatchcase(name, pattern) for pattern in settings.allow_models):
        return name
    if full_name := _with_provider(name, settings):
        return full_name
    names = list(dict.fromkeys(("default", *filter(None, (settings.model, *settings.models)), *settings.allow_models)))
    listed = ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")
    raise HTTPException(404, f"the server does not serve the model {shown(name)}, but {listed}: see --allow-model")


def _with_provider(name: str, settings: Settings) -> str | None:
    """Returns the only served model that `name` is without its provider, None where there is none or more than one.

    The models that the server names count before those that a pattern stands for.
    """
    named = {model for model in (settings.model or "", *settings.models) if _bare(model) == name}
    providers = {pattern.partition("/")[0] for pattern in settings.allow_models if fnmatchcase(name, _bare(pattern))}
    models = named or {f"{provider}/{name}" for provider in providers}
    model = next(iter(models)) if len(models) == 1 else ""
    return model if model and not set(model.partition("/")[0]) & WILDCARDS else None


def _bare(model: str) -> str:
    """Returns what stands after the provider in a model's name or in a pattern, "" where it has no provider."""
    return model.partition("/")[2]


def passed_fields(fields: dict[str, Any], settings: Settings) -> dict[str, Any] | None:
    """Returns the fields that go to the provider as they stand. Raises UsageError for one that may not."""
    fields = {name: value for name, value in fields.items() if value is not None}
    for name in fields:
        if name not in PASSED_FIELDS and name not in settings.allow_fields:
            raise UsageError(f"the field {shown(name)} is not passed on: see --allow-field")
    return fields or None


def _check_tool_types(tools: list[Any]) -> None:
    """Raises UsageError for a tool that the provider would run: those cost money, and reach out."""
    for tool in tools:
        if isinstance(tool, dict) and (kind := tool.get("type")) not in CLIENT_TOOLS:
            raise UsageError(f"tools of the type {shown(kind)} are not supported: only functions of the client")


def _until(until: Any, settings: Settings) -> dict[str, Any] | None:
    """Returns the conditions by name, or None if there is no condition."""
    if until is None:
        return None
    values: dict[str, Any] = until.model_dump(by_alias=True, exclude_none=True)
    if values.get("regex") and not settings.allow_regex:
        raise UsageError("until: regex is not allowed here: start the server with --allow-regex")
    conditions, _ = from_mapping(values)  # an error before the generation starts
    return values if conditions else None


def _require_checkable(options: dict[str, Any], settings: Settings) -> None:
    """Raises UsageError where the answer cannot be checked, or may not."""
    if not settings.allow_regex:
        raise UsageError("check is not allowed here: start the server with --allow-regex")
    require_checkable([options], {"until": bool(options.get("until"))})
    if len(to_json(options.get("schema"))) > MAX_CHECKED_SCHEMA:
        raise UsageError(f"a schema of more than {MAX_CHECKED_SCHEMA} characters cannot be checked: leave check out")


def _conversation(turns: list[Turn]) -> tuple[str | None, list[dict[str, Any]]]:
    """Returns the system prompt, joined, and the other messages as the option `messages` has them."""
    system: list[str] = []
    messages: list[dict[str, Any]] = []
    for number, turn in enumerate(turns):
        where = f"messages[{number}]"
        if turn.role in ("system", "developer"):
            system.append(_text(turn, where))
        else:
            messages.append(_message(turn, where))
    if not messages or messages[-1]["role"] not in ("user", "tool"):
        raise UsageError("messages: the last one must be the user's, or a tool's result")
    converse(Request("", ""), messages, "messages")  # an error before the generation starts
    return "\n\n".join(system) if system else None, messages


def _message(turn: Turn, where: str) -> dict[str, Any]:
    """Returns a message without the fields that are not the client's to set."""
    more = turn.model_extra or {}
    if turn.role == "function" or more.get("function_call"):
        raise UsageError(f"{where}: functions are not supported: use tool_calls, and the role tool for their results")
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    message |= {name: more[name] for name in CALL_FIELDS if more.get(name) is not None}
    if turn.content is None and not message.get("tool_calls"):
        raise UsageError(f"{where}: no content")
    if isinstance(turn.content, list):
        has_files = any(part.get("type") != "text" for part in turn.content)
        if turn.role == "assistant" or (turn.role == "tool" and not has_files):
            message["content"] = _text(turn, where)
    return message


def _text(turn: Turn, where: str) -> str:
    if turn.content is None:
        raise UsageError(f"{where}: no content")
    if isinstance(turn.content, str):
        return turn.content
    texts = [part.get("text") if part.get("type") == "text" else None for part in turn.content]
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{where}: only parts of type text are supported")
    return "".join(map(str, texts))


def format_options(response_format: dict[str, Any] | None, name: str = "response_format") -> dict[str, Any]:
    """Returns the options of a response format; `name` is that of its field."""
    kind = response_format.get("type") if response_format else "text"
    if response_format is None or kind == "text":
        return {}
    if kind == "json_object":
        return {"json": True}
    json_schema = response_format.get("json_schema")
    schema = json_schema.get("schema") if kind == "json_schema" and isinstance(json_schema, dict) else None
    if not isinstance(schema, dict):
        raise UsageError(f"{name} must be text, json_object, or json_schema with its schema")
    schemas.check(schema)
    return {"schema": schema}
