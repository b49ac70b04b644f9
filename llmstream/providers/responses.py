"""OpenAI Responses, the dialect of api.openai.com.

Source: OpenAI API reference, "Responses: streaming events". Events repeat their name as `type` in the data; unknown
ones are ignored. There is no `[DONE]`: the end mark is `response.completed` or `response.incomplete`.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder, faults
from ..core.decoder import items, member, number, string
from ..core.events import Event, Finish, Reasoning, Text, ToolCall, Usage
from ..core.request import Request
from ..errors import Refused, UsageError
from . import chat

PATH = "/responses"
headers = chat.headers  # the same key, the same way

INCOMPLETE = {"max_output_tokens": "length", "max_messages": "length", "content_filter": "content_filter"}
TEXT = frozenset(("response.output_text.delta", "response.refusal.delta"))
REASONING = frozenset(("response.reasoning_summary_text.delta", "response.reasoning_text.delta"))
ENDS = frozenset(("response.completed", "response.incomplete"))


def body(request: Request, fields: dict[str, str]) -> dict[str, Any]:
    """The request's JSON, with `fields` as in Request.fill."""
    if request.seed is not None or request.stop:
        raise UsageError("the Responses API has neither --seed nor --stop: add --api chat")
    wanted: dict[str, Any] = {
        "model": request.model,
        "input": request.prompt,
        "stream": True,
        "instructions": request.system,
        "max_output_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    return request.fill(wanted, fields)


class Decoder(decoder.Decoder):
    """Reads the text, reasoning and function-call deltas of all output items."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._calls: dict[int, int] = {}  # output index of a function call -> our index
        self._refused = False

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = string(data, "type") or event
        sequence = data.get("sequence_number")
        if isinstance(sequence, int):
            if sequence <= self.position:  # replayed
                return []
            self.position = sequence
        if kind in TEXT:
            self._refused = self._refused or kind == "response.refusal.delta"
            return [Text(text)] if (text := string(data, "delta")) else []
        if kind in REASONING:
            return [Reasoning(text)] if (text := string(data, "delta")) else []
        if kind == "response.function_call_arguments.delta":
            return [ToolCall(self._index(data), "", "", string(data, "delta"))]
        if kind == "response.output_item.added" and string(data, "item", "type") == "function_call":
            item = data["item"]
            call = ToolCall(self._index(data), string(item, "call_id"), string(item, "name"), string(item, "arguments"))
            return [call]
        if kind.startswith("response.") and isinstance(data.get("response"), dict):
            return self._read_response(kind, data["response"])
        return []

    def answer(self, data: dict[str, Any]) -> list[Event]:
        if data.get("object") != "response":
            return []
        events: list[Event] = [self.start(data)]
        for item in items(data, "output"):
            for part in items(item, "summary"):
                events.append(Reasoning(string(part, "text")))
            for part in items(item, "content"):
                self._refused = self._refused or "refusal" in part
                events.append(Text(string(part, "text") or string(part, "refusal")))
            if item.get("type") == "function_call":
                index = len(self._calls)
                self._calls[index] = index
                call = ToolCall(index, string(item, "call_id"), string(item, "name"), string(item, "arguments"))
                events.append(call)
        self._read_response(f"response.{data.get('status')}", data)
        return events

    def _index(self, data: dict[str, Any]) -> int:
        return self._calls.setdefault(number(data, "output_index"), len(self._calls))

    def _read_response(self, kind: str, response: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self.started else [self.start(response)]
        usage = response.get("usage")
        if isinstance(usage, dict):
            self.usage = Usage(
                number(usage, "input_tokens"),
                number(usage, "output_tokens"),
                number(usage, "input_tokens_details", "cached_tokens"),
                number(usage, "output_tokens_details", "reasoning_tokens"),
            )
        if kind in ENDS:
            self.finish = self._reason(kind, response)
            self.over = True
        elif kind in ("response.failed", "response.cancelled"):
            fault = faults.in_event({"error": member(response, "error") or kind}, "")
            self.failure = fault or Refused(kind)
        return events

    def _reason(self, kind: str, response: dict[str, Any]) -> Finish:
        if kind == "response.incomplete":
            word = string(response, "incomplete_details", "reason")
            return Finish(INCOMPLETE.get(word, "length"), word or "incomplete")
        if self._refused:
            return Finish("refusal", "completed")
        return Finish("tool_calls" if self._calls else "stop", "completed")
