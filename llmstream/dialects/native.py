"""The native items of an answer: reasoning that is signed or encrypted, and the results of the provider's own tools.

A provider wants them back with the next request, unchanged and in their order. In `messages` and `responses` the items
are the content blocks and the output items of the whole answer, and stand in the place of its text and calls. In `chat`
and `ollama` there is one item: fields of the assistant's message beside text and calls.

Sources: Anthropic documentation, "Extended thinking: preserving thinking blocks"; OpenAI API reference, "Reasoning:
encrypted reasoning items"; OpenRouter documentation, "Preserving reasoning"; DeepSeek documentation, "Thinking mode:
tool calls"; Gemini documentation, "Thought signatures: OpenAI compatibility".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core.decoder import items, member, number, string
from ..core.events import Event, Text, ToolCall
from ..core.json_codec import loads_or_none
from ..core.native import Collector
from ..core.request import Call
from . import CHAT, MESSAGES, OLLAMA, RESPONSES, dialect

Fields = dict[str, Any]
PLAIN_BLOCKS = ("text", "tool_use")
PLAIN_ITEMS = ("message", "function_call")
REASONING_FIELDS = ("reasoning_content", "reasoning")  # of chat servers
JOINED = ("text", "summary", "data")  # fields of reasoning_details that come in pieces


class Blocks(Collector):
    """Collects the content blocks of a Messages answer."""

    def __init__(self) -> None:
        self._blocks: list[tuple[Fields, dict[str, list[str]]]] = []  # with the pieces of their texts, by field
        self._open: dict[int, dict[str, list[str]]] = {}  # the pieces of the last block with this index
        self._citations: dict[int, list[Any]] = {}  # of that block
        self._container = ""

    def feed(self, event: str, data: Fields) -> None:
        kind, index = data.get("type") or event, number(data, "index")
        block, delta = data.get("content_block"), data.get("delta")
        self._container = (
            string(data, "delta", "container", "id") or string(data, "message", "container", "id") or self._container
        )
        if kind == "content_block_start" and isinstance(block, dict):
            self._begin(index, block)
        elif kind == "content_block_delta" and isinstance(delta, dict) and index in self._open:
            for name, piece in delta.items():
                if isinstance(piece, str) and name != "type":
                    self._open[index].setdefault(name, []).append(piece)
            if "citation" in delta:
                self._citations[index].append(delta["citation"])

    def feed_answer(self, data: Fields) -> None:
        self._container = string(data, "container", "id")
        for block in items(data, "content"):
            self._begin(0, block)

    def container(self) -> str:
        return self._container

    def _begin(self, index: int, block: Fields) -> None:
        cited = block.get("citations")
        block, pieces = dict(block), dict[str, list[str]]()
        if isinstance(cited, list) or block.get("type") == "text":
            block["citations"] = self._citations[index] = list(cited) if isinstance(cited, list) else []
        else:
            self._citations[index] = []
        self._blocks.append((block, pieces))
        self._open[index] = pieces

    def items(self) -> list[Fields]:
        blocks = [block for each in self._blocks if (block := _whole(*each)) is not None]
        return blocks if any(block.get("type") not in PLAIN_BLOCKS for block in blocks) else []


def _whole(block: Fields, pieces: dict[str, list[str]]) -> Fields | None:
    """Returns a block with its pieces joined; None for one that the API does not take back: without text, unsigned."""
    block = dict(block)
    for name, parts in pieces.items():
        text = "".join(parts)
        if name == "partial_json":
            block["input"] = loads_or_none(text.encode("utf-8", "replace")) or {}
        else:
            block[name] = string(block, name) + text
    if not block.get("citations"):
        block.pop("citations", None)
    kind = block.get("type")
    is_empty = (kind == "text" and not block.get("text")) or (kind == "thinking" and not block.get("signature"))
    return None if is_empty else block


class Items(Collector):
    """Collects the output items of a Responses answer, but reasoning that only the provider's own storage has."""

    def __init__(self) -> None:
        self._items: list[Fields] = []

    def feed(self, event: str, data: Fields) -> None:
        kind = data.get("type") or event
        if kind == "response.output_item.done" and isinstance(data.get("item"), dict):
            self._items.append(data["item"])
        elif kind in ("response.completed", "response.incomplete"):
            self.feed_answer(data.get("response") or {})

    def feed_answer(self, data: Fields) -> None:
        self._items = items(data, "output") or self._items

    def items(self) -> list[Fields]:
        output = [item for item in self._items if item.get("type") != "reasoning" or item.get("encrypted_content")]
        is_plain = all(item.get("type") in PLAIN_ITEMS and not item.get("phase") for item in output)
        return [] if is_plain else output


class ChatFields(Collector):
    """Collects fields of a chat answer's message: reasoning_details, reasoning before calls, extra_content."""

    def __init__(self) -> None:
        self._reasoning: dict[str, list[str]] = {}  # pieces, by field
        self._details: list[Fields] = []
        self._extra: Fields = {}  # of the message
        self._calls: dict[str, Any] = {}  # extra_content by a call's id
        self._has_calls = False

    def feed(self, event: str, data: Fields) -> None:
        for choice in items(data, "choices")[:1]:
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, dict):
                self._read(delta)

    def feed_answer(self, data: Fields) -> None:
        self.feed("", data)

    def _read(self, delta: Fields) -> None:
        for name in REASONING_FIELDS:
            if isinstance(delta.get(name), str):  # an empty one is wanted back, too
                self._reasoning.setdefault(name, []).append(delta[name])
        for detail in items(delta, "reasoning_details"):
            self._add_detail(detail)
        if member(delta, "extra_content", "google", "thought_signature"):
            self._extra = delta["extra_content"]
        for call in items(delta, "tool_calls"):
            self._has_calls = True
            if call.get("extra_content"):
                self._calls[string(call, "id")] = call["extra_content"]

    def _add_detail(self, detail: Fields) -> None:
        """Adds a detail, or a piece of the last one."""
        last = self._details[-1] if self._details else {}
        same = all(detail.get(name) == last.get(name) for name in ("type", "index"))
        if not same or (last.get("signature") and detail.get("text")):
            self._details.append(dict(detail))
            return
        for name, value in detail.items():
            if name in JOINED and isinstance(value, str):
                last[name] = string(last, name) + value
            elif value is not None:
                last[name] = value

    def items(self) -> list[Fields]:
        fields: Fields = {}
        if self._details:
            fields["reasoning_details"] = self._details
        elif self._has_calls:
            fields |= {name: "".join(pieces) for name, pieces in self._reasoning.items()}
        if self._extra:
            fields["extra_content"] = self._extra
        if self._calls:
            fields["tool_calls"] = [{"id": id, "extra_content": extra} for id, extra in self._calls.items()]
        return [fields] if fields else []


class OllamaFields(Collector):
    """Collects the thinking before calls."""

    def __init__(self) -> None:
        self._thinking: list[str] = []
        self._has_calls = False

    def feed(self, event: str, data: Fields) -> None:
        self._thinking.append(string(data, "message", "thinking"))
        self._has_calls = self._has_calls or bool(items(data, "message", "tool_calls"))

    def feed_answer(self, data: Fields) -> None:
        self.feed("", data)

    def items(self) -> list[Fields]:
        thinking = "".join(self._thinking)
        return [{"thinking": thinking}] if thinking and self._has_calls else []


COLLECTORS: dict[str, type[Collector]] = {
    CHAT: ChatFields,
    RESPONSES: Items,
    MESSAGES: Blocks,
    OLLAMA: OllamaFields,
}


def agree(api: str, native: list[Fields], text: str, calls: Iterable[Call]) -> bool:
    """Whether native items say what a message's text and calls say: a user may have edited the message."""
    if api in (CHAT, OLLAMA):  # whose items have neither
        return True
    decoder = dialect(api).Decoder("", "")
    whole = {"object": "response", "status": "completed", "output": native}
    if api == MESSAGES:
        whole = {"type": "message", "stop_reason": "end_turn", "content": native}
    events = decoder.feed_answer(whole)
    item_calls = [(event.id, event.name, _value(event.arguments)) for event in _calls(events)]
    item_text = "".join(event.text for event in events if isinstance(event, Text))
    return item_text == text and item_calls == [(id, name, _value(arguments)) for id, name, arguments in calls]


def _calls(events: list[Event]) -> list[ToolCall]:
    """Returns the calls of an answer that came whole."""
    calls: list[ToolCall] = []
    for event in events:
        if isinstance(event, ToolCall) and event.name:
            calls.append(ToolCall(event.index, event.id, event.name, event.arguments))
        elif isinstance(event, ToolCall):
            calls[-1].arguments += event.arguments
    return calls


def _value(text: str) -> Any:
    return loads_or_none(text.encode("utf-8", "replace")) if text else {}
