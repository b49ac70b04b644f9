"""OpenAI Chat Completions, the dialect of all compatible servers, with their extensions.

Source: OpenAI API reference, "Chat Completions: streaming". The extensions of servers are read from any server; unknown
fields and events are ignored.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import arguments, items, member, number, string
from ..core.events import Event, Finish, Reasoning, Text, Usage
from ..core.request import Attachment, Request, text_part

PATH, MODELS_PATH, BASE_PATH = "/chat/completions", "/models", ""
ATTACHMENT_KINDS: tuple[str, ...] = ("image", "pdf", "audio", "text")  # a model may have fewer
MAX_ATTACHMENT_BYTES = 50_000_000  # OpenAI's limit
UNSUPPORTED = {"cache": "only the Messages API has it; other providers cache by themselves"}


def headers(key: str) -> list[str]:
    """Returns the HTTP header lines that carry the key."""
    return [f"Authorization: Bearer {key}"] if key else []


def body(request: Request, field_names: dict[str, str]) -> dict[str, Any]:
    """Returns the JSON body; `field_names` as in Request.fill."""
    request.refuse("Chat Completions", UNSUPPORTED)
    messages = request.turns(_part)
    if request.system is not None:
        messages.insert(0, {"role": "system", "content": request.system})
    fields: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request.max_tokens,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        "response_format": _format(request),
        "reasoning_effort": request.effort,
        "tools": [{"type": "function", "function": tool.as_dict("parameters")} for tool in request.tools] or None,
    }
    return request.fill(fields, field_names)


def named_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a schema in the format of OpenAI's two dialects: with a name, and strict if its shape allows that."""
    from ..core import schema as schemas

    closed = schemas.close_objects(schema)
    return {"name": schemas.schema_name(schema), "schema": closed, "strict": schemas.is_strict(closed)}


def _format(request: Request) -> dict[str, Any] | None:
    if request.schema is not None:
        return {"type": "json_schema", "json_schema": named_schema(request.schema)}
    return {"type": "json_object"} if request.json else None


def _part(file: Attachment) -> dict[str, Any]:
    if file.kind == "image":
        return {"type": "image_url", "image_url": {"url": file.data_url()}}
    if file.kind == "audio":
        sound = {"data": file.data, "format": "wav" if file.media_type == "audio/wav" else "mp3"}
        return {"type": "input_audio", "input_audio": sound}
    if file.kind == "pdf":
        return {"type": "file", "file": {"filename": file.name, "file_data": file.data_url()}}
    return text_part(file.titled())


class Decoder(decoder.Decoder):
    """Decodes the chunks of choice 0, and the usage, which may come with the last chunk, after it or with each."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._calls: dict[int | None, tuple[int, str]] = {}  # the server's index -> our key, and the last call's id
        self._begun = 0  # calls
        self._refused = False

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        # Azure's first chunk has neither, but the results of its prompt filter.
        if not self.started and (data.get("id") or data.get("choices")):
            events.append(self.start(data))
        self._read_usage(data)
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):
            return events
        # Perplexity repeats the text so far as `message` beside each `delta`; an answer in one piece has no delta.
        delta = choice["delta"] if "delta" in choice else choice.get("message")
        if isinstance(delta, dict):
            count = len(events)
            self._read_delta(delta, events)
            if self.finish and len(events) > count:  # text follows an earlier finish: it was not the end
                self.finish, self.premature = None, True
        reason = choice.get("finish_reason")
        if reason and isinstance(reason, str):
            self._read_reason(reason)
        return events

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        return self.feed("", data) if isinstance(data.get("choices"), list) else []

    def feed_done(self) -> list[Event]:
        if self.finish is None:
            self.finish = Finish("refusal" if self._refused else "tool_calls" if len(self.calls) else "stop", "")
        self.over = True
        return []

    def _read_delta(self, delta: dict[str, Any], events: list[Event]) -> None:
        content = delta.get("content")
        if len(delta) == 1 and content and isinstance(content, str):  # a fast path for nearly all deltas
            events.append(Text(content))
            return
        if reasoning := string(delta, "reasoning_content") or string(delta, "reasoning") or string(delta, "thinking"):
            events.append(Reasoning(reasoning))
        if isinstance(content, list):
            events += _parts(content)
        elif content and isinstance(content, str):
            events.append(Text(content))
        if refusal := string(delta, "refusal"):
            events.append(Text(refusal))
            self._refused = True
        for call in items(delta, "tool_calls"):
            events += self._call(call)
        if delta.get("function_call"):
            events += self._call({"index": 0, "function": delta["function_call"]})

    def _call(self, call: dict[str, Any]) -> list[Event]:
        name, text = string(call, "function", "name"), arguments(member(call, "function", "arguments"))
        return self.calls.add(self._key(call, bool(name)), string(call, "id"), name, text)

    def _key(self, call: dict[str, Any], named: bool) -> int:
        """Returns our key of the call that a piece belongs to.

        Gemini does not number calls, and gateways to it number all of them 0: there a name begins another call, unless
        its id is that of the call before.
        """
        number, id = call.get("index"), string(call, "id")
        if not isinstance(number, int):
            number = None
        ours, last_id = self._calls.get(number, (-1, ""))
        other = (id != last_id) if id and last_id else number is None
        if ours < 0 or (named and other):
            ours = self._begun
            self._begun += 1
        self._calls[number] = ours, id or last_id
        return ours

    def _read_reason(self, word: str) -> None:
        self.end(word)
        if self.finish and self._refused:
            self.finish.reason = "refusal"

    def _read_usage(self, data: dict[str, Any]) -> None:
        usage = data.get("usage") or member(data, "x_groq", "usage")
        if isinstance(usage, dict):
            prompt, completion = number(usage, "prompt_tokens"), number(usage, "completion_tokens")
            reasoning = number(usage, "completion_tokens_details", "reasoning_tokens")
            if reasoning and number(usage, "total_tokens") == prompt + completion + reasoning:
                completion += reasoning  # xAI does not count reasoning as completion
            cached = number(usage, "prompt_tokens_details", "cached_tokens") or number(usage, "prompt_cache_hit_tokens")
            written = number(usage, "prompt_tokens_details", "cache_write_tokens")
            self.usage = Usage(prompt, completion, cached, reasoning, written)


def _parts(parts: Any) -> list[Event]:
    """Decodes content that is a list of typed parts (Mistral's reasoning models)."""
    events: list[Event] = []
    for part in parts:
        if text := string(part, "text"):
            events.append(Text(text))
        if thinking := string(part, "thinking"):
            events.append(Reasoning(thinking))
        events += [Reasoning(text) for inner in items(part, "thinking") if (text := string(inner, "text"))]
    return events
