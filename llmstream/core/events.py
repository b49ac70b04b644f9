"""The events of a generation, which every dialect is decoded to."""

from __future__ import annotations

from typing import ClassVar

REASONS = ("stop", "length", "tool_calls", "content_filter", "refusal", "cancelled")  # see Finish


class Event:
    """Base of the events, which are equal if their types and values are. `type` is the name in the NDJSON of gen."""

    __slots__: tuple[str, ...] = ()
    type: ClassVar[str]

    def as_dict(self) -> dict[str, object]:
        """Returns `{"type": ..., ...}`, as the NDJSON of gen has it."""
        return {"type": self.type, **{name: getattr(self, name) for name in self.__slots__}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(getattr(self, name)) for name in self.__slots__)})"


class Start(Event):
    """The first event.

    `provider` is llmstream's name of the provider, `model` the provider's name of the model that answers, which may be
    more exact than the requested one, and `id` the provider's id of the answer, "" without one.
    """

    __slots__ = ("provider", "model", "id")
    type = "start"

    def __init__(self, provider: str, model: str, id: str) -> None:
        self.provider, self.model, self.id = provider, model, id


class Text(Event):
    """New text of the answer. It ends with a complete character, but anywhere in a word."""

    __slots__ = ("text",)
    type = "text"

    def __init__(self, text: str) -> None:
        self.text = text


class Reasoning(Event):
    """New text of the model's reasoning, or of a summary of it, from providers that send one."""

    __slots__ = ("text",)
    type = "reasoning"

    def __init__(self, text: str) -> None:
        self.text = text


class ToolCall(Event):
    """A piece of a tool call.

    `index` counts the calls of the answer from 0. `id` and `name` come with a call's first piece and are "" in the
    others; `arguments` is new text of a JSON object, complete when the answer is.
    """

    __slots__ = ("index", "id", "name", "arguments")
    type = "tool_call"

    def __init__(self, index: int, id: str, name: str, arguments: str) -> None:
        self.index, self.id, self.name, self.arguments = index, id, name, arguments


class Usage(Event):
    """The provider's token counts of the whole answer.

    `input_tokens` includes `cached_tokens` (read from the provider's cache) and `cache_write_tokens` (written to it);
    `output_tokens` includes `reasoning_tokens`. The last three are 0 if the provider does not report them.
    """

    __slots__ = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cache_write_tokens")
    type = "usage"

    def __init__(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        reasoning_tokens: int = 0,
        cache_write_tokens: int = 0,
    ) -> None:
        self.input_tokens, self.output_tokens = input_tokens, output_tokens
        self.cached_tokens, self.reasoning_tokens = cached_tokens, reasoning_tokens
        self.cache_write_tokens = cache_write_tokens


class Finish(Event):
    """The last event of a complete answer.

    `reason` is one of:

    - "stop": the model ended the answer, or reached one of the request's stop texts
    - "length": the answer reached `max_tokens`, or the provider's limit
    - "tool_calls": the model ended the answer with tool calls
    - "content_filter": the provider's filter ended the answer
    - "refusal": the model refused
    - "cancelled": a stop condition was met, and the rest was cancelled

    `provider_reason` is the provider's name of the reason, "" without one.
    """

    __slots__ = ("reason", "provider_reason")
    type = "finish"

    def __init__(self, reason: str, provider_reason: str) -> None:
        self.reason, self.provider_reason = reason, provider_reason
