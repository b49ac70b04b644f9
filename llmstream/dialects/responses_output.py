"""Reads the output of a Responses answer: its items, their texts, calls and citations.

A text or a call's arguments may come up to five times: in deltas, in its own `.done`, in that of its content part, in
that of its item, and in the answer's `output` at the end. Servers leave out any of them. Each is compared with what was
passed on before, and only what is new is passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from ..core.decoder import Blocks, ToolCalls, arguments, items, number, string
from ..core.events import Event, Reasoning, ScoredText, Source, Text

REFUSAL = "response.refusal"
TEXTS = ("response.output_text", REFUSAL, "response.audio.transcript")
SUMMARY = "response.reasoning_summary_text"
THOUGHTS = "response.reasoning_text"
DELTAS = frozenset(f"{name}.delta" for name in (*TEXTS, SUMMARY, THOUGHTS))

# Items with a call that waits for the client: of a function, with JSON, or of a tool with a grammar of its own.
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
# Items with a call of another tool, by the tool's name and the field with the arguments. The server may run such a tool
# itself, in a container: then the answer has the call's output too, so these calls are passed on when the answer ends.
# Deltas of a shell's commands are not read, since `output_item.done` has the whole action, with the limits.
# Calls of web_search, file_search, code_interpreter, image_generation and MCP are always the server's.
OTHER_CALLS = {
    "local_shell_call": ("local_shell", "action"),
    "shell_call": ("shell", "action"),
    "apply_patch_call": ("apply_patch", "operation"),
    "computer_call": ("computer", "action"),
    "tool_search_call": ("tool_search", "arguments"),
    "mcp_approval_request": ("", "arguments"),  # the name is that of the tool to approve
}
XAI_TOOLS = frozenset(("x_keyword_search", "x_semantic_search", "x_user_search", "x_thread_fetch", "view_x_video"))


class _Item:
    """An output item so far. `parts` are its texts, by the field they are in at the end and the index there."""

    __slots__ = ("is_commentary", "parts", "type")

    def __init__(self, type: str) -> None:
        self.type = type  # "" for one that is not read
        self.is_commentary = False
        self.parts: dict[tuple[str, int], _Part] = {}


class _Part:
    """A text so far: how many characters were passed on, and the last of them.

    Texts of different blocks are set apart: a block is a message, or a part of the reasoning.
    """

    __slots__ = ("block", "is_thought", "last", "length")

    def __init__(self, is_thought: bool, block: object = None) -> None:
        self.is_thought = is_thought
        self.block = block or self
        self.length = 0
        self.last = ""


class Output:
    """The output items so far.

    Calls go to `calls`, names of what is not passed on to `dropped`. `refused` says whether the model refused, and
    `searches` has the completed searches in the web.
    """

    def __init__(self, calls: ToolCalls, dropped: list[str]) -> None:
        self.calls, self.dropped = calls, dropped
        self.refused = False
        self.searches: set[_Item] = set()
        self._items: dict[Hashable, _Item] = {}  # by ids and index; the last one without an index by (type,)
        self._order: list[_Item] = []
        self._place: tuple[Any, ...] = ()  # of the last delta
        self._part = _Part(False)  # there
        self._blocks = {False: Blocks(), True: Blocks()}  # of the answer, and of the reasoning
        self._block: dict[bool, object] = {False: None, True: None}  # the last ones
        self._open_call: _Item | None = None
        self._other_calls: dict[_Item, dict[str, Any]] = {}
        self._outputs: set[str] = set()  # ids of calls whose output is in the answer
        self._cited: set[tuple[str, str, int | None, int | None]] = set()
        self._results: dict[str, str] = {}  # of searches: the title of each URL

    def read(self, kind: str, data: dict[str, Any]) -> list[Event]:
        """Reads an event that is no delta of a text."""
        if reader := READERS.get(kind):
            return reader(self, kind, data)
        return self._read_perplexity(data) if kind.startswith("response.reasoning.") else []

    def close(self, response: dict[str, Any]) -> list[Event]:
        """Reads the answer at its end; returns what was not passed on before."""
        events = self._read_items(items(response, "output"))
        events += self._close_other_calls()
        self._add_results(items(response, "search_results"))
        citations = response.get("citations")  # URLs, of xAI and Perplexity
        self._add_results([{"url": url} for url in citations] if isinstance(citations, list) else [])
        return events

    def sources(self) -> list[Event]:
        """Returns the results of searches as sources, once, if there is a text without citations of its own."""
        if self._cited or self._blocks[False].is_empty:
            return []
        results, self._results = self._results, {}
        return [Source(url, title) for url, title in results.items()]

    # Texts.

    def read_delta(self, kind: str, data: dict[str, Any]) -> list[Event]:
        """Reads an event of DELTAS."""
        text = data.get("delta")
        if not text or not isinstance(text, str):
            return []
        place = (
            kind,
            data.get("item_id"),
            data.get("output_index"),
            data.get("content_index"),
            data.get("summary_index"),
        )
        if place != self._place:
            self._place, self._part = place, self._find_part(kind, data)
        return [self._write(self._part, text, data.get("logprobs"))]

    def repeat(self, text: str) -> None:
        """Records a text that came in another delta like the last one, which was of the answer's text."""
        self._part.length += len(text)
        self._part.last = text
        self._blocks[False].add(text)

    def _read_done(self, kind: str, data: dict[str, Any]) -> list[Event]:
        text = string(data, "refusal" if kind.startswith(REFUSAL) else "text")
        return self._complete(self._find_part(kind, data), text, data.get("logprobs")) if text else []

    def _find_part(self, kind: str, data: dict[str, Any]) -> _Part:
        field = "summary" if kind.startswith(SUMMARY) else "thoughts" if kind.startswith(THOUGHTS) else "content"
        item = self._find_or_begin("message" if field == "content" else "reasoning", data)
        return self._part_of(item, field, _index(kind, data), kind.startswith(REFUSAL))

    def _part_of(self, item: _Item, field: str, index: int, is_refusal: bool) -> _Part:
        part = item.parts.get((field, index))
        if part is None:
            is_thought = field != "content" or item.is_commentary
            part = _Part(is_thought, None if is_thought or is_refusal else item)
            item.parts[field, index] = part
        self.refused = self.refused or is_refusal
        return part

    def _write(self, part: _Part, text: str, logprobs: Any = None) -> Event:
        """Returns new text of a part as an event."""
        part.length += len(text)
        part.last = text
        is_thought = part.is_thought
        blocks = self._blocks[is_thought]
        if self._block[is_thought] is not part.block:
            self._block[is_thought] = part.block
            blocks.begin()
        text = blocks.add(text)
        if is_thought:
            return Reasoning(text)
        return ScoredText(text, logprobs) if logprobs and isinstance(logprobs, list) else Text(text)

    def _complete(self, part: _Part, text: str, logprobs: Any) -> list[Event]:
        """Passes on what a part's complete text has beyond the pieces so far, if it continues them."""
        length, last = part.length, part.last
        if len(text) <= length or not text.startswith(last, length - len(last)):
            return []
        return [self._write(part, text[length:], None if length else logprobs)]

    def _read_part_done(self, kind: str, data: dict[str, Any]) -> list[Event]:
        part = data.get("part")
        if not isinstance(part, dict):
            return []
        field = _field(part, "summary" if kind.startswith("response.reasoning_summary") else "content")
        item = self._find_or_begin("message" if field == "content" else "reasoning", data)
        return self._read_part(item, field, _index(kind, data), part)

    def _read_part(self, item: _Item, field: str, index: int, data: dict[str, Any]) -> list[Event]:
        """Reads a complete part of an item."""
        events: list[Event] = []
        refusal = string(data, "refusal")
        if text := string(data, "text") or refusal or string(data, "transcript"):
            events += self._complete(self._part_of(item, field, index, bool(refusal)), text, data.get("logprobs"))
        else:
            kind = string(data, "type")
            self.dropped += [what for word, what in (("image", "an image"), ("audio", "sound")) if word in kind]
        for annotation in items(data, "annotations"):
            events += self._cite(annotation)
        return events

    def _read_audio(self, kind: str, data: dict[str, Any]) -> list[Event]:
        if "sound" not in self.dropped:
            self.dropped.append("sound")
        return []

    def _read_perplexity(self, data: dict[str, Any]) -> list[Event]:
        """Reads a step of Perplexity's search: a thought and results."""
        self._add_results(items(data, "results"))
        thought = string(data, "thought")
        return [self._write(_Part(True), thought)] if thought else []

    # Items.

    def _find(self, data: dict[str, Any]) -> _Item | None:
        """Returns the item that an event belongs to.

        The id comes before the index: some bridges give all items the same index. llama.cpp sends no index, and the
        call's id as the item's; others change the ids.
        """
        item = self._items.get(string(data, "item_id"))
        index = data.get("output_index")
        return self._items.get(index) if item is None and isinstance(index, int) else item

    def _find_or_begin(self, type: str, data: dict[str, Any]) -> _Item:
        """Returns the item of an event, also where the server did not announce it."""
        item = self._find(data)
        if item is None and not isinstance(data.get("output_index"), int):
            item = self._items.get((type,))
        return item or self._begin({"type": type}, data)

    def _begin(self, data: dict[str, Any], event: dict[str, Any]) -> _Item:
        """Adds an item, by its own data as far as known and those of its event."""
        item = _Item(_type(data))
        self._order.append(item)
        self._place = ()
        ids = [string(data, "id"), string(event, "item_id"), string(data, "call_id") if item.type in CALLS else ""]
        keys: list[Hashable] = [id for id in ids if id]
        index = event.get("output_index")
        keys.append(index if isinstance(index, int) else (item.type,))
        for key in keys:
            self._items[key] = item
        return item

    def _known(self, data: dict[str, Any]) -> _Item | None:
        """Returns the item that an item's own data belong to. A call and its output have the same `call_id`."""
        item = self._items.get(string(data, "id")) or self._items.get(string(data, "call_id"))
        return item if item and item.type == _type(data) else None

    def _read_added(self, kind: str, data: dict[str, Any]) -> list[Event]:
        value = data.get("item")
        if not isinstance(value, dict):
            return []
        call = self._items.get(string(value, "call_id"))
        if call is not None and call.type == _type(value):  # a gateway repeats the event
            return self._read_item(call, value)
        item = self._begin(value, data)
        self._read_phase(item, value)
        if item.type not in CALLS:
            return []
        self._open_call = item
        return self._add_call(item, value, arguments(value.get(CALLS[item.type])))

    def _read_item_done(self, kind: str, data: dict[str, Any]) -> list[Event]:
        value = data.get("item")
        if not isinstance(value, dict):
            return []
        item = self._known(value) or self._find(data)
        if item is None or item.type != _type(value):
            item = self._items.pop((_type(value),), None) or self._begin(value, data)
        return self._read_item(item, value)

    def _read_phase(self, item: _Item, data: dict[str, Any]) -> None:
        if string(data, "phase") == "commentary":
            item.is_commentary = True
            self.dropped.append("commentary")

    def _read_item(self, item: _Item, data: dict[str, Any]) -> list[Event]:
        """Reads a complete item; what was read of it before is left out."""
        events: list[Event] = []
        kind = item.type
        if kind == "message":
            self._read_phase(item, data)
            content = data.get("content")
            parts = [{"text": content}] if isinstance(content, str) else items(data, "content")
            for index, part in enumerate(parts):
                events += self._read_part(item, _field(part, "content"), index, part)
        elif kind == "reasoning":
            events += self._read_reasoning(item, data)
        elif kind in CALLS:
            events += self._add_call(item, data)
            events += self.calls.complete(item, arguments(data.get(CALLS[kind])))
        elif kind in OTHER_CALLS:
            self._other_calls[item] = data
        elif kind == "web_search_call":
            if data.get("status") == "completed" and string(data, "action", "type") in ("search", ""):
                self.searches.add(item)
        elif kind == "image_generation_call" and data.get("result"):
            self.dropped.append("an image")
        elif kind == "search_results":  # Perplexity
            self._add_results(items(data, "results"))
        elif kind.endswith("_output"):
            self._outputs.add(string(data, "call_id") or string(data, "id"))
        return events

    def _read_reasoning(self, item: _Item, data: dict[str, Any]) -> list[Event]:
        """Reads a complete item of reasoning.

        Some servers have the same text in both fields: the one that was streamed counts, or else the summary.
        """
        fields = {"summary": items(data, "summary"), "thoughts": items(data, "content")}
        streamed = {field for field, _ in item.parts}
        events: list[Event] = []
        for field in sorted(streamed) or [next((field for field, parts in fields.items() if parts), "")]:
            for index, part in enumerate(fields.get(field, ())):
                events += self._read_part(item, field, index, part)
        return events

    def _read_items(self, output: list[dict[str, Any]]) -> list[Event]:
        """Reads the items of the whole answer.

        They are found by their ids. Where a server has others here, the first of a type is the first that was streamed.
        """
        matches = [self._known(data) for data in output]
        rest: dict[str, list[_Item]] = {}
        matched = set(matches)
        for item in reversed(self._order):
            if item not in matched:
                rest.setdefault(item.type, []).append(item)
        events: list[Event] = []
        for data, match in zip(output, matches, strict=True):
            same_type = rest.get(_type(data))
            item = match or (same_type.pop() if same_type else self._begin(data, {}))
            events += self._read_item(item, data)
        return events

    # Calls.

    def _add_call(self, item: _Item, data: dict[str, Any], text: str = "") -> list[Event]:
        id = string(data, "call_id") or string(data, "id")
        return self.calls.add(item, id, string(data, "name"), text, is_json=item.type == "function_call")

    def _find_call(self, data: dict[str, Any]) -> _Item | None:
        item = self._find(data) or self._open_call
        return item if item and item.type in CALLS else None

    def _read_arguments_delta(self, kind: str, data: dict[str, Any]) -> list[Event]:
        item = self._find_call(data)
        return self.calls.add(item, arguments=string(data, "delta")) if item else []

    def _read_arguments_done(self, kind: str, data: dict[str, Any]) -> list[Event]:
        item = self._find_call(data)
        if item is None:
            return []
        self._open_call = None
        return self.calls.complete(item, arguments(data.get(CALLS[item.type])))

    def _close_other_calls(self) -> list[Event]:
        events: list[Event] = []
        for item, data in self._other_calls.items():
            id = string(data, "call_id") or string(data, "id")
            if id in self._outputs:
                continue
            name, field = OTHER_CALLS[item.type]
            value = data.get(field)
            if value is None and data.get("actions"):  # of a computer_call
                value = {"actions": data["actions"]}
            events += self.calls.add(item, id, name or string(data, "name"), arguments(value))
        self._other_calls = {}
        return events

    # Sources.

    def _cite(self, annotation: dict[str, Any]) -> list[Event]:
        """Returns a citation, once. A file has a name and no URL; a mere path of a file is no source."""
        url, title = string(annotation, "url"), string(annotation, "title") or string(annotation, "filename")
        start, end = (annotation.get(name) for name in ("start_index", "end_index"))
        start = annotation.get("index") if start is None else start
        start, end = (value if isinstance(value, int) else None for value in (start, end))
        if start == end == 0:  # xAI, where it does not know the place
            start = end = None
        source = url, "" if title == url else title, start, end
        if not (url or title) or source in self._cited:
            return []
        self._cited.add(source)
        return [Source(*source)]

    def _read_annotation(self, kind: str, data: dict[str, Any]) -> list[Event]:
        annotation = data.get("annotation")
        return self._cite(annotation) if isinstance(annotation, dict) else []

    def _add_results(self, results: list[dict[str, Any]]) -> None:
        for result in results:
            if url := string(result, "url"):
                self._results.setdefault(url, string(result, "title"))


def _type(item: dict[str, Any]) -> str:
    """Returns the type of an item, "" for a call that the server runs itself."""
    kind = string(item, "type") or "message"
    is_servers = (
        (kind == "custom_tool_call" and string(item, "name") in XAI_TOOLS)
        or (kind == "tool_search_call" and item.get("execution") != "client")
        or (kind == "shell_call" and string(item, "environment", "type").startswith("container"))
    )
    return "" if is_servers else kind


def _field(part: dict[str, Any], field: str) -> str:
    """Returns the field of _Item.parts for a part from that field of its item."""
    return "thoughts" if part.get("type") == "reasoning_text" else field


def _index(kind: str, data: dict[str, Any]) -> int:
    return number(data, "summary_index" if kind.startswith("response.reasoning_summary") else "content_index")


READERS: dict[str, Callable[[Output, str, dict[str, Any]], list[Event]]] = {
    **{f"{name}.done": Output._read_done for name in (*TEXTS, SUMMARY, THOUGHTS)},
    "response.content_part.done": Output._read_part_done,
    "response.reasoning_summary_part.done": Output._read_part_done,
    "response.output_item.added": Output._read_added,
    "response.output_item.done": Output._read_item_done,
    "response.function_call_arguments.delta": Output._read_arguments_delta,
    "response.function_call_arguments.done": Output._read_arguments_done,
    "response.custom_tool_call_input.delta": Output._read_arguments_delta,
    "response.custom_tool_call_input.done": Output._read_arguments_done,
    "response.output_text.annotation.added": Output._read_annotation,
    "response.audio.delta": Output._read_audio,
}
