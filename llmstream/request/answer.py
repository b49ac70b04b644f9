"""The turns of an exchange: the question, and the answer that events make."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..core.events import Event, Text, ToolCall
from ..core.exchange import Exchange
from ..core.json_codec import loads_strict, to_json
from ..core.request import Call, Message, Request


def question(request: Request) -> list[Message]:
    """Returns the user's turn that a request adds to its conversation, if there is one."""
    if not (request.prompt or request.attachments):
        return []
    return [Message("user", request.prompt, files=request.attachments)]


def continued(request: Request, turns: Iterable[Message], container: str = "") -> Request:
    """Returns the request that goes on after more turns of the conversation; its question is the first of them.

    `container` is the id of that in which Anthropic's tools have worked, where there is one.
    """
    messages = (*request.messages, *question(request), *turns)
    if container:
        extra = dict(request.extra)
        before = extra.get("container")
        extra["container"] = {**before, "id": container} if isinstance(before, dict) else container
        request = request._replace(extra=tuple(extra.items()))
    return request._replace(prompt="", attachments=(), prefill=None, tool_choice=None, messages=messages)


class AnswerBuilder:
    """Collects the events of one answer."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: dict[int, list[str]] = {}  # by index: id, name, pieces of the arguments

    def feed(self, events: list[Event]) -> None:
        """Adds events."""
        for event in events:
            if isinstance(event, Text):
                self._text.append(event.text)
            elif isinstance(event, ToolCall):
                # A result names its call: a server that does not gets an id of ours.
                call = self._calls.setdefault(event.index, [event.id or f"call_{os.urandom(8).hex()}", event.name])
                call.append(event.arguments)

    def message(self, exchange: Exchange) -> Message:
        """Returns the whole answer as a turn."""
        calls = tuple(Call(id, name, _as_object("".join(pieces))) for id, name, *pieces in self._calls.values())
        return Message("assistant", "".join(self._text), calls, native=tuple(exchange.native_items()))

    def cut_message(self) -> Message | None:
        """Returns the text of an answer that is not whole as a turn; None where there is none."""
        text = "".join(self._text)
        return Message("assistant", text) if text else None


def _as_object(arguments: str) -> str:
    """Returns the arguments of a call as a JSON object: text, or JSON with an error in it, is its member `input`."""
    try:
        if isinstance(loads_strict(arguments or "{}"), dict):
            return arguments or "{}"
    except (ValueError, RecursionError):
        pass
    return to_json({"input": arguments})
