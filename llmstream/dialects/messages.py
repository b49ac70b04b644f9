"""Anthropic Messages, also the dialect of Claude in the clouds.

Source: Anthropic API documentation, "Streaming messages". `message_delta` carries the stop reason and the cumulative
usage; `message_stop` is the end mark. `ping` and unknown events are ignored.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import arguments, items, number, string
from ..core.events import Event, Finish, Reasoning, Text, Usage
from ..core.request import Attachment, Request, text_part
from ..errors import UsageError, option
from . import MESSAGES

PATH, MODELS_PATH, BASE_PATH = "/v1/messages", "/v1/models", "/v1"
FIELD_OBJECTS: dict[str, str] = {}
ATTACHMENT_KINDS: tuple[str, ...] = ("image", "pdf", "text")
MAX_ATTACHMENT_BYTES = 32_000_000  # the limit of a whole request
UNSUPPORTED = {"seed": f"leave {option('seed')} out", "json": f"describe the answer with {option('schema')}"}
VERSION = "2023-06-01"
MAX_TOKENS = 32000  # the default: the field is required, and every model of the current generations allows this many
CACHE_CONTROL = {"type": "ephemeral"}

EFFORTS = ("none", "low", "medium", "high", "xhigh", "max")
# The Claude 4.5 models have no effort, but a budget of tokens for thinking.
BUDGETS = {"low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 31999}
BUDGET_MODELS = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5")  # part of the clouds' model names too


def headers(key: str) -> list[str]:
    """Returns the HTTP header lines that carry the key and the protocol's version."""
    return [f"anthropic-version: {VERSION}"] + ([f"x-api-key: {key}"] if key else [])


def body(request: Request, field_names: dict[str, str]) -> dict[str, Any]:
    """Returns the JSON body; `field_names` as in Request.fill."""
    request.refuse("the Messages API", UNSUPPORTED)
    thinking, effort = _effort(request)
    fields: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens or MAX_TOKENS,
        "messages": request.turns(_part),
        "stream": True,
        "system": request.system,
        "stop_sequences": list(request.stop) or None,
        "thinking": thinking,
        "output_config": _output(request, effort),
        "tools": [tool.as_dict("input_schema") for tool in request.tools] or None,
    }
    if request.cache:
        _mark_cache(request, fields)
    return request.fill(fields, field_names)


def _effort(request: Request) -> tuple[dict[str, Any] | None, str | None]:
    """Returns the fields `thinking` and `output_config.effort`: a model has either a budget of tokens or an effort."""
    effort = request.effort
    if effort is None:
        return None, None
    if effort not in EFFORTS:
        raise UsageError(f"the Messages API has no {option('effort', effort)}: use one of {', '.join(EFFORTS)}")
    if effort == "none":
        return {"type": "disabled"}, None
    if request.prefill:
        raise UsageError(f"a model that thinks takes no {option('prefill')}: use {option('effort', 'none')}")
    if not any(name in request.model for name in BUDGET_MODELS):
        return {"type": "adaptive"}, effort
    budget = BUDGETS[effort]
    if budget >= (request.max_tokens or MAX_TOKENS):
        thinks = f"{option('effort', effort)} thinks for up to {budget} tokens"
        raise UsageError(f"{thinks}: {option('max_tokens')} must be more than that")
    return {"type": "enabled", "budget_tokens": budget}, None


def _output(request: Request, effort: str | None) -> dict[str, Any] | None:
    output: dict[str, Any] = {"effort": effort} if effort else {}
    if request.schema is not None:
        from ..core import schema as schemas

        output["format"] = {"type": "json_schema", "schema": schemas.close_objects(request.schema)}
    return output or None


def _mark_cache(request: Request, fields: dict[str, Any]) -> None:
    """Marks the ends of the parts that later requests repeat: tools and system prompt, conversation, attachments.

    A mark covers all before it. In the API's order tools come before the system prompt; it allows four marks.
    """
    if not (request.system or request.tools or request.attachments or (request.messages and request.prompt)):
        inputs = ", ".join(map(option, ("system", "tools", "messages", "attach")))
        raise UsageError(f"{option('cache')} has nothing to cache: it is for {inputs}")
    if request.system:
        fields["system"] = [text_part(request.system) | {"cache_control": CACHE_CONTROL}]
    elif request.tools:
        fields["tools"][-1]["cache_control"] = CACHE_CONTROL
    if request.messages and request.prompt:
        last = fields["messages"][len(request.messages) - 1]
        last["content"] = [text_part(last["content"]) | {"cache_control": CACHE_CONTROL}]
    if request.attachments:
        # The attachments stand before the text of the last turn, which only a prefill follows.
        turn = fields["messages"][-2 if request.prefill else -1]
        turn["content"][-2]["cache_control"] = CACHE_CONTROL


def _part(file: Attachment) -> dict[str, Any]:
    if file.kind == "text":
        source = {"type": "text", "media_type": "text/plain", "data": file.data}
        return {"type": "document", "title": file.name, "source": source}
    source = {"type": "base64", "media_type": file.media_type, "data": file.data}
    if file.kind == "pdf":
        return {"type": "document", "title": file.name, "source": source}
    return {"type": "image", "source": source}


class Decoder(decoder.Decoder):
    """Decodes the text, thinking and tool-input deltas of all content blocks."""

    api = MESSAGES

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._counts: dict[str, Any] = {}  # the usage so far

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = string(data, "type") or event
        if kind == "content_block_delta":
            return self._read_delta(data)
        if kind == "content_block_start":
            return self._read_block(number(data, "index"), data.get("content_block"))
        if kind == "message_start":
            message = data.get("message")
            self._read_usage(message)
            return [] if self.started else [self.start(message if isinstance(message, dict) else {})]
        if kind == "message_delta":
            self._read_usage(data)
            if word := string(data, "delta", "stop_reason"):
                self.end(word)
        elif kind == "message_stop":
            self.finish = self.finish or Finish("stop", "")
            self.over = True
        return []

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        if data.get("type") != "message":
            return []
        events: list[Event] = [self.start(data)]
        for index, block in enumerate(items(data, "content")):
            events += self._read_block(index, block)
        self._read_usage(data)
        self.end(string(data, "stop_reason"))
        return events

    def _read_delta(self, data: dict[str, Any]) -> list[Event]:
        delta = data.get("delta")
        if text := string(delta, "text"):
            return [Text(text)]
        if thinking := string(delta, "thinking"):
            return [Reasoning(thinking)]
        block = number(data, "index")
        if block in self.calls and (part := string(delta, "partial_json")):
            return self.calls.add(block, arguments=part)
        return []

    def _read_block(self, index: int, block: Any) -> list[Event]:
        if string(block, "type") == "tool_use":
            return self.calls.add(index, string(block, "id"), string(block, "name"), arguments(block.get("input")))
        return self._read_delta({"delta": block})  # text that begins the block

    def _read_usage(self, data: Any) -> None:
        """Updates the usage, which is cumulative and partial: a later record replaces the fields that it has."""
        usage = data.get("usage") if isinstance(data, dict) else None
        if not isinstance(usage, dict):
            return
        counts = self._counts
        counts.update({k: v for k, v in usage.items() if v is not None})
        cached, written = number(counts, "cache_read_input_tokens"), number(counts, "cache_creation_input_tokens")
        self.usage = Usage(
            number(counts, "input_tokens") + cached + written,
            number(counts, "output_tokens"),
            cached,
            number(counts, "output_tokens_details", "thinking_tokens"),
            written,
        )
