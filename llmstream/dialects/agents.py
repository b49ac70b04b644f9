"""The streams of agent command lines, read only: what the model says to its user, the last turn's outcome.

Sources: Claude Code's "Run Claude Code programmatically" (`claude -p --output-format stream-json`), and the event types
of `codex exec --json`. Tool calls are the agent's own business and left out. One message follows another in a new line.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import items, number, string
from ..core.events import Event, Finish, Reasoning, Text, Usage
from ..errors import Unavailable
from . import messages


class _Agent(decoder.Decoder):
    reports_errors = False  # agents recover from errors; the one that counts is in the last event

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._last = "\n"  # the last character of text

    def say(self, text: str, begins: bool) -> list[Event]:
        """Text of a message; `begins` if it is the message's first."""
        if not text:
            return []
        if begins and self._last != "\n":
            text = "\n" + text
        self._last = text[-1]
        return [Text(text)]


class ClaudeCode(_Agent):
    """With --include-partial-messages the deltas are taken, and else each message as it is complete."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._partial: messages.Decoder | None = None  # reads the events of one message
        self._message = ""  # the message that was last told whole
        self._told = ""  # the last text block of it
        self._begins = True
        self._said = False

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        if data.get("parent_tool_use_id"):  # of an agent that this one has called
            return []
        kind = data.get("type")
        if kind == "system" and not self.started:
            return [self.start({"model": string(data, "model"), "id": string(data, "session_id")})]
        if kind == "stream_event" and isinstance(data.get("event"), dict):
            return self._read_delta(data["event"])
        if kind == "assistant" and self._partial is None and isinstance(data.get("message"), dict):
            return self._read_message(data["message"])
        return self._read_result(data) if kind == "result" else []

    def _read_delta(self, data: dict[str, Any]) -> list[Event]:
        if self._partial is None or data.get("type") == "message_start":
            self._partial = messages.Decoder("", "")
            self._begins = True
        events: list[Event] = []
        for event in self._partial.feed("", data):
            if isinstance(event, Text):
                events += self._say(event.text)
            elif isinstance(event, Reasoning):
                events.append(event)
        return events

    def _read_message(self, message: dict[str, Any]) -> list[Event]:
        """A message may be told in several events, block by block, or again with more text than before."""
        if string(message, "id") != self._message or not self._message:
            self._message, self._told, self._begins = string(message, "id"), "", True
        events: list[Event] = []
        for block in items(message, "content"):
            if text := string(block, "text"):
                events += self._say(text.removeprefix(self._told))
                self._told = text
            elif thinking := string(block, "thinking"):
                events.append(Reasoning(thinking))
        return events

    def _read_result(self, data: dict[str, Any]) -> list[Event]:
        usage = messages.Decoder("", "")
        usage.feed("message_delta", data)
        self.usage = usage.usage
        self.over = True
        word, result = string(data, "subtype"), string(data, "result")
        if data.get("is_error") is True or word.startswith("error"):
            self.failure = Unavailable(f"the agent gave up: {result or word}")
            return []
        self.finish = Finish("stop", word)
        return [] if self._said else self._say(result)

    def _say(self, text: str) -> list[Event]:
        events = self.say(text, self._begins)
        if events:
            self._begins, self._said = False, True
        return events


class Codex(_Agent):
    """An agent's message comes whole, or as updates of what there is of it."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._told: dict[str, str] = {}  # the text of the items that are not complete
        self._error = ""

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind, item = string(data, "type"), data.get("item")
        if kind.startswith("item.") and isinstance(item, dict):
            return self._read_item(item, kind == "item.completed")
        if kind == "thread.started" and not self.started:
            return [self.start({"id": string(data, "thread_id")})]
        if kind == "turn.completed":
            self.usage = Usage(
                number(data, "usage", "input_tokens"),
                number(data, "usage", "output_tokens"),
                number(data, "usage", "cached_input_tokens"),
                number(data, "usage", "reasoning_output_tokens"),
            )
            self.finish = Finish("stop", kind)
            self.over = True
        elif kind == "error":
            self._error = string(data, "message")
        elif kind == "turn.failed":
            why = string(data, "error", "message") or self._error or kind
            self.failure = Unavailable(f"the agent gave up: {why}")
        return []

    def _read_item(self, item: dict[str, Any], complete: bool) -> list[Event]:
        name, text, kind = string(item, "id"), string(item, "text"), string(item, "type")
        if kind not in ("agent_message", "reasoning"):
            return []
        told = self._told.pop(name, "")
        if not complete:
            self._told[name] = text
        new = text[len(told) :] if text.startswith(told) else text
        if kind == "reasoning":
            return [Reasoning(new)] if new else []
        return self.say(new, begins=not told)
