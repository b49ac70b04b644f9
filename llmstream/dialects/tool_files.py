"""Files in the results of tools, for APIs whose tool messages have text only: the user's next message has the files.

Sources: OpenAI API reference, Chat Completions, on tool messages; Ollama, whose models see images of users only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core.request import Attachment, Call, Message

PLACE = "The result is a file, which is in the next message of the user."
BRIDGE = {"role": "assistant", "content": "I read the results."}


def after_results(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Returns a conversation in which the files of a turn's results stand in one message behind all of these."""
    turns: list[Message] = []
    held: list[tuple[Call, Attachment]] = []
    for message in messages:
        if held and not message.result_of:
            turns.append(_files_of(held))
            held = []
        if message.result_of and message.files:
            texts = [file.titled() for file in message.files if file.kind == "text"] + [message.content]
            held += [(message.result_of, file) for file in message.files if file.kind != "text"]
            turns.append(message._replace(content="\n\n".join(filter(None, texts)) or PLACE, files=()))
        else:
            turns.append(message)
    return (*turns, _files_of(held)) if held else tuple(turns)


def _files_of(results: list[tuple[Call, Attachment]]) -> Message:
    calls = ", ".join(f"{call.name} ({call.id})" for call, _ in results)
    files = tuple(file for _, file in results)
    text = f"These are the results of the calls {calls}, in this order."
    return Message("user", text if len(files) > 1 else f"This is the result of the call {calls}.", files=files)


def bridged(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns messages for servers that refuse a user's message right behind the result of a tool."""
    whole: list[dict[str, Any]] = []
    for turn in turns:
        if whole and whole[-1]["role"] == "tool" and turn["role"] == "user":
            whole.append(BRIDGE)
        whole.append(turn)
    return whole
