"""OpenAI Chat Completions, the dialect of all compatible servers, with their extensions.

Source: OpenAI API reference, "Chat Completions: streaming". The extensions of servers are read from any server; unknown
fields and events are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core import decoder, endings, provider_errors
from ..core.decoder import arguments, items, member, number, string
from ..core.events import Event, Finish, Reasoning, ScoredText, Source, Text, Usage
from ..core.json_codec import to_compact_json
from ..core.request import TOOL_CHOICES, Attachment, Message, Request, text_part
from .openai import bearer, named_schema, stated_cost

if TYPE_CHECKING:
    from ..core.think import TaggedReasoning

PATH, MODELS_PATH, BASE_PATH = "/chat/completions", "/models", ""
FIELD_OBJECTS: dict[str, str] = {}
ATTACHMENT_KINDS: tuple[str, ...] = ("image", "pdf", "audio", "text")  # a model may have fewer
MAX_ATTACHMENT_BYTES = 50_000_000  # OpenAI's limit
UNSUPPORTED = {
    "cache": "only Anthropic, OpenAI and Azure have it; other providers cache by themselves",
    "cache_ttl": "only the Messages API has it",
    "within": "only OpenAI's Responses API has it",
}
WHOLE = ("stop", "tool_calls")  # reasons of a whole answer

headers = bearer


def body(request: Request, field_names: dict[str, str]) -> dict[str, Any]:
    """Returns the JSON body; `field_names` as in Request.fill."""
    request.refuse("Chat Completions", UNSUPPORTED)
    if any(message.result_of and message.files for message in request.messages):
        from .tool_files import after_results

        request = request._replace(messages=after_results(request.messages))
    messages = request.turns(_part, _tool_turns)
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
    if request.tool_choice:
        fields["tool_choice"] = _choice(request.tool_choice)
    return request.fill(fields, field_names)


def _tool_turns(message: Message) -> list[dict[str, Any]]:
    if call := message.result_of:
        return [{"role": "tool", "tool_call_id": call.id, "content": message.content}]
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.calls
    ]
    turn: dict[str, Any] = {"role": "assistant", "content": message.content or None}
    if calls:
        turn["tool_calls"] = calls
    for fields in message.native:
        extras = {extra.get("id"): extra for extra in items(fields, "tool_calls")}
        turn |= {name: value for name, value in fields.items() if name != "tool_calls"}
        turn |= {"tool_calls": [call | extras.get(call["id"], {}) for call in calls]} if extras else {}
    return [turn]


def _choice(choice: str) -> str | dict[str, Any]:
    return choice if choice in TOOL_CHOICES else {"type": "function", "function": {"name": choice}}


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
        self._calls: dict[int | None, tuple[int, str, str]] = {}  # by the server's index: our key, the last id and name
        self._call_count = 0
        self._begun = False  # a chunk had more than a role
        self._plain = False  # the text has begun, so that it has no tags of reasoning
        self._tags: TaggedReasoning | None = None  # from a text on that may begin with a tag
        self._has_reasoning = False  # in a field of its own
        self._held_scores: list[object] = []  # of a text that is held
        self._sources: set[tuple[str, int | None]] = set()
        self._refused = False
        self._early_finish: Finish | None = None

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        self.repeats = False
        # Azure's first chunk has neither, but the results of its prompt filter.
        if not self.started and (data.get("id") or data.get("choices")):
            events.append(self.start(data))
        if data.get("usage") or "x_groq" in data:
            self._read_usage(data, data.get("usage") or member(data, "x_groq", "usage"))
        if error := "x_groq" in data and member(data, "x_groq", "error"):
            self.failure = provider_errors.in_event({"error": error}, "")
        if "citations" in data or "search_results" in data:
            events += self._cite(data)
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):
            return events
        delta = choice.get("delta")
        if not self._begun or not isinstance(delta, dict):
            delta = _delta(choice)
            self._begun = self._begun or _has_more_than_role(delta)
        count = len(events)
        self._read_delta(delta, events)
        if choice.get("logprobs"):
            self._score(_scores(choice["logprobs"]), events, count)
        if self.finish and any(not isinstance(event, Source) for event in events[count:]):
            self._early_finish, self.premature = self.finish, True  # text follows a finish, which was not the end
            self.finish = None
        if reason := choice.get("finish_reason"):
            self._read_reason(reason, choice, data)
        return events

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        if not isinstance(data.get("choices"), list):
            return []
        events = self.feed("", data)
        if self.finish is None and len(events) > 1 and data.get("object") != "chat.completion.chunk":
            self.feed_done()  # some servers leave the finish reason out; but a chunk alone is a stream that was cut
        return events

    def feed_done(self) -> list[Event]:
        self.finish = self.finish or self._early_finish
        if self.finish is None:
            self.finish = Finish("refusal" if self._refused else "tool_calls" if len(self.calls) else "stop", "")
        self.over = True
        return []

    def close(self) -> list[Event]:
        if self._tags is None or self.finish is None:  # of an answer that is cut, what may be half a tag is dropped
            return []
        events, self._tags = self._tags.close(), None
        self._score([], events, 0)
        return events

    def _read_delta(self, delta: dict[str, Any], events: list[Event]) -> None:
        content = delta.get("content")
        if self._plain and len(delta) == 1 and content and isinstance(content, str):  # nearly all deltas
            events.append(Text(content))
            self.repeats = True
            return
        if reasoning := self._reasoning(delta):
            self._end_tags(events)
            events.append(Reasoning(reasoning))
        if content is not None and content != "":
            self._read_content(content, _is_thought(delta), events)
        if transcript := string(delta, "audio", "transcript"):
            self._end_tags(events)
            events.append(Text(transcript))
        if refusal := string(delta, "refusal"):
            self._end_tags(events)
            events.append(Text(refusal))
            self._refused = True
        if calls := items(delta, "tool_calls"):
            self._end_tags(events)
            for call in calls:
                events += self._call(call)
        if delta.get("function_call"):
            events += self._call({"index": 0, "function": delta["function_call"]})
        events += self._annotations(items(delta, "annotations"))
        if member(delta, "audio", "data"):
            self._drop("sound")
        if delta.get("images"):
            self._drop("an image")

    def _reasoning(self, delta: dict[str, Any]) -> str:
        """Returns the reasoning of a delta; `reasoning_details` repeat what another field has."""
        text = string(delta, "reasoning_content") or string(delta, "reasoning") or string(delta, "thinking")
        if text:
            self._has_reasoning = True
        if text or self._has_reasoning:
            return text
        return "".join(string(item, "text") or string(item, "summary") for item in items(delta, "reasoning_details"))

    def _read_content(self, content: Any, is_thought: bool, events: list[Event]) -> None:
        if isinstance(content, list) and any(isinstance(part, dict) and "type" in part for part in content):
            self._end_tags(events)
            self._read_parts(content, events)
            return
        if not isinstance(content, str):
            content = _compact_json(content)  # Cloudflare: what the model wrote as JSON
        if is_thought and self._plain:
            self._plain, self._tags = False, None  # more thoughts, in tags of their own
        if is_thought and not content.startswith("<") and not (self._tags and self._tags.begun):
            events.append(Reasoning(content))  # a gateway took the tags away
            return
        if not self._plain and self._tags is None:
            if content.lstrip()[:1] in ("", "<"):
                from ..core.think import TaggedReasoning

                self._tags = TaggedReasoning()
            else:
                self._plain = True
        if self._tags is None or self._plain:
            events.append(Text(content))
        else:
            events += self._tags.feed(content)
            self._plain = self._tags.over

    def _end_tags(self, events: list[Event]) -> None:
        """Ends the search for tags of reasoning, since something else than text has come."""
        if not self._plain and not (self._tags and self._tags.begun):
            events += self._tags.close() if self._tags else ()
            self._plain = True

    def _read_parts(self, parts: list[Any], events: list[Event]) -> None:
        """Decodes content that is a list of typed parts (Mistral's reasoning models)."""
        for part in parts:
            if text := string(part, "text"):
                events.append(Text(text))
            if thinking := string(part, "thinking"):
                events.append(Reasoning(thinking))
            events += [Reasoning(text) for inner in items(part, "thinking") if (text := string(inner, "text"))]
            if string(part, "type") in ("image", "image_url"):
                self._drop("an image")

    def _drop(self, what: str) -> None:
        if what not in self.dropped:
            self.dropped.append(what)

    def _score(self, scores: list[object], events: list[Event], start: int) -> None:
        """Gives what the provider says of the tokens of a chunk to its text, which may be held for now.

        The chunk's events begin at `start`.
        """
        scores = self._held_scores + scores
        self._held_scores = scores if len(events) == start and not self._plain else []
        place = next((i for i in range(start, len(events)) if isinstance(events[i], Text)), None)
        if scores and place is not None:
            events[place] = ScoredText(events[place].text, scores)  # type: ignore[attr-defined]

    # Tool calls.

    def _call(self, call: dict[str, Any]) -> list[Event]:
        custom = call.get("custom")
        function = custom if isinstance(custom, dict) else call.get("function")
        name = string(function, "name")
        text = string(custom, "input") or arguments(member(function, "arguments"))
        id = string(call, "id")
        id = "" if id == "null" else id  # Mistral
        return self.calls.add(self._key(call, id, name), id, name, text, is_json=custom is None)

    def _key(self, call: dict[str, Any], id: str, name: str) -> int:
        """Returns our key of the call that a piece belongs to.

        Gemini does not number calls, and gateways to it number all of them 0: there a name begins another call, unless
        its id is that of the call before, or, where there are no ids, its name.
        """
        number = call.get("index")
        if not isinstance(number, int):
            number = None
        ours, last_id, last_name = self._calls.get(number, (-1, "", ""))
        other = id != last_id if id and last_id else number is None or last_name not in ("", name)
        if ours < 0 or (name and other):
            ours = self._call_count
            self._call_count += 1
        self._calls[number] = ours, id or last_id, name or last_name
        return ours

    # The end.

    def _read_reason(self, reason: Any, choice: dict[str, Any], data: dict[str, Any]) -> None:
        word = reason if isinstance(reason, str) else str(number(choice, "finish_reason"))  # Gemini's may be a number
        if word.lower() in endings.NOT_YET:
            return
        if error := choice.get("error"):  # OpenRouter
            self.failure = provider_errors.in_event({"error": error}, "")
            return
        native = string(choice, "native_finish_reason")
        native = native or string(choice, "provider_specific_fields", "native_finish_reason")  # OpenRouter, LiteLLM
        reasons = [endings.reason_of("chat", each) for each in (word, native)]
        if reasons[0] in WHOLE and reasons[1] not in (*WHOLE, endings.UNKNOWN):
            word = native
        self.end(word)
        if self.finish and self._refused:
            self.finish.reason = "refusal"
        if usage := choice.get("usage"):  # Moonshot
            self._read_usage(data, usage)

    def _read_usage(self, data: dict[str, Any], usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        prompt, completion = number(usage, "prompt_tokens"), number(usage, "completion_tokens")
        reasoning = number(usage, "completion_tokens_details", "reasoning_tokens") or number(usage, "reasoning_tokens")
        beside = number(usage, "total_tokens") == prompt + completion + reasoning  # xAI
        if reasoning and (beside or reasoning > completion):
            completion += reasoning
        details = usage.get("prompt_tokens_details")
        cached = (
            number(details, "cached_tokens")
            or number(usage, "prompt_cache_hit_tokens")  # DeepSeek
            or number(usage, "cached_tokens")  # Moonshot
        )
        # Perplexity bills its searches. What xAI names num_sources_used are results, not searches: they do not count.
        searches = number(usage, "num_search_queries") or number(usage, "server_tool_use", "web_search_requests")
        self.usage = Usage(
            prompt,
            completion,
            cached,
            reasoning,
            number(details, "cache_write_tokens") or number(details, "cache_creation_tokens"),  # OpenRouter, LiteLLM
            searches=searches,
            tier=string(data, "service_tier") or string(usage, "service_tier"),
            cost_usd=stated_cost(usage),
        )

    # Sources.

    def _cite(self, data: dict[str, Any]) -> list[Event]:
        """Returns the sources of the whole answer: `search_results` have titles, `citations` may be mere addresses."""
        citations = data.get("citations")
        addresses = [{"url": url} for url in citations if isinstance(url, str)] if isinstance(citations, list) else []
        return self._annotations(items(data, "search_results") + items(data, "citations") + addresses)

    def _annotations(self, annotations: list[dict[str, Any]]) -> list[Event]:
        """Returns the sources that are new: servers repeat them in each chunk, or in two fields."""
        events: list[Event] = []
        for annotation in annotations:
            source = annotation.get("url_citation") or annotation
            url, end = string(source, "url"), number(source, "end_index") or None
            start = number(source, "start_index") if end else None
            if not url or (url, start) in self._sources:
                continue
            self._sources |= {(url, start), (url, None)}
            events.append(Source(url, string(source, "title"), start, end))
        return events


def _delta(choice: dict[str, Any]) -> dict[str, Any]:
    """Returns what a choice has: its delta, its message, or the text of a legacy completion.

    Perplexity repeats the text so far as `message` beside each `delta`; its whole answers have an empty `delta`.
    """
    delta, message, text = choice.get("delta"), choice.get("message"), choice.get("text")
    if isinstance(message, dict) and not _has_more_than_role(delta):
        return message
    if isinstance(delta, dict):
        return delta
    return {"content": text} if isinstance(text, str) else {}


def _has_more_than_role(delta: Any) -> bool:
    return isinstance(delta, dict) and any(value for name, value in delta.items() if name != "role")


def _is_thought(delta: dict[str, Any]) -> bool:
    """Whether Google's compatible endpoint marks the content as a thought, which it writes in tags."""
    return "extra_content" in delta and member(delta, "extra_content", "google", "thought") is True


def _scores(logprobs: Any) -> list[object]:
    """Returns the objects of tokens; a legacy completion has one object of arrays for all."""
    scores = member(logprobs, "content")
    if isinstance(scores, list):
        return scores
    return [logprobs] if member(logprobs, "tokens") else []


def _compact_json(value: Any) -> str:
    try:
        return to_compact_json(value)
    except RecursionError:
        return ""
