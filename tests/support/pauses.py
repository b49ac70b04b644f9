"""Answers that Anthropic pauses while its own tools work, on loopback."""

from __future__ import annotations

from .loopback import frame, head, messages

SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rivers"}}
TOOLS = [{"type": "web_search_20260209", "name": "web_search"}]
QUESTION = {"role": "user", "content": "Go"}


def event(kind: str, **data: object) -> bytes:
    return frame({"type": kind, **data}, kind)


def paused(text: str, container: str = "") -> list[bytes]:
    """Makes an answer of a text and a search, after which the provider pauses."""
    usage = {"input_tokens": 3, "output_tokens": 1}
    delta = {"stop_reason": "pause_turn", **({"container": {"id": container}} if container else {})}
    return [
        head(),
        event("message_start", message={"id": "m", "model": "m", "usage": usage}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
        event("content_block_start", index=1, content_block=SEARCH),
        event("message_delta", delta=delta, usage={"output_tokens": 2}),
        event("message_stop"),
    ]


def turn(text: str) -> dict:
    """Makes the turn of the paused answer."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}, SEARCH]}


END = [head(), *messages("the Rhine.")]
