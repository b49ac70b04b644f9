"""The streams of agents' command lines, read only: the model's messages to the user and the last turn's outcome.

Sources: Claude Code's "Run Claude Code programmatically" (`claude -p --output-format stream-json`); the event types in
the sources of Codex (`codex exec --json`), Gemini CLI (`--output-format stream-json`) and opencode (`run --format
json`). The agent's tool calls are left out. Each message begins a new line.
"""

from __future__ import annotations

from typing import Any

from ..core import decoder
from ..core.decoder import Blocks, amount, items, member, number, string
from ..core.events import Event, Finish, Reasoning, Text, Usage
from ..errors import Unavailable
from . import messages


class _Agent(decoder.Decoder):
    reports_errors = False  # an agent recovers from errors; a fatal one is in the last event

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._messages = Blocks()

    def _say(self, text: str) -> list[Event]:
        return [Text(self._messages.add(text))] if text else []


class ClaudeCode(_Agent):
    """Decodes Claude Code: deltas, with its option --include-partial-messages, otherwise complete messages."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._delta_decoder: messages.Decoder | None = None  # reads the events of one message
        self._message = ""  # the id of the last complete message
        self._last_block = ""  # the last text block of that message

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        if data.get("parent_tool_use_id"):  # an event of a subagent
            return []
        kind = data.get("type")
        if kind == "system" and not self.started:
            return [self.start(data | {"id": data.get("session_id")})]
        if kind == "stream_event" and isinstance(data.get("event"), dict):
            return self._read_delta(data["event"])
        if kind == "assistant" and self._delta_decoder is None and isinstance(data.get("message"), dict):
            return self._read_message(data["message"])
        return self._read_result(data) if kind == "result" else []

    def _read_delta(self, data: dict[str, Any]) -> list[Event]:
        if self._delta_decoder is None or data.get("type") == "message_start":
            self._delta_decoder = messages.Decoder("", "")
            self._messages.begin()
        events: list[Event] = []
        for event in self._delta_decoder.feed("", data):
            if isinstance(event, Text):
                events += self._say(event.text)
            elif isinstance(event, Reasoning):
                events.append(event)
        return events

    def _read_message(self, message: dict[str, Any]) -> list[Event]:
        """Decodes a message, which may come in several events: block by block, or repeated with more text."""
        if string(message, "id") != self._message or not self._message:
            self._message, self._last_block = string(message, "id"), ""
            self._messages.begin()
        events: list[Event] = []
        for block in items(message, "content"):
            if text := string(block, "text"):
                events += self._say(text.removeprefix(self._last_block))
                self._last_block = text
            elif thinking := string(block, "thinking"):
                events.append(Reasoning(thinking))
        return events

    def _read_result(self, data: dict[str, Any]) -> list[Event]:
        usage = messages.Decoder("", "")
        usage.feed("", {**data, "type": "message_delta"})
        self.usage = usage.usage
        if self.usage:
            self.usage.cost_usd = amount(data, "total_cost_usd")
        self.over = True
        word, result = string(data, "subtype"), string(data, "result")
        if data.get("is_error") is True or word.startswith("error"):
            self.failure = Unavailable(f"the agent failed: {result or word}")
            return []
        self.finish = Finish("stop", word)
        return self._say(result) if self._messages.is_empty else []  # `result` repeats the last message


class Codex(_Agent):
    """Decodes Codex: each item complete, or as updates that repeat its text so far."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._partial: dict[str, str] = {}  # the text so far of incomplete items, by id
        self._error = ""

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind, item = string(data, "type"), data.get("item")
        if kind.startswith("item.") and isinstance(item, dict):
            return self._read_item(item, kind == "item.completed")
        if kind == "thread.started" and not self.started:
            return [self.start({"id": string(data, "thread_id")})]
        if kind == "turn.completed":
            names = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_output_tokens")
            self.usage = Usage(*(number(data, "usage", name) for name in names))
            self.finish = Finish("stop", kind)
            self.over = True
        elif kind == "error":
            self._error = string(data, "message")
        elif kind == "turn.failed":
            reason = string(data, "error", "message") or self._error or kind
            self.failure = Unavailable(f"the agent failed: {reason}")
        return []

    def _read_item(self, item: dict[str, Any], complete: bool) -> list[Event]:
        name, text, kind = string(item, "id"), string(item, "text"), string(item, "type")
        if kind not in ("agent_message", "reasoning"):
            return []
        before = self._partial.pop(name, "")
        if not complete:
            self._partial[name] = text
        new = text[len(before) :] if text.startswith(before) else text
        if kind == "reasoning":
            return [Reasoning(new)] if new else []
        if not before:
            self._messages.begin()
        return self._say(new)


class GeminiCli(_Agent):
    """Decodes Gemini CLI: deltas of messages, between which it uses tools."""

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind = data.get("type")
        if kind == "init" and not self.started:
            return [self.start(data | {"id": data.get("session_id")})]
        if kind == "message" and data.get("role") == "assistant":
            if data.get("delta") is not True:
                self._messages.begin()
            return self._say(string(data, "content"))
        if kind == "result":
            self._read_result(data)
        else:
            self._messages.begin()
        return []

    def _read_result(self, data: dict[str, Any]) -> None:
        stats = data.get("stats")
        if isinstance(stats, dict):
            read, total = number(stats, "input_tokens"), number(stats, "total_tokens")
            written = max(number(stats, "output_tokens"), total - read)  # the total has the thoughts, too
            self.usage = Usage(read, written, number(stats, "cached"))
        self.over = True
        word = string(data, "status")
        if word == "success":
            self.finish = Finish("stop", word)
        else:
            self.failure = Unavailable(f"the agent failed: {string(data, 'error', 'message') or word or 'no status'}")


class OpenCode(_Agent):
    """Decodes opencode: complete texts, in steps that each end with a reason; the last step's is the answer's."""

    api = "opencode"

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        kind, part = data.get("type"), data.get("part")
        events: list[Event] = [] if self.started else [self.start({"id": string(data, "sessionID")})]
        if kind == "text":
            self._messages.begin()
            events += self._say(string(part, "text"))
        elif kind == "reasoning" and string(part, "text"):
            events.append(Reasoning(string(part, "text")))
        elif kind == "step_start" and self.finish:
            self.finish, self.premature = None, True
        elif kind == "step_finish":
            self._add_usage(member(part, "tokens"))
            word = string(part, "reason")
            if word != "tool-calls":  # after which the next step follows
                self.end(word)
        elif kind == "done":
            self.over = self.finish is not None
        elif kind == "error":
            error = data.get("error")
            reason = string(error, "data", "message") or string(error, "name") or "it does not say why"
            self.failure = Unavailable(f"the agent failed: {reason}")
        return events

    def _add_usage(self, tokens: Any) -> None:
        cached, cache_write = number(tokens, "cache", "read"), number(tokens, "cache", "write")
        reasoning, total = number(tokens, "reasoning"), number(tokens, "total")
        read = number(tokens, "input") + cached + cache_write
        written = total - read if total else number(tokens, "output") + reasoning
        before = self.usage or Usage(0, 0)
        self.usage = Usage(
            before.input_tokens + read,
            before.output_tokens + written,
            before.cached_tokens + cached,
            before.reasoning_tokens + reasoning,
            before.cache_write_tokens + cache_write,
        )
