"""Marks the ends of what later requests repeat, in the bodies of OpenAI's APIs.

Models from GPT-5.6 on match their cache only at marks: their own is at the end of the prompt, which changes.
Source: OpenAI documentation, "Prompt caching", and the types of OpenAI's SDK.
"""

from __future__ import annotations

from typing import Any

from ..core.request import Request, text_part
from . import CHAT, responses

MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
ROLES = ("system", "user", "tool")  # of messages that may have marks: what the model wrote has none


def mark(api: str, body: dict[str, Any], request: Request) -> None:
    """Marks the ends of the first message, of the conversation before the prompt, and of the attachments.

    A mark covers all before it. The tools come before the system prompt; three marks are allowed beside the model's
    own. The instructions become the first message, since marks stand in the contents of messages.
    """
    name, text_type = ("messages", "text") if api == CHAT else ("input", responses.TEXT_PART)
    turns = body[name] if isinstance(body[name], list) else [{"role": "user", "content": body[name]}]
    if "instructions" in body:
        turns.insert(0, {"role": "system", "content": body.pop("instructions")})
    body[name] = turns
    before = [turn for turn in turns[:-1] if _content(turn)]
    for turn in [*before[:1], *before[-1:]]:
        key = _content(turn)
        parts = turn[key] if isinstance(turn[key], list) else [text_part(turn[key], text_type)]
        turn[key] = [*parts[:-1], parts[-1] | MARK]
    if count := len(request.attachments):
        turns[-1]["content"][count - 1] |= MARK


def _content(turn: dict[str, Any]) -> str:
    """Returns the name of the field that has the content of a turn, "" where it may have no mark."""
    name = "output" if turn.get("type") == "function_call_output" else "content" if turn.get("role") in ROLES else ""
    return name if name and turn.get(name) else ""
