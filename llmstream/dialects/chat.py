"""OpenAI Chat Completions, the dialect that all compatible servers share, with their quirks.

Source: OpenAI API reference, "Chat Completions: streaming". A server's own additions are read wherever they stand;
unknown fields and events are ignored.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import as_json, items, member, number, string
from ..core.events import Event, Finish, Reasoning, Text, ToolCall, Usage
from ..core.request import Attachment, Request, Tool
from ..errors import Unavailable, UsageError

PATH = "/chat/completions"
TAKES = ("image", "pdf", "audio", "text")  # kinds of attachments, where the model has them
LIMIT = 50_000_000  # bytes of a request's attachments as they are sent; OpenAI's

REASONS = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "refusal",
    # Gemini's own words, which its compatible endpoint lets through.
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
}
FAILURES = {  # finish reasons that are errors
    "error": "the provider ended the answer with an error",
    "insufficient_system_resource": "the provider ran out of resources",  # DeepSeek
    "abort": "the server aborted the answer",  # vLLM, SGLang
}


def headers(key: str) -> list[str]:
    """HTTP header lines that carry the key."""
    return [f"Authorization: Bearer {key}"] if key else []


def body(request: Request, fields: dict[str, str]) -> dict[str, Any]:
    """The request's JSON, with `fields` as in Request.fill."""
    if request.cache:
        raise UsageError("only the Messages API has --cache: other providers cache by themselves")
    messages = request.turns(_part, _text)
    if request.system is not None:
        messages.insert(0, {"role": "system", "content": request.system})
    wanted: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        "response_format": _format(request),
        "reasoning_effort": request.effort,
        "tools": [{"type": "function", "function": function(tool)} for tool in request.tools] or None,
    }
    return request.fill(wanted, fields)


def function(tool: Tool) -> dict[str, Any]:
    """A tool as OpenAI's dialects write it."""
    shape = {"name": tool.name, "description": tool.description, "parameters": tool.parameters, "strict": tool.strict}
    return {key: value for key, value in shape.items() if value not in (None, "")}


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema as OpenAI's dialects want it, under a name and strict where it can be."""
    from ..core import schema as schemas

    closed = schemas.closed(schema)
    return {"name": schemas.title(schema), "schema": closed, "strict": schemas.strict(closed)}


def _format(request: Request) -> dict[str, Any] | None:
    if request.schema is not None:
        return {"type": "json_schema", "json_schema": described(request.schema)}
    return {"type": "json_object"} if request.json else None


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _part(file: Attachment) -> dict[str, Any]:
    if file.kind == "image":
        return {"type": "image_url", "image_url": {"url": file.data_url()}}
    if file.kind == "audio":
        sound = {"data": file.data, "format": "wav" if file.media_type == "audio/wav" else "mp3"}
        return {"type": "input_audio", "input_audio": sound}
    if file.kind == "pdf":
        return {"type": "file", "file": {"filename": file.name, "file_data": file.data_url()}}
    return _text(file.titled())


class Decoder(decoder.Decoder):
    """Reads chunks of choice 0, and the usage, which may come with the last chunk, after it or in each."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._calls: dict[int | None, tuple[int, str]] = {}  # the server's index -> ours and the id of the last call
        self._count = 0  # of tool calls
        self._refused = False

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        if not self.started and (data.get("id") or data.get("choices")):  # Azure's first chunk is about the prompt
            events.append(self.start(data))
        self._read_usage(data)
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):
            return events
        # Perplexity repeats the message so far beside each delta; only an answer sent whole has nothing else.
        delta = choice["delta"] if "delta" in choice else choice.get("message")
        if isinstance(delta, dict):
            begun = len(events)
            self._read_delta(delta, events)
            if self.finish and len(events) > begun:  # text follows, so that finish was none
                self.finish, self.premature = None, True
        reason = choice.get("finish_reason")
        if reason and isinstance(reason, str):
            self._read_reason(reason)
        return events

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        return self.feed("", data) if isinstance(data.get("choices"), list) else []

    def feed_done(self) -> list[Event]:
        if self.finish is None:
            self._read_reason("")
        self.over = True
        return []

    def _read_delta(self, delta: dict[str, Any], events: list[Event]) -> None:
        content = delta.get("content")
        if len(delta) == 1 and content and isinstance(content, str):  # as nearly all are: no need to look for the rest
            events.append(Text(content))
            return
        reasoning = string(delta, "reasoning_content") or string(delta, "reasoning") or string(delta, "thinking")
        if reasoning:
            events.append(Reasoning(reasoning))
        if isinstance(content, list):
            events += _parts(content)
        elif content and isinstance(content, str):
            events.append(Text(content))
        refusal = string(delta, "refusal")
        if refusal:
            events.append(Text(refusal))
            self._refused = True
        events += [self._call(call) for call in items(delta, "tool_calls")]
        if delta.get("function_call"):
            events.append(self._call({"index": 0, "function": delta["function_call"]}))

    def _call(self, call: dict[str, Any]) -> ToolCall:
        name, arguments = string(call, "function", "name"), member(call, "function", "arguments")
        if not isinstance(arguments, str):
            arguments = as_json(arguments) if arguments else ""
        return ToolCall(self._index(call, bool(name)), string(call, "id"), name, arguments)

    def _index(self, call: dict[str, Any], named: bool) -> int:
        """Our number of the call that a piece belongs to.

        Gemini does not number calls, and gateways to it number all of them 0: there a name begins a call, if the id
        does not say that it is the same one.
        """
        number, id = call.get("index"), string(call, "id")
        if not isinstance(number, int):
            number = None
        ours, last_id = self._calls.get(number, (-1, ""))
        other = (id != last_id) if id and last_id else number is None
        if ours < 0 or (named and other):
            ours = self._count
            self._count += 1
        self._calls[number] = ours, id or last_id
        return ours

    def _read_reason(self, word: str) -> None:
        if word in FAILURES:
            self.failure = Unavailable(FAILURES[word])
            return
        reason = "refusal" if self._refused else REASONS.get(word.lower(), "stop")
        if reason == "stop" and self._count:  # Gemini says stop for tool calls
            reason = "tool_calls"
        self.finish = Finish(reason, word)

    def _read_usage(self, data: dict[str, Any]) -> None:
        usage = data.get("usage") or member(data, "x_groq", "usage")
        if isinstance(usage, dict):
            asked, said = number(usage, "prompt_tokens"), number(usage, "completion_tokens")
            reasoned = number(usage, "completion_tokens_details", "reasoning_tokens")
            if reasoned and number(usage, "total_tokens") == asked + said + reasoned:
                said += reasoned  # xAI counts it apart
            cached = number(usage, "prompt_tokens_details", "cached_tokens") or number(usage, "prompt_cache_hit_tokens")
            written = number(usage, "prompt_tokens_details", "cache_write_tokens")
            self.usage = Usage(asked, said, cached, reasoned, written)


def _parts(parts: Any) -> list[Event]:
    """Content as a list of typed parts (Mistral's reasoning models)."""
    events: list[Event] = []
    for part in parts:
        if text := string(part, "text"):
            events.append(Text(text))
        if thinking := string(part, "thinking"):
            events.append(Reasoning(thinking))
        events += [Reasoning(text) for inner in items(part, "thinking") if (text := string(inner, "text"))]
    return events
