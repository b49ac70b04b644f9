"""An Ollama on loopback: it answers as Ollama's server does, with words in place of a model's tokens.

Source: Ollama's server/routes.go and api/types.go, for the errors, their statuses, and what a field means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .loopback import NDJSON, Provider, Request, Step, frame, head, reply

MODELS = {"gemma3:1b": False, "qwen3:4b": True}  # whether a model thinks
CONTEXT_TOKENS = 4096
THOUGHTS, WORDS = ["Three", " rivers", "?"], ["Ain", ", Doubs", " and", " Saône", "."]
LEVELS = ("high", "medium", "low", "max")


def server() -> Provider:
    """Returns the server, for a `with` block."""
    return Provider(answer)


def answer(request: Request) -> Iterable[Step]:
    method, path, _ = request.line.split()
    if (method, path) == ("GET", "/api/tags"):
        return _json({"models": [{"name": name, "model": name, "size": 815319791} for name in MODELS]})
    if (method, path) == ("GET", "/v1/models"):
        return _json({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})
    if (method, path) == ("POST", "/v1/chat/completions"):
        chunks = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in WORDS]
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        return [head(), *map(frame, [*chunks, end, "[DONE]"])]
    if (method, path) == ("POST", "/api/chat"):
        return _chat(request.json)
    return reply("404 Not Found", b"404 page not found", "text/plain")


def _chat(body: dict[str, Any]) -> Iterable[Step]:
    model, think, options = body["model"], body.get("think"), body.get("options") or {}
    if model not in MODELS:
        return _error(404, f"model '{model}' not found")
    if isinstance(think, str) and think not in LEVELS:
        words = ", ".join(f'"{level}"' for level in LEVELS)
        return _error(400, f'invalid think value: "{think}" (must be {words}, true, or false)')
    if think and not MODELS[model]:
        return _error(400, f'"{model}" does not support thinking')
    if body.get("tools") and not MODELS[model]:
        return _error(400, f"registry.ollama.ai/library/{model} does not support tools")
    messages = body["messages"]
    if not messages:
        return _stream(model, [], "unload" if body.get("keep_alive") == 0 else "load", 0)
    size = sum(len(message["content"].split()) for message in messages)
    limit = options.get("num_ctx", CONTEXT_TOKENS)
    if size > limit:
        if body.get("truncate") is False:
            return _error(400, "the input length exceeds the context length")
        size = limit
    thoughts = THOUGHTS if MODELS[model] and think is not False else []
    words = ['{"rivers":3}'] if body.get("format") else WORDS
    if messages[-1]["role"] == "assistant":  # which is continued
        words = words[1:]
    parts = [{"content": "", "thinking": thought} for thought in thoughts]
    if body.get("tools"):
        function = {"name": body["tools"][0]["function"]["name"], "arguments": {"river": "Ain"}}
        parts.append({"content": "", "tool_calls": [{"function": function}]})
    else:
        parts += [{"content": word} for word in words]
    most = options.get("num_predict", len(parts))
    if body.get("shift") is False:  # otherwise the oldest tokens make room
        most = min(most, limit - size)
    reason = "length" if len(parts) > most else "stop"
    return (_stream if body.get("stream", True) else _whole)(model, parts[:most], reason, size)


def _line(model: str, message: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"model": model, "created_at": "2026-11-20T08:15:00.5Z", "message": {"role": "assistant", **message}, **more}


def _stream(model: str, parts: list[dict[str, Any]], reason: str, size: int) -> Iterable[Step]:
    counts = {"prompt_eval_count": size, "eval_count": len(parts)} if size else {}
    lines = [_line(model, part, done=False) for part in parts]
    lines.append(_line(model, {"content": ""}, done=True, done_reason=reason, **counts))
    return [head("200 OK", f"{NDJSON}; charset=utf-8"), *(json.dumps(line).encode() + b"\n" for line in lines)]


def _whole(model: str, parts: list[dict[str, Any]], reason: str, size: int) -> Iterable[Step]:
    message: dict[str, Any] = {name: "".join(part.get(name, "") for part in parts) for name in ("content", "thinking")}
    calls = [call for part in parts for call in part.get("tool_calls", ())]
    message |= {"tool_calls": calls} if calls else {}
    counts = {"prompt_eval_count": size, "eval_count": len(parts)}
    return _json(_line(model, message, done=True, done_reason=reason, **counts))


def _json(data: object, status: str = "200 OK") -> Iterable[Step]:
    return reply(status, json.dumps(data).encode(), "application/json; charset=utf-8")


def _error(status: int, message: str) -> Iterable[Step]:
    return _json({"error": message}, f"{status} {'Not Found' if status == 404 else 'Bad Request'}")
