"""OpenAI Responses, the dialect of api.openai.com, xAI and Perplexity.

Source: OpenAI API reference, "Responses: streaming events", and the types of OpenAI's SDK. Events repeat their name as
`type` in the data; unknown ones are ignored. There is no `[DONE]`: the end mark is `response.completed` or
`response.incomplete`.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder, provider_errors
from ..core.decoder import member, number, string
from ..core.events import Event, Usage
from ..core.request import TOOL_CHOICES, Attachment, Message, Request, text_part
from ..errors import option
from . import CHAT, RESPONSES
from .openai import bearer, named_schema, stated_cost
from .responses_output import DELTAS, Output

PATH, MODELS_PATH, BASE_PATH = "/responses", "/models", ""
FIELD_OBJECTS = {"verbosity": "text"}
ATTACHMENT_KINDS: tuple[str, ...] = ("image", "pdf", "text")
MAX_ATTACHMENT_BYTES = 50_000_000
UNSUPPORTED = {
    "seed": f"use {option('api', CHAT)}",
    "stop": f"use {option('api', CHAT)}",
    "cache": "of its servers OpenAI and Azure have it, and others cache by themselves",
    "cache_ttl": "only the Messages API has it",
    "within": "of its servers only OpenAI has it",
}
headers = bearer

TEXT_PART = "input_text"  # the type of a part
SILENT = ("message", "reasoning")  # items; reasoning needs another one behind it
ENDS = {f"response.{status}": status for status in ("completed", "incomplete", "failed", "cancelled")}


def body(request: Request, field_names: dict[str, str]) -> dict[str, Any]:
    """Returns the JSON body; `field_names` as in Request.fill."""
    request.refuse("the Responses API", UNSUPPORTED)
    plain = not (request.messages or request.attachments)
    fields: dict[str, Any] = {
        "model": request.model,
        "input": request.prompt if plain else request.turns(_part, _tool_turns, TEXT_PART, SILENT),
        "stream": True,
        "include": ["reasoning.encrypted_content"] if request.native else None,
        "store": False,  # nothing asks for the answer again, except a background response, which sets it
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
    if request.tool_choice:
        fields["tool_choice"] = _choice(request.tool_choice)
    return request.fill(fields, field_names)


def _tool_turns(message: Message) -> list[dict[str, Any]]:
    if call := message.result_of:
        output: Any = message.content
        if message.files:
            output = [*map(_part, message.files), *([text_part(output, TEXT_PART)] if output else [])]
        return [{"type": "function_call_output", "call_id": call.id, "output": output}]
    if message.native:
        return list(message.native)
    turns: list[dict[str, Any]] = [{"role": "assistant", "content": message.content}] if message.content else []
    for call in message.calls:
        turns.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments})
    return turns


def _choice(choice: str) -> str | dict[str, Any]:
    return choice if choice in TOOL_CHOICES else {"type": "function", "name": choice}


def _format(request: Request) -> dict[str, Any] | None:
    if request.schema is not None:
        return {"format": {"type": "json_schema", **named_schema(request.schema)}}
    return {"format": {"type": "json_object"}} if request.json else None


def _part(file: Attachment) -> dict[str, Any]:
    if file.kind == "image":
        return {"type": "input_image", "detail": "auto", "image_url": file.data_url()}
    if file.kind == "pdf":
        return {"type": "input_file", "filename": file.name, "file_data": file.data_url()}
    return text_part(file.titled(), TEXT_PART)


class Decoder(decoder.Decoder):
    """Decodes the events of all output items, and the answer's end."""

    api = RESPONSES

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._output = Output(self.calls, self.dropped)

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = data.get("type")
        if not kind or not isinstance(kind, str):
            kind = event
        sequence = data.get("sequence_number")
        if isinstance(sequence, int):
            if 0 < sequence <= self.position:  # a repeated event; bridges that do not number events send 0 or -1
                return []
            self.position = sequence
        self.repeats = kind in DELTAS and self.position in (-1, sequence)
        if kind in DELTAS:
            return self._output.read_delta(kind, data)
        response = data.get("response")
        if kind in ENDS or (isinstance(response, dict) and kind.startswith("response.")):
            return self._read_response(kind, response if isinstance(response, dict) else {})
        return self._output.read(kind, data)

    def on_repeat(self, text: str) -> None:
        if self.position > 0:
            self.position += 1
        self._output.repeat(text)

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        if data.get("object") != "response":
            return []
        return [self.start(data), *self._end(string(data, "status") or "completed", data)]

    def close(self) -> list[Event]:
        return self._output.sources()

    def _read_response(self, kind: str, response: dict[str, Any]) -> list[Event]:
        if kind == "response.created" and self.begins_another(string(response, "id")):
            return []
        events: list[Event] = [] if self.started else [self.start(response)]
        status = ENDS.get(kind, "")
        if status == "completed" and f"response.{response.get('status')}" in ENDS:
            status = response["status"]  # some servers send response.completed also for an answer that is incomplete
        return events + self._end(status, response) if status else events

    def _end(self, status: str, response: dict[str, Any]) -> list[Event]:
        """Reads the whole answer, which ends with this status."""
        self._read_usage(response)
        self.over = True
        if status == "failed":
            self.failure = provider_errors.in_event({"error": response.get("error")}, "")
            if self.failure is None:
                self.end("failed")
            return []
        events = self._output.close(response)
        if self.usage:
            self.usage.searches = _searches(response, len(self._output.searches))
        reason = string(response, "incomplete_details", "reason") if status == "incomplete" else ""
        self.end(reason or status)
        if self.finish and self._output.refused and self.finish.reason in ("stop", "tool_calls"):
            self.finish.reason = "refusal"
        return events

    def _read_usage(self, response: dict[str, Any]) -> None:
        usage = response.get("usage")
        if not isinstance(usage, dict):
            return
        details, output_tokens = member(usage, "input_tokens_details"), number(usage, "output_tokens")
        reasoning = number(usage, "output_tokens_details", "reasoning_tokens")
        if reasoning and number(usage, "total_tokens") == number(usage, "input_tokens") + output_tokens + reasoning:
            output_tokens += reasoning  # xAI's older models count reasoning beside the output
        self.usage = Usage(
            number(usage, "input_tokens"),
            output_tokens,
            # The second names are Perplexity's.
            number(details, "cached_tokens") or number(details, "cache_read_input_tokens"),
            reasoning,
            number(details, "cache_write_tokens") or number(details, "cache_creation_input_tokens"),
            number(details, "cache_write_tokens_details", "ttl_12h_tokens"),  # the other kind stays for 30 minutes
            tier=string(response, "service_tier"),
            cost_usd=stated_cost(usage),
        )


def _searches(response: dict[str, Any], count: int) -> int:
    """Returns how many searches the provider bills, where OpenAI, xAI or Perplexity say it, otherwise the `count`."""
    usage = response.get("usage")
    xai = member(usage, "server_side_tool_usage_details")
    if isinstance(xai, dict):
        return number(xai, "web_search_calls") + number(xai, "x_search_calls")
    for value in (
        member(response, "tool_usage", "web_search", "num_requests"),
        member(usage, "tool_calls_details", "search_web", "invocation"),
    ):
        if isinstance(value, int):
            return value
    return count
