"""The bodies of requests: what is described in /openapi.json and checked, and what of it is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from ..commands import stop_options as stopping
from ..core import schema as schemas
from ..core.request import Message
from ..core.stop.conditions import CONDITIONS, KINDS, from_mapping
from ..errors import UsageError
from ..request import features
from .request import ChatRequest
from .settings import Settings

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Texts = str | list[str]

_STRICT = ConfigDict(strict=True, extra="forbid")
_KINDS: dict[type, Any] = {
    str: str,
    int: Count,
    float: Annotated[float, Field(gt=0, allow_inf_nan=False)],
    bool: bool,
}


def _until_fields() -> dict[str, tuple[Any, Any]]:
    """A field for every option of stop conditions; what clients call it is its alias, as `json` is a model's own."""
    helps = {row.name.replace("-", "_"): row.help for row in CONDITIONS} | {
        "ignore_case": "Letters match in either case.",
        "count": "Wait for the N-th time.",
        "window": "Characters that a match of a pattern may span.",
        **{name: help for name, _, help in stopping.MODES},
    }
    repeatable = {row.name for row in CONDITIONS if row.repeatable}
    return {
        f"until_{name}": (
            (Texts if name in repeatable else _KINDS[kind]) | None,
            Field(None, alias=name, description=helps[name]),
        )
        for name, kind in KINDS.items()
    }


Until: Any = create_model(  # type: ignore[call-overload]
    "Until",
    __config__=_STRICT,
    __doc__="Stop conditions: the answer ends at the first that is met.",
    **_until_fields(),
)


class Prompt(BaseModel):
    """What POST /chat/stream is asked."""

    model_config = _STRICT

    prompt: str = Field(min_length=1)
    system: str | None = None
    model: str | None = Field(None, min_length=1)
    until: Until | None = None
    max_tokens: Count | None = None
    temperature: Number | None = None
    seed: Seed | None = None
    stop: Texts | None = None
    reasoning: bool = Field(False, description="Send the model's reasoning, too, as events of its own.")

    def asked(self, settings: Settings) -> ChatRequest:
        """Raises UsageError."""
        return ChatRequest(
            self.prompt,
            self.system,
            _model(self.model, settings),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            stop=_texts(self.stop),
            until=_until(self.until, settings),
        )


class Turn(BaseModel):
    """A message. Its parts, where it has any, are text."""

    model_config = ConfigDict(strict=True, extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: bool | None = False


class Conversation(BaseModel):
    """What POST /v1/chat/completions is asked. Other fields go to the provider as they stand."""

    model_config = ConfigDict(strict=True, extra="allow")

    messages: list[Turn] = Field(min_length=1)
    model: str | None = Field(None, min_length=1, description='"default" is the server\'s own.')
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Number | None = None
    seed: Seed | None = None
    stop: Texts | None = None
    n: Literal[1] | None = None
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None

    def asked(self, settings: Settings) -> ChatRequest:
        """Raises UsageError."""
        system, messages = _conversation(self.messages)
        as_json, schema = _format(self.response_format)
        return ChatRequest(
            system=system,
            model=_model(self.model, settings),
            messages=messages,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            stop=_texts(self.stop),
            tools=features.tools(self.tools, "tools") if self.tools else (),
            json=as_json,
            schema=schema,
            effort=self.reasoning_effort,
            extra=tuple((self.model_extra or {}).items()),
        )


def _model(name: str | None, settings: Settings) -> str | None:
    """The model that is meant; files are named by who runs the server, not by who asks it."""
    if name is None or name in ("default", settings.model):
        return settings.model
    if name.startswith("replay:") or name.endswith(".gguf"):
        raise UsageError("a model that is a file cannot be asked for: let the server be started with it")
    return name


def _texts(given: Texts | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _until(given: Any, settings: Settings) -> dict[str, Any] | None:
    """The conditions by their names, if there are any."""
    if given is None:
        return None
    values: dict[str, Any] = given.model_dump(by_alias=True, exclude_none=True)
    if values.get("regex") and not settings.regex:
        raise UsageError("until: regex is not taken here: the server has to be started with --allow-regex")
    conditions, _ = from_mapping(values, "until: ")  # what is wrong with them is told now
    if any(values.values()) and not conditions:
        raise UsageError(f"until: {next(iter(values))} needs a condition, for example regex")
    return values if conditions else None


def _conversation(turns: list[Turn]) -> tuple[str | None, tuple[Message, ...]]:
    """The system prompt, and what follows it."""
    system: list[str] = []
    messages: list[Message] = []
    for number, turn in enumerate(turns):
        text = _text(turn, f"messages[{number}]")
        if turn.role in ("system", "developer"):
            system.append(text)
        else:
            messages.append(Message(turn.role, text))
    if not messages or messages[-1].role != "user":
        raise UsageError("messages: the last one is to be the user's")
    return "\n\n".join(system) if system else None, tuple(messages)


def _text(turn: Turn, where: str) -> str:
    calls = turn.model_extra and (turn.model_extra.get("tool_calls") or turn.model_extra.get("function_call"))
    if turn.role in ("tool", "function") or calls:
        raise UsageError(f"{where}: calls of tools cannot be sent back: tell their results in a user's message")
    if turn.content is None:
        raise UsageError(f"{where}: no content")
    if isinstance(turn.content, str):
        return turn.content
    texts = [part.get("text") if part.get("type") == "text" else None for part in turn.content]
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{where}: only parts of the type text are taken")
    return "".join(map(str, texts))


def _format(given: dict[str, Any] | None) -> tuple[bool, dict[str, Any] | None]:
    """Whether the answer is to be JSON, and of which schema."""
    kind = given.get("type") if given else "text"
    if given is None or kind == "text":
        return False, None
    if kind == "json_object":
        return True, None
    shape = given.get("json_schema")
    schema = shape.get("schema") if kind == "json_schema" and isinstance(shape, dict) else None
    if not isinstance(schema, dict):
        raise UsageError("response_format is neither text, json_object nor a json_schema with its schema")
    schemas.check(schema)
    return False, schema
