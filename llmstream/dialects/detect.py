"""Detects the dialect of a raw stream by its first events.

To add a format: a decoder in a module here, and a row in SIGNS that no other format has, by several signs: a type that
many formats use, such as `message`, needs fields beside it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from ..core import provider_errors
from ..core.decoder import Decoder, string
from . import APIS

RECORDING = "recording"  # of `gen --record`: it has the streams of other dialects within


class Sign(NamedTuple):
    """What tells a dialect: any of the types, types' beginnings, `object`s or keys, and all of the needed keys.

    `only` is the only key of an event, whose value is a text or an object. For types see `type_of`. `decoder` is a
    class of the dialects, as MODULE.CLASS. `begin` has the types with which an answer begins; where it is empty, `id`
    alone tells two answers apart. `id` is the path of the answer's id; with `id_may_vary` some servers give each event
    one of its own. `whole` marks an answer that was not streamed, if it is a JSON text. Without `has_end_mark` an
    answer has only its finish reason.
    """

    decoder: str
    types: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    only: str = ""
    begin: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    id_may_vary: bool = False
    whole: bool = False
    has_end_mark: bool = True

    def matches(self, kind: str, data: dict[str, Any]) -> bool:
        """Whether the event is this sign; `kind` is its type."""
        for name in self.needs:
            if name not in data:
                return False
        if self.only and not (len(data) == 1 and isinstance(data.get(self.only), str | dict)):
            return False
        if not (self.types or self.prefixes or self.objects or self.keys):
            return True
        return (
            kind in self.types
            or kind.startswith(self.prefixes)
            or data.get("object") in self.objects
            or any(name in data for name in self.keys)
        )

    def make_decoder(self) -> Decoder:
        """Returns a decoder of one answer, whose provider is "" unless the stream names it; imports its module only."""
        module, _, name = self.decoder.partition(".")
        decoder: Decoder = getattr(import_module(f".{module}", __package__), name)("", "")
        return decoder

    def id_of(self, data: dict[str, Any]) -> str:
        """Returns the answer's id in an event, "" if there is none."""
        return string(data, *self.id) if self.id else ""


_CHAT = Sign("chat.Decoder", keys=("choices",), id=("id",), id_may_vary=True)
_RESPONSES = Sign("responses.Decoder", begin=("response.created",), id=("response", "id"))
_MESSAGES = Sign("messages.Decoder", begin=("message_start",), id=("message", "id"))
_EVENTS = Sign("events.Decoder", begin=("start",))
_CLAUDE = Sign("agents.ClaudeCode", begin=("system/init",), id=("session_id",))
_CODEX = Sign("agents.Codex", begin=("thread.started", "turn.started"), id=("thread_id",))
_GEMINI_CLI = Sign("agents.GeminiCli", begin=("init",), id=("session_id",))
_OPENCODE = Sign("agents.OpenCode", id=("sessionID",))
_INTERACTIONS = Sign(
    "interactions.Decoder", begin=("interaction.created", "interaction.start"), id=("interaction", "id")
)
_COHERE = Sign("cohere.Decoder", begin=("message-start",), id=("id",))
_GEMINI = Sign(
    "gemini.Decoder",
    keys=("candidates", "usageMetadata", "promptFeedback"),
    id=("responseId",),
    id_may_vary=True,
    has_end_mark=False,
)
_CONVERSE = Sign("converse.Decoder", begin=("messageStart",))

WHOLE_CHAT = _CHAT._replace(objects=("chat.completion", "text_completion"), keys=(), whole=True)

SIGNS = (  # the first that matches
    Sign(RECORDING, needs=("recording", "provider", "model", "api"), begin=("",)),
    WHOLE_CHAT,
    _CHAT._replace(objects=("chat.completion.chunk",)),
    _RESPONSES._replace(objects=("response",), whole=True),
    _RESPONSES._replace(prefixes=("response.",)),
    _MESSAGES._replace(types=("message_start",), needs=("message",)),
    _MESSAGES._replace(types=("message",), needs=("content", "stop_reason"), whole=True),
    _MESSAGES._replace(prefixes=("content_block_",), needs=("index",)),
    _EVENTS._replace(types=("start",), needs=("provider", "model")),
    _EVENTS._replace(types=("error",), needs=("status", "message")),
    _EVENTS._replace(types=("tool_result",), needs=("id", "name", "content")),
    Sign("events.Decoder", only="content"),
    Sign("events.Decoder", types=("reasoning",), only="reasoning"),
    Sign("events.Decoder", types=("note",), only="note"),
    Sign("events.Decoder", types=("finish",), needs=("reason", "provider_reason")),
    _GEMINI_CLI._replace(types=("init",), needs=("session_id", "timestamp")),
    _GEMINI_CLI._replace(types=("message",), needs=("role", "timestamp")),
    _GEMINI_CLI._replace(types=("result",), needs=("status", "timestamp")),
    _GEMINI_CLI._replace(types=("tool_use",), needs=("tool_name", "timestamp")),
    _GEMINI_CLI._replace(types=("error",), needs=("severity", "timestamp")),
    _OPENCODE._replace(
        types=("step_start", "text", "reasoning", "tool_use", "step_finish"), needs=("sessionID", "part")
    ),
    _OPENCODE._replace(types=("error",), needs=("sessionID", "error")),
    _CLAUDE._replace(prefixes=("system/",), types=("result",), needs=("subtype",)),
    _CLAUDE._replace(types=("assistant", "user"), needs=("message",)),
    _CLAUDE._replace(types=("stream_event",), needs=("event",)),
    _CODEX._replace(types=("thread.started",), needs=("thread_id",)),
    _CODEX._replace(types=("turn.started", "turn.completed", "turn.failed")),
    _CODEX._replace(prefixes=("item.",), needs=("item",)),
    _INTERACTIONS._replace(objects=("interaction",), whole=True),
    _INTERACTIONS._replace(prefixes=("interaction.",)),
    _INTERACTIONS._replace(types=("step.start", "step.delta", "content.start", "content.delta"), needs=("index",)),
    _COHERE._replace(types=("message-start", "content-start", "content-delta", "tool-plan-delta"), needs=("delta",)),
    _COHERE._replace(types=("tool-call-start", "message-end"), needs=("delta",)),
    _COHERE._replace(needs=("finish_reason", "message"), whole=True),
    _CONVERSE._replace(types=("messageStart",), needs=("role",)),
    _CONVERSE._replace(types=("contentBlockStart", "contentBlockDelta"), needs=("contentBlockIndex",)),
    _CONVERSE._replace(types=("messageStop",), needs=("stopReason",)),
    _CONVERSE._replace(only="messageStart"),  # as Amazon Nova's own API writes them
    _CONVERSE._replace(only="contentBlockStart"),
    _CONVERSE._replace(only="contentBlockDelta"),
    _CONVERSE._replace(needs=("output", "stopReason"), whole=True),
    _GEMINI,
    Sign("ollama.Decoder", needs=("done", "model"), id=("model",)),  # Ollama has no ids
)
FAILURE = _CHAT  # whose decoder reads a provider's error that stands alone


def type_of(name: str, data: dict[str, Any]) -> str:
    """Returns the type of an event: its `type` or `event_type`, or else its name, or else its only key.

    That of Claude Code's `system` has its subtype, as `system/init`. `name` is "" for an event without one.
    """
    kind = string(data, "type") or string(data, "event_type") or name or (next(iter(data)) if len(data) == 1 else "")
    return f"system/{string(data, 'subtype')}" if kind == "system" else kind


def recognise(name: str, data: Any) -> Sign | None:
    """Returns the sign that an event is; FAILURE for a provider's error of no certain dialect, None for any other."""
    if isinstance(data, dict):
        kind = type_of(name, data)
        for sign in SIGNS:
            if sign.matches(kind, data) and (sign.decoder != RECORDING or _is_recording(data)):
                return sign
    return FAILURE if provider_errors.in_event(data, name) else None


def _is_recording(data: dict[str, Any]) -> bool:
    return data["recording"] == 1 and data["api"] in APIS
