"""What a generation consists of: the events that every dialect is translated into."""

from __future__ import annotations

from typing import ClassVar

REASONS = ("stop", "length", "tool_calls", "content_filter", "refusal", "cancelled")


class Event:
    """Base of the events: a few slots, equal by type and value, printable as the NDJSON of `--events`."""

    __slots__: tuple[str, ...] = ()
    type: ClassVar[str]

    def as_dict(self) -> dict[str, object]:
        """`{"type": ..., ...}` in the order of the slots."""
        return {"type": self.type, **{name: getattr(self, name) for name in self.__slots__}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(getattr(self, name)) for name in self.__slots__)})"


class Start(Event):
    """The provider has begun to answer; `model` is the provider's own word for what answers."""

    __slots__ = ("provider", "model", "id")
    type = "start"

    def __init__(self, provider: str, model: str, id: str) -> None:
        self.provider, self.model, self.id = provider, model, id


class Text(Event):
    """New text of the answer."""

    __slots__ = ("text",)
    type = "text"

    def __init__(self, text: str) -> None:
        self.text = text


class Reasoning(Event):
    """New text of the model's reasoning, as far as the provider shows it."""

    __slots__ = ("text",)
    type = "reasoning"

    def __init__(self, text: str) -> None:
        self.text = text


class ToolCall(Event):
    """A piece of a tool call: `id` and `name` come with its first piece, `arguments` is new JSON text."""

    __slots__ = ("index", "id", "name", "arguments")
    type = "tool_call"

    def __init__(self, index: int, id: str, name: str, arguments: str) -> None:
        self.index, self.id, self.name, self.arguments = index, id, name, arguments


class Usage(Event):
    """Tokens, all told: those read from a cache and written to one are part of input_tokens, reasoning of output."""

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
    """The end: `reason` is one of REASONS, `provider_reason` the provider's own word."""

    __slots__ = ("reason", "provider_reason")
    type = "finish"

    def __init__(self, reason: str, provider_reason: str) -> None:
        self.reason, self.provider_reason = reason, provider_reason
