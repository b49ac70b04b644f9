"""Ollama's native API: `/api/chat`, whose answers are lines of JSON; those of `/api/generate` are read, too.

Source: Ollama's "API" document and `api/types.go`. The line with `"done": true` is the end mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core import decoder, lines
from ..core.decoder import arguments, items, member, number, string
from ..core.events import Event, Reasoning, ScoredText, Text, Usage
from ..core.json_codec import loads_strict
from ..core.request import Attachment, Message, Request, text_part
from ..errors import UsageError, option

PATH, MODELS_PATH, BASE_PATH = "/api/chat", "/api/tags", "/v1"
ATTACHMENT_KINDS: tuple[str, ...] = ("image", "text")
MAX_ATTACHMENT_BYTES = 50_000_000  # Ollama has no limit: that of the chat dialect
UNSUPPORTED = {
    "cache": "leave it out: Ollama caches by itself",
    "cache_ttl": "only the Messages API has it",
    "within": "only OpenAI's Responses API has it",
    "tool_choice": "its models choose a tool by themselves",
}
EFFORTS = ("none", "low", "medium", "high", "max")
# Options and Runner in api/types.go, then those of older versions. Ollama ignores the ones that it does not know.
OPTION_NAMES = (
    "num_keep", "seed", "num_predict", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n", "temperature",
    "repeat_penalty", "presence_penalty", "frequency_penalty", "stop", "num_ctx", "num_batch", "num_gpu", "main_gpu",
    "use_mmap", "num_thread", "draft_num_predict", "tfs_z", "mirostat", "mirostat_tau", "mirostat_eta",
    "penalize_newline", "numa", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock", "embedding_only",
)  # fmt: skip
FIELD_OBJECTS = dict.fromkeys(OPTION_NAMES, "options")
CONTENT_TYPES = ("application/x-ndjson", "application/ndjson")  # the second is that of some proxies


def headers(key: str, body: Mapping[str, Any]) -> list[str]:
    """Returns the HTTP header lines that carry the key."""
    return [f"Authorization: Bearer {key}"] if key else []


def body(request: Request, field_names: dict[str, str]) -> dict[str, Any]:
    """Returns the JSON body; `field_names` as in Request.fill.

    `truncate` and `shift` are false, so that a prompt that does not fit is an error, not cut without a word.
    """
    request.refuse("Ollama", UNSUPPORTED)
    if any(message.result_of and message.files for message in request.messages):
        from .tool_files import after_results

        request = request._replace(messages=after_results(request.messages))
    messages = [_plain(turn) for turn in request.turns(_part, _tool_turns)]
    if request.system is not None:
        messages.insert(0, {"role": "system", "content": request.system})
    options = {
        "num_predict": request.max_tokens,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        **request.same_names,
    }
    fields: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "stream": True,
        "truncate": False,
        "shift": False,
        "format": _format(request),
        "think": _think(request),
        "options": {name: value for name, value in options.items() if value is not None} or None,
        "tools": [_tool(tool.as_dict("parameters")) for tool in request.tools] or None,
    }
    return request._replace(same_names={}).fill(fields, field_names)


def _tool_turns(message: Message) -> list[dict[str, Any]]:
    if call := message.result_of:
        return [{"role": "tool", "tool_name": call.name, "content": message.content}]
    calls = [{"function": {"name": call.name, "arguments": loads_strict(call.arguments)}} for call in message.calls]
    turn = {"role": "assistant", "content": message.content, "tool_calls": calls}
    return [turn | {name: value for fields in message.native for name, value in fields.items()}]


def _format(request: Request) -> dict[str, Any] | str | None:
    if request.schema is not None:
        from ..core import schema as schemas

        closed: dict[str, Any] = schemas.close_objects(request.schema)
        return closed
    return "json" if request.json else None


def _think(request: Request) -> bool | str | None:
    """Returns the field `think`; without it models that can think do so, and send it."""
    effort = request.effort
    if effort is None:
        return None
    if effort not in EFFORTS:
        raise UsageError(f"Ollama has no {option('effort', effort)}: use one of {', '.join(EFFORTS)}")
    return False if effort == "none" else effort


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    function.pop("strict", None)  # which Ollama does not have
    return {"type": "function", "function": function}


def _part(file: Attachment) -> dict[str, Any]:
    return {"type": "image", "data": file.data} if file.kind == "image" else text_part(file.titled())


def _plain(turn: dict[str, Any]) -> dict[str, Any]:
    """Returns a message whose content is one text, with the images beside it."""
    parts = turn["content"]
    if isinstance(parts, str):
        return turn
    texts = [part["text"] for part in parts if part["type"] == "text"]
    images = [part["data"] for part in parts if part["type"] == "image"]
    plain = turn | {"content": "\n\n".join(texts)}
    return plain | {"images": images} if images else plain


class Decoder(decoder.Decoder):
    """Decodes the lines of both endpoints."""

    api = "ollama"
    content_types = CONTENT_TYPES

    def parser(self) -> lines.Parser:
        return lines.Parser()

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self.started else [self.start(data)]
        if thinking := string(data, "message", "thinking") or string(data, "thinking"):
            events.append(Reasoning(thinking))
        if text := string(data, "message", "content") or string(data, "response"):
            scores = data.get("logprobs")
            events.append(ScoredText(text, scores) if isinstance(scores, list) else Text(text))
        for call in items(data, "message", "tool_calls"):
            function = call.get("function")
            name, text = string(function, "name"), arguments(member(function, "arguments"))
            events += self.calls.add(object(), string(call, "id"), name, text)
        if data.get("done") is True:
            self.usage = Usage(number(data, "prompt_eval_count"), number(data, "eval_count"))
            self.end(string(data, "done_reason") or "stop")
            self.over = True
        return events

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        return self.feed("", data) if "done" in data else []
