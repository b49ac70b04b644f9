"""OpenAI Responses, the dialect of api.openai.com.

Source: OpenAI API reference, "Responses: streaming events". Events repeat their name as `type` in the data; unknown
ones are ignored. There is no `[DONE]`: the end mark is `response.completed` or `response.incomplete`.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder, provider_errors
from ..core.decoder import items, member, number, string
from ..core.events import Event, Reasoning, Text, Usage
from ..core.request import Attachment, Request, text_part
from ..errors import Refused, option
from . import CHAT, RESPONSES, chat

PATH, MODELS_PATH, BASE_PATH = "/responses", "/models", ""
ATTACHMENT_KINDS: tuple[str, ...] = ("image", "pdf", "text")
MAX_ATTACHMENT_BYTES = 50_000_000
UNSUPPORTED = {
    "seed": f"use {option('api', CHAT)}",
    "stop": f"use {option('api', CHAT)}",
    "cache": "only the Messages API has it; OpenAI caches by itself",
}
headers = chat.headers

TEXT_PART = "input_text"  # the type of a part
TEXT = frozenset(("response.output_text.delta", "response.refusal.delta"))
REASONING = frozenset(("response.reasoning_summary_text.delta", "response.reasoning_text.delta"))
ENDS = frozenset(("response.completed", "response.incomplete"))


def body(request: Request, field_names: dict[str, str]) -> dict[str, Any]:
    """Returns the JSON body; `field_names` as in Request.fill."""
    request.refuse("the Responses API", UNSUPPORTED)
    plain = not (request.messages or request.attachments)
    fields: dict[str, Any] = {
        "model": request.model,
        "input": request.prompt if plain else request.turns(_part, TEXT_PART),
        "stream": True,
        "instructions": request.system,
        "max_output_tokens": request.max_tokens,
        "text": _format(request),
        "reasoning": {"effort": request.effort} if request.effort else None,
        "tools": [
            # This API is strict by default, and then refuses schemas that its strict mode does not support.
            {"type": "function", **tool.as_dict("parameters"), "strict": bool(tool.strict)}
            for tool in request.tools
        ]
        or None,
    }
    return request.fill(fields, field_names)


def _format(request: Request) -> dict[str, Any] | None:
    if request.schema is not None:
        return {"format": {"type": "json_schema", **chat.named_schema(request.schema)}}
    return {"format": {"type": "json_object"}} if request.json else None


def _part(file: Attachment) -> dict[str, Any]:
    if file.kind == "image":
        return {"type": "input_image", "detail": "auto", "image_url": file.data_url()}
    if file.kind == "pdf":
        return {"type": "input_file", "filename": file.name, "file_data": file.data_url()}
    return text_part(file.titled(), TEXT_PART)


class Decoder(decoder.Decoder):
    """Decodes the text, reasoning and function-call deltas of all output items."""

    api = RESPONSES

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._calls: dict[int | str, int] = {}  # a function call's output index and ids -> its key
        self._begun = 0  # calls
        self._refused = False

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = string(data, "type") or event
        sequence = data.get("sequence_number")
        if isinstance(sequence, int):
            if 0 < sequence <= self.position:  # a repeated event; bridges that do not number events send 0 or -1
                return []
            self.position = sequence
        if kind in TEXT:
            self._refused = self._refused or kind == "response.refusal.delta"
            return [Text(text)] if (text := string(data, "delta")) else []
        if kind in REASONING:
            return [Reasoning(text)] if (text := string(data, "delta")) else []
        if kind == "response.function_call_arguments.delta":
            return self.calls.add(self._key(data), arguments=string(data, "delta"))
        if kind == "response.output_item.added" and string(data, "item", "type") == "function_call":
            return self._begin(data["item"], data.get("output_index"))
        response = data.get("response")
        if kind.startswith("response.") and (isinstance(response, dict) or kind in ENDS):
            return self._read_response(kind, response if isinstance(response, dict) else {})
        return []

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        if data.get("object") != "response":
            return []
        events: list[Event] = [self.start(data)]
        for item in items(data, "output"):
            kind = item.get("type")
            if kind == "function_call":
                events += self._begin(item, None)
            for part in items(item, "summary") + items(item, "content"):
                refusal = string(part, "refusal")
                self._refused = self._refused or bool(refusal)
                if text := string(part, "text") or refusal:
                    events.append(Reasoning(text) if kind == "reasoning" else Text(text))
        self._read_response(f"response.{data.get('status')}", data)
        return events

    def _begin(self, item: dict[str, Any], output_index: object) -> list[Event]:
        """Returns the first piece of a function call."""
        call = self._begun
        self._begun += 1
        for key in (output_index, item.get("id"), item.get("call_id")):
            if isinstance(key, int | str):
                self._calls[key] = call
        return self.calls.add(call, string(item, "call_id"), string(item, "name"), string(item, "arguments"))

    def _key(self, data: dict[str, Any]) -> int:
        """Returns the key of the call that a piece belongs to. llama.cpp sends the item's id, but no output_index."""
        for key in (data.get("output_index"), data.get("item_id")):
            if isinstance(key, int | str) and key in self._calls:
                return self._calls[key]
        return max(self._begun - 1, 0)

    def _read_response(self, kind: str, response: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self.started else [self.start(response)]
        usage = response.get("usage")
        if isinstance(usage, dict):
            self.usage = Usage(
                number(usage, "input_tokens"),
                number(usage, "output_tokens"),
                number(usage, "input_tokens_details", "cached_tokens"),
                number(usage, "output_tokens_details", "reasoning_tokens"),
                number(usage, "input_tokens_details", "cache_write_tokens"),
            )
        if kind in ENDS:
            self._read_end(kind, response)
            self.over = True
        elif kind in ("response.failed", "response.cancelled"):
            error = provider_errors.in_event({"error": member(response, "error") or kind}, "")
            self.failure = error or Refused(kind)
        return events

    def _read_end(self, kind: str, response: dict[str, Any]) -> None:
        # Some servers send response.completed also for an answer that is incomplete.
        if kind == "response.incomplete" or response.get("status") == "incomplete":
            self.end(string(response, "incomplete_details", "reason") or "incomplete")
            return
        self.end("completed")
        if self.finish and self._refused:
            self.finish.reason = "refusal"
