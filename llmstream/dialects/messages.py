"""Anthropic Messages, also the dialect of Claude in the clouds.

Source: Anthropic API documentation, "Streaming messages". `message_delta` carries the stop reason and the cumulative
usage; `message_stop` is the end mark. `ping` and unknown events are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core import decoder
from ..core.decoder import Blocks, arguments, items, member, number, string
from ..core.events import Event, Finish, Reasoning, Source, Text, Usage
from ..core.json_codec import loads_strict
from ..core.request import Attachment, Message, Request, text_part
from ..errors import UsageError, option
from . import MESSAGES

PATH, MODELS_PATH, BASE_PATH = "/v1/messages", "/v1/models", "/v1"
FIELD_OBJECTS: dict[str, str] = {}
ATTACHMENT_KINDS: tuple[str, ...] = ("image", "pdf", "text")
MAX_ATTACHMENT_BYTES = 32_000_000  # the limit of a whole request
UNSUPPORTED = {
    "seed": f"leave {option('seed')} out",
    "json": f"describe the answer with {option('schema')}",
    "within": "only OpenAI's Responses API has it",
}
VERSION, SAMPLING_VERSION = "2026-10-21", "2023-06-01"  # the later one has no sampling parameters
SAMPLING = ("temperature", "top_p", "top_k")
MAX_TOKENS = 32000  # the default: the field is required, and every model of the current generations allows this many
TOOL_CHOICES = {"none": {"type": "none"}, "required": {"type": "any"}}

BUDGETS = {"low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 31999}  # tokens, by effort
SILENT = ("text", "thinking", "redacted_thinking")  # blocks; no turn may be empty, and thinking may not end one
SUMMARIZED = {"display": "summarized"}  # of thinking: what is sent is a summary
DROPPED = {"container_upload": "a file", "image": "an image"}  # blocks of an answer that are not passed on


def headers(key: str, body: Mapping[str, Any]) -> list[str]:
    """Returns the HTTP header lines that carry the key and the protocol's version."""
    version = SAMPLING_VERSION if any(name in body for name in SAMPLING) else VERSION
    return [f"anthropic-version: {version}"] + ([f"x-api-key: {key}"] if key else [])


def body(request: Request, field_names: dict[str, str]) -> dict[str, Any]:
    """Returns the JSON body; `field_names` as in Request.fill."""
    request.refuse("the Messages API", UNSUPPORTED)
    thinking, effort = _think(request)
    budget = thinking.get("budget_tokens", 0) if thinking else 0
    fields: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens or MAX_TOKENS + budget,
        "messages": _join_results(request.turns(_part, _tool_turns, silent=SILENT)),
        "stream": True,
        "system": request.system,
        "stop_sequences": list(request.stop) or None,
        "thinking": thinking,
        "output_config": _output(request, effort),
        "tools": [tool.as_dict("input_schema") for tool in request.tools] or None,
    }
    if request.tool_choice:
        fields["tool_choice"] = TOOL_CHOICES.get(request.tool_choice, {"type": "tool", "name": request.tool_choice})
    if request.cache or request.cache_ttl:
        _mark_cache(request, fields)
    return request.fill(fields, field_names)


def _think(request: Request) -> tuple[dict[str, Any] | None, str | None]:
    """Returns the fields `thinking` and `output_config.effort`; checks what depends on the model.

    A model has either an effort or a budget of tokens. Those with an effort send their thoughts on request only.
    """
    effort = request.effort
    sampling = [name for name in SAMPLING if request.same_names.get(name, 1) != 1]  # 1 is the value without the field
    if effort is None and not sampling and not request.reasoning:
        return None, None
    from . import claude

    model = claude.features(request.model)
    if sampling and not model.sampling:
        raise UsageError(f"{request.model} has no {option(sampling[0])}: leave it out")
    adaptive = {"type": "adaptive"} | (SUMMARIZED if request.reasoning and model.thinking == claude.ADAPTIVE else {})
    if effort is None:  # models that think take neither sampling parameters nor a prefill
        return adaptive if "display" in adaptive and not sampling and not request.prefill else None, None
    if effort not in model.efforts:
        name = request.model if effort in claude.EFFORTS else "the Messages API"
        raise UsageError(f"{name} has no {option('effort', effort)}: use one of {', '.join(model.efforts)}")
    if effort == "none":
        return {"type": model.off} if model.off else None, None
    if request.prefill:
        raise UsageError(f"{option('prefill')} does not work while the model thinks: use {option('effort', 'none')}")
    if model.thinking != claude.BUDGET:
        return adaptive, effort
    if sampling:
        raise UsageError(
            f"{request.model} has no {option(sampling[0])} while it thinks: use {option('effort', 'none')}"
        )
    budget = BUDGETS[effort]
    if request.max_tokens is not None and budget >= request.max_tokens:
        thinks = f"{option('effort', effort)} thinks for up to {budget} tokens"
        raise UsageError(f"{thinks}: {option('max_tokens')} must be more than that")
    return {"type": "enabled", "budget_tokens": budget}, None


def _output(request: Request, effort: str | None) -> dict[str, Any] | None:
    output: dict[str, Any] = {"effort": effort} if effort else {}
    if request.schema is not None:
        from ..core import schema as schemas

        output["format"] = {"type": "json_schema", "schema": schemas.close_objects(request.schema)}
    return output or None


def _tool_turns(message: Message) -> list[dict[str, Any]]:
    if call := message.result_of:
        content: Any = message.content
        if message.files:
            content = [*map(_part, message.files), *([text_part(content)] if content else [])]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": content}
        return [{"role": "user", "content": [result | ({"is_error": True} if message.is_error else {})]}]
    if message.native:
        return [{"role": "assistant", "content": list(message.native)}]
    blocks: list[dict[str, Any]] = [text_part(message.content)] if message.content else []
    for call in message.calls:
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": loads_strict(call.arguments)})
    return [{"role": "assistant", "content": blocks}]


def _join_results(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Puts the results of one turn's calls into one message, as the API wants them."""
    joined: list[dict[str, Any]] = []
    for turn in turns:
        if joined and _is_result(turn) and _is_result(joined[-1]):
            joined[-1]["content"] += turn["content"]
        else:
            joined.append(turn)
    return joined


def _is_result(turn: dict[str, Any]) -> bool:
    content = turn["content"]
    return isinstance(content, list) and string(content[-1], "type") == "tool_result"


def _mark_cache(request: Request, fields: dict[str, Any]) -> None:
    """Marks the ends of the parts that later requests repeat: tools and system prompt, conversation, attachments.

    A mark covers all before it. In the API's order tools come before the system prompt; it allows four marks.
    """
    control = {"type": "ephemeral"} | ({"ttl": request.cache_ttl} if request.cache_ttl else {})
    if request.system:
        fields["system"] = [text_part(request.system) | {"cache_control": control}]
    elif request.tools:
        fields["tools"][-1]["cache_control"] = control
    if before := fields["messages"][: -2 if request.prefill else -1]:
        last = before[-1]
        blocks = last["content"] if isinstance(last["content"], list) else [text_part(last["content"])]
        last["content"] = [*blocks[:-1], blocks[-1] | {"cache_control": control}]
    if request.attachments:
        # The attachments begin the last turn, which only a prefill follows.
        turn = fields["messages"][-2 if request.prefill else -1]
        turn["content"][len(request.attachments) - 1]["cache_control"] = control


def _part(file: Attachment) -> dict[str, Any]:
    if file.kind == "text":
        source = {"type": "text", "media_type": "text/plain", "data": file.data}
        return {"type": "document", "title": file.name, "source": source}
    source = {"type": "base64", "media_type": file.media_type, "data": file.data}
    if file.kind == "pdf":
        return {"type": "document", "title": file.name, "source": source}
    return {"type": "image", "source": source}


class Decoder(decoder.Decoder):
    """Decodes the text, thinking, citations and tool inputs of all content blocks.

    Only blocks of the type `tool_use` wait for the client. The other calls are the server's, and their results are not
    the answer; a `compaction` block summarizes the conversation. After a `fallback` block another model goes on where
    the one before declined.
    """

    api = MESSAGES

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._counts: dict[str, Any] = {}  # the usage so far
        self._text, self._thinking = Blocks(), Blocks()
        self._open: dict[int, tuple[int, str]] = {}  # the key of each block's call: gateways may number all blocks 0
        self._inputs: dict[tuple[int, str], str] = {}  # by call: its whole input, unless it comes in pieces too
        self._cited: set[tuple[int, str, str]] = set()  # block, URL and title
        self._results: dict[str, str] = {}  # the titles of the pages that searches found, by URL

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = data.get("type") or event
        self.repeats = kind == "content_block_delta"
        if kind == "content_block_delta":
            return self._read_delta(data)
        if kind == "content_block_start":
            return self._read_block(number(data, "index"), data.get("content_block"))
        if kind == "content_block_stop":
            return self._read_input(number(data, "index"))
        if kind == "message_start":
            return self._read_start(data.get("message"))
        if kind == "message_delta":
            self._read_usage(data)
            if word := string(data, "delta", "stop_reason"):
                return self._read_end(word, member(data, "delta", "stop_details"))
        elif kind == "message_stop":
            self.over = True
            return [] if self.finish else self._read_end("", None)
        return []

    def on_repeat(self, text: str) -> None:
        self._text.add(text)

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        if data.get("type") != "message":
            return []
        events: list[Event] = [self.start(data)]
        content = data.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else items(data, "content")
        for index, block in enumerate(blocks):
            events += self._read_block(index, block) + self._read_input(index)
        self._read_usage(data)
        return events + self._read_end(string(data, "stop_reason"), data.get("stop_details"))

    def close(self) -> list[Event]:
        inputs, self._inputs = self._inputs, {}
        return [event for call, input in inputs.items() for event in self.calls.add(call, arguments=input)]

    def _read_start(self, message: Any) -> list[Event]:
        if self.begins_another(string(message, "id")):
            return []
        self._read_usage(message)
        return [] if self.started else [self.start(message if isinstance(message, dict) else {})]

    def _read_delta(self, data: dict[str, Any]) -> list[Event]:
        delta = data.get("delta")
        if not isinstance(delta, dict):
            return []
        text = delta.get("text")
        if text and isinstance(text, str):
            return [Text(self._text.add(text))]
        if thinking := string(delta, "thinking"):
            return [Reasoning(self._thinking.add(thinking))]
        block = number(data, "index")
        if part := string(delta, "partial_json"):
            call = self._open.get(block)
            if call is None:
                return []
            self._inputs.pop(call, None)
            return self.calls.add(call, arguments=part)
        return self._cite(block, delta["citation"]) if "citation" in delta else []

    def _read_block(self, index: int, block: Any) -> list[Event]:
        """Reads the beginning of a block, or all of it.

        The text blocks of one sentence follow each other, as each has its own citations. Texts with another block
        between them, and all thinking blocks, are set apart.
        """
        kind = string(block, "type")
        self._open.pop(index, None)
        if kind == "text":
            events = self._read_delta({"delta": block})
            return events + [event for each in items(block, "citations") for event in self._cite(index, each)]
        if kind == "fallback":  # the next text goes on where this one ends
            self.fallback = string(block, "to", "model")
            return []
        self._text.begin()
        if kind == "thinking":
            self._thinking.begin()
            return self._read_delta({"delta": block})
        if kind == "tool_use":
            call = self._open[index] = index, string(block, "id")
            if input := arguments(block.get("input")):
                self._inputs[call] = input
            return self.calls.add(call, call[1], string(block, "name"))
        if kind == "web_search_tool_result":
            self._results |= {string(page, "url"): string(page, "title") for page in items(block, "content")}
        elif kind in DROPPED:
            self.dropped.append(DROPPED[kind])
        return []

    def _read_input(self, index: int) -> list[Event]:
        """Returns the input of a call that came whole, at the end of its block."""
        call = self._open.get(index)
        return self.calls.add(call, arguments=self._inputs.pop(call)) if call in self._inputs else []

    def _read_end(self, word: str, details: Any) -> list[Event]:
        """Reads the stop reason, "" where there is none, and its details.

        The pages that searches found are the sources of an answer that cites none.
        """
        if word:
            explanation, category = string(details, "explanation"), string(details, "category")
            if category:
                explanation = f"{explanation} (category {category})" if explanation else f"category {category}"
            self.end(word, explanation)
        else:
            self.finish = Finish("tool_calls" if len(self.calls) else "stop", "")
        pages = {} if self._cited or self._text.is_empty else self._results
        self._results = {}
        return [Source(url, title) for url, title in pages.items() if url]

    def _cite(self, index: int, citation: Any) -> list[Event]:
        """Returns a source of a text block, once; documents of the request have a title and no URL."""
        url = string(citation, "url") or string(citation, "source")
        title = string(citation, "title") or string(citation, "document_title")
        place = (index, url, title)
        if place in self._cited or not (url or title):
            return []
        self._cited.add(place)
        return [Source(url, title)]

    def _read_usage(self, data: Any) -> None:
        """Updates the usage, which is cumulative and partial: a later record replaces the fields that it has.

        `iterations` has the counts of each step of the answer. The counts beside it leave some steps out, compaction
        for example, and a record may have only one of the two.
        """
        usage = member(data, "usage")
        if not isinstance(usage, dict):
            return
        counts = self._counts
        counts.update({k: v for k, v in usage.items() if v is not None})
        steps = items(counts, "iterations")

        def total(*path: str) -> int:
            return max(number(counts, *path), sum(number(step, *path) for step in steps))

        for step in steps:
            if string(step, "type") == "fallback_message":
                self.fallback = string(step, "model")
        cached, written = total("cache_read_input_tokens"), total("cache_creation_input_tokens")
        self.usage = Usage(
            total("input_tokens") + cached + written,
            total("output_tokens"),
            cached,
            number(counts, "output_tokens_details", "thinking_tokens"),
            written,
            total("cache_creation", "ephemeral_1h_input_tokens"),
            number(counts, "server_tool_use", "web_search_requests"),
            tier="fast" if string(counts, "speed") == "fast" else string(counts, "service_tier"),
        )
