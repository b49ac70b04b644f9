"""The events of a generation, which every dialect is decoded to."""

from __future__ import annotations

from typing import ClassVar

MAX_COUNT = 2**53  # tokens: a larger number is a fault of the provider
# Of Finish.
REASONS = (
    *("stop", "length", "tool_calls", "content_filter", "refusal", "paused", "incomplete", "unknown"),
    *("until", "cancelled"),  # ended on this side
)


class Event:
    """Base of the events, which are equal if their types and values are. `type` is the name in the NDJSON of gen."""

    __slots__: tuple[str, ...] = ()
    type: ClassVar[str]
    optional: ClassVar[frozenset[str]] = frozenset()  # attributes that `as_dict` leaves out where they are empty

    def as_dict(self) -> dict[str, object]:
        """Returns `{"type": ..., ...}`, as the NDJSON of gen has it."""
        values = {name: getattr(self, name) for name in self.__slots__}
        if self.optional:  # 0.0 is a price
            values = {k: v for k, v in values.items() if k not in self.optional or v or isinstance(v, float)}
        return {"type": self.type, **values}

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


class ScoredText(Text):
    """A Text with what the provider says of its tokens: a list of its objects with log probabilities, unchanged."""

    __slots__ = ("logprobs",)

    def __init__(self, text: str, logprobs: list[object]) -> None:
        super().__init__(text)
        self.logprobs = logprobs

    def as_dict(self) -> dict[str, object]:
        return {"type": self.type, "text": self.text, "logprobs": self.logprobs}

    def __repr__(self) -> str:
        return f"ScoredText({self.text!r}, {self.logprobs!r})"


class Source(Event):
    """A source that the answer cites: its address, its title ("" if unknown) and the place of the citation.

    `start` and `end` are offsets in characters of the answer's text as the provider counts them, None if unknown.
    """

    __slots__ = ("url", "title", "start", "end")
    type = "source"

    def __init__(self, url: str, title: str = "", start: int | None = None, end: int | None = None) -> None:
        self.url, self.title, self.start, self.end = url, title, start, end

    def as_dict(self) -> dict[str, object]:
        values = {name: getattr(self, name) for name in self.__slots__}
        return {"type": self.type, **{name: value for name, value in values.items() if value not in ("", None)}}


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


class ToolResult(Event):
    """The result of a call whose tool llmstream has run, as the model gets it; `id` and `name` are the call's.

    Where the result is a file, `media_type` says of which type, and `content` is "".
    """

    __slots__ = ("id", "name", "content", "is_error", "media_type")
    type = "tool_result"
    optional = frozenset(("is_error", "media_type"))

    def __init__(self, id: str, name: str, content: str, is_error: bool = False, media_type: str = "") -> None:
        self.id, self.name, self.content, self.is_error = id, name, content, is_error
        self.media_type = media_type


class Usage(Event):
    """The provider's token counts of the whole answer, and what else decides its price.

    `input_tokens` includes `cached_tokens` (read from the provider's cache), `cache_write_tokens` (written to it, of
    which `cache_write_1h_tokens` stay for an hour) and what its own tools read; `output_tokens` includes
    `reasoning_tokens`. `searches` counts the provider's searches in the web. `tier` is its name of the service tier or
    speed that served the request, "" without one. `cost_usd` is the price in US dollars that the provider itself
    states, None without one. Counts are 0 if the provider does not report them.
    """

    counts: ClassVar[tuple[str, ...]] = (
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "searches",
    )
    __slots__ = (
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "searches",
        "tier",
        "cost_usd",
    )
    type = "usage"
    optional = frozenset(("cache_write_1h_tokens", "searches", "tier", "cost_usd"))

    def __init__(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        reasoning_tokens: int = 0,
        cache_write_tokens: int = 0,
        cache_write_1h_tokens: int = 0,
        searches: int = 0,
        *,
        tier: str = "",
        cost_usd: float | None = None,
    ) -> None:
        self.input_tokens, self.output_tokens = input_tokens, output_tokens
        self.cached_tokens, self.reasoning_tokens = cached_tokens, reasoning_tokens
        self.cache_write_tokens, self.cache_write_1h_tokens = cache_write_tokens, cache_write_1h_tokens
        self.searches, self.tier, self.cost_usd = searches, tier, cost_usd

    def drop_impossible(self) -> Usage:
        """Sets counts that cannot be to 0, and a price that cannot be to None; returns self."""
        for name in self.counts:
            if not 0 <= getattr(self, name) <= MAX_COUNT:
                setattr(self, name, 0)
        if self.cost_usd is not None and not 0 <= self.cost_usd < float("inf"):
            self.cost_usd = None
        return self


class Finish(Event):
    """The last event of a complete answer.

    `reason` is one of:

    - "stop": the model ended the answer, or reached one of the request's stop texts
    - "length": the answer reached `max_tokens`, or the provider's limit
    - "tool_calls": the model ended the answer with tool calls
    - "content_filter": the provider's filter ended the answer
    - "refusal": the model refused
    - "paused": the provider stopped for now, and wants the conversation sent back to continue
    - "incomplete": the answer is not whole for another reason
    - "unknown": the provider named a reason that llmstream does not know
    - "until": a stop condition was met, and the rest was cancelled
    - "cancelled": the program closed the stream before its end

    `provider_reason` is the provider's name of the reason, "" without one. `explanation` is its sentence for the user,
    "" without one.
    """

    __slots__ = ("reason", "provider_reason", "explanation")
    type = "finish"
    optional = frozenset(("explanation",))

    def __init__(self, reason: str, provider_reason: str, explanation: str = "") -> None:
        self.reason, self.provider_reason, self.explanation = reason, provider_reason, explanation
