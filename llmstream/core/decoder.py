"""Base class of dialect decoders (frames in, events out), and readers of JSON whose shape is not certain."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

from ..errors import UNLIMITED, Error, Incomplete, Unavailable
from . import endings, sse
from .events import Event, Finish, Start, ToolCall, Usage
from .json_codec import loads_or_none, to_json

MAX_AMOUNT = 1e18  # of a currency's smallest parts; float cannot hold every integer
MAX_CHECKED_SIZE = 16 * 1024 * 1024  # characters of a tool call's arguments: longer ones are passed on unchecked
JSON_STRING = r'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+("?)'  # its end is a group; never looks back


class Decoder:
    """Decodes the frames of one answer.

    A decoder sets these attributes, which an Exchange reads after each frame:

    - `finish` and `usage`: the last ones seen. The Exchange reports them at the end, because servers differ in their
      order, and some repeat them in every chunk. A `finish` means that the answer is complete.
    - `over`: no more events follow.
    - `failure`: the error with which the provider ended the answer.
    - `position`: the number of the last event, in dialects that number them, otherwise -1.
    - `calls`: the tool calls so far.
    - `dropped`: what the answer has beside text and calls that is not passed on: "an image", for example.
    - `fallback`: the model that answered after the first one declined, "" for none.
    - `repeats`: whether another frame like the last one, but for its text, would give that text alone. If `position` is
      positive, the frame is the one with the next number. Such a frame goes to `on_repeat`, not to `feed`.
    - `premature`: text followed a finish, so this server's finish reasons do not announce the end.

    `reports_errors` is False in a dialect whose frames may look like an error without being one. `api` is the dialect
    whose finish words it reads, a key of endings.ENDINGS. `content_types` are those of a response that is a stream.
    """

    reports_errors = True
    api = "chat"
    content_types: tuple[str, ...] = ("text/event-stream",)

    def __init__(self, provider: str, model: str) -> None:
        self.provider, self.model = provider, model
        self.started = False
        self.calls = ToolCalls()
        self.dropped: list[str] = []
        self.fallback = ""
        self.over = False
        self.position = -1
        self.premature = self.repeats = False
        self._id = ""  # of the answer, in dialects that begin it once
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.failure: Error | None = None

    def parser(self) -> sse.Frames:
        """Returns a new parser, which splits a stream of this dialect into frames."""
        return sse.Parser()

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        """Decodes one frame: its SSE event type ("" if unnamed) and its data."""
        raise NotImplementedError

    def on_repeat(self, text: str) -> None:
        """Records a frame that repeats the last one with this text, as far as it changes what a later one means."""

    def feed_answer(self, data: dict[str, Any]) -> list[Event]:
        """Decodes an answer that was not streamed, and sets `finish` if it is complete.

        Returns no event, or only Start, if data is not an answer.
        """
        raise NotImplementedError

    def feed_done(self) -> list[Event]:
        """Decodes the frame `[DONE]`: the end mark of chat, which some proxies add to other dialects."""
        self.over = self.finish is not None
        return []

    def close(self) -> list[Event]:
        """Returns the events held back so far; called once, when the answer ends or is cut."""
        return []

    def end(self, word: str, explanation: str = "") -> None:
        """Sets `finish`, or `failure`, by the provider's finish word; `explanation` is its sentence for the user."""
        reason = endings.reason_of(self.api, word)
        if reason == endings.ERROR:
            message = endings.FAILURES.get(word.lower(), endings.FAILURE)
            self.failure = Unavailable(f"{message}: {explanation}" if explanation else message)
            return
        if reason == "stop" and len(self.calls):  # some servers have one word for both
            reason = "tool_calls"
        self.finish = Finish(reason, word, explanation)

    def begins_another(self, id: str) -> bool:
        """Whether a beginning of the answer, which some proxies repeat, is that of another one, by its id.

        That is a failure: a gateway lost the first generation, and began another one in the same body.
        """
        if id and self._id and id != self._id:
            what = f"another answer ({id}) begins before the first one ({self._id}) is complete"
            self.failure = Incomplete(f"{what}: the first one breaks off there", max_retries=UNLIMITED)
            return True
        self._id = self._id or id
        return False

    def start(self, data: dict[str, Any]) -> Start:
        """Returns the Start event, with the `model` and `id` of data."""
        self.started = True
        return Start(self.provider, string(data, "model") or self.model, string(data, "id"))


class ToolCalls:
    """The tool calls of one answer: joins what is known of each, and passes its pieces on once it has a name.

    The decoder chooses a key for each call. `len` is the number of calls that were passed on.
    """

    def __init__(self) -> None:
        self._calls: dict[Hashable, _Call] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: Hashable) -> bool:
        return key in self._calls

    def add(
        self, key: Hashable, id: str = "", name: str = "", arguments: str = "", *, is_json: bool = True
    ) -> list[Event]:
        """Adds a piece to a call, which may be a new one; returns the pieces to pass on.

        The first has the id and the name, whatever the server repeats. `is_json` is False for a call whose arguments
        are plain text.
        """
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = _Call(is_json)
        if arguments:
            call.size += len(arguments)
            if call.size <= MAX_CHECKED_SIZE:
                call.pieces.append(arguments)
        if call.index >= 0:
            return [ToolCall(call.index, "", "", arguments)] if arguments else []
        call.id, call.name = call.id or id, call.name or name
        if not call.name:
            return []
        call.index = self._count
        self._count += 1
        return [ToolCall(call.index, call.id, call.name, "".join(call.pieces))]

    def complete(self, key: Hashable, arguments: str) -> list[Event]:
        """Adds what a call's complete arguments have beyond the pieces so far."""
        call = self._calls.get(key)
        if call and len(arguments) <= call.size:  # also where the pieces were too many to be kept
            return []
        before = "".join(call.pieces) if call else ""
        return self.add(key, arguments=arguments[len(before) :]) if arguments.startswith(before) else []

    def close(self) -> list[Event]:
        """Returns the last pieces of a complete answer: `{}` for each call without arguments."""
        empty = [key for key, call in self._calls.items() if call.index >= 0 and call.is_json and not call.size]
        return [event for key in empty for event in self.add(key, arguments="{}")]

    @property
    def break_off(self) -> bool:
        """Whether the arguments of a call end within their JSON."""
        calls = [call for call in self._calls.values() if call.is_json and call.size <= MAX_CHECKED_SIZE]
        return any(_breaks_off("".join(call.pieces)) for call in calls)

    @property
    def lack_name(self) -> bool:
        """Whether a call was not passed on, because its name never came."""
        return any(call.size and call.index < 0 for call in self._calls.values())


class _Call:
    """The state of one tool call; its index is -1 until it is passed on."""

    def __init__(self, is_json: bool) -> None:
        self.is_json = is_json
        self.index = -1
        self.id = self.name = ""
        self.pieces: list[str] = []
        self.size = 0  # characters of arguments


def _breaks_off(text: str) -> bool:
    """Whether a text is the beginning of a JSON document, and not all of it."""
    if loads_or_none(text.encode("utf-8", "replace")) is not None:
        return False
    strings = re.finditer(JSON_STRING, text)
    if any(not string[1] for string in strings):
        return True
    rest = re.sub(JSON_STRING, "", text)
    return sum(map(rest.count, "{[")) > sum(map(rest.count, "}]"))


class Blocks:
    """Sets the texts of different blocks of an answer apart by a newline, unless there is one."""

    def __init__(self) -> None:
        self._last = ""  # the last text
        self._begins = False  # the next text begins a block

    @property
    def is_empty(self) -> bool:
        """Whether there was no text yet."""
        return not self._last

    def begin(self) -> None:
        """Begins another block."""
        self._begins = True

    def add(self, text: str) -> str:
        """Returns a text of the block, which is not "", with the newline that it needs before it."""
        if self._begins:
            self._begins = False
            if self._last and self._last[-1] != "\n" and text[0] != "\n":
                text = "\n" + text
        self._last = text
        return text


# Providers and proxies may send any JSON: these functions follow a path of names and never fail.


def member(data: Any, *path: str) -> Any:
    """Returns the value at the path, or None."""
    for name in path:
        if not isinstance(data, dict):
            return None
        data = data.get(name)
    return data


def string(data: Any, *path: str) -> str:
    """Returns the string at the path, or ""."""
    value = member(data, *path)
    return value if isinstance(value, str) else ""


def number(data: Any, *path: str) -> int:
    """Returns the integer at the path, or 0."""
    value = member(data, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def amount(data: Any, *path: str) -> float | None:
    """Returns the number at the path, which is one of money; None without one, or for an absurd one."""
    value = member(data, *path)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < MAX_AMOUNT else None


def items(data: Any, *path: str) -> list[dict[str, Any]]:
    """Returns the objects in the array at the path."""
    value = member(data, *path)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def arguments(value: Any) -> str:
    """Returns a tool call's arguments, which some servers send as a value, not as its JSON text; "" for none."""
    return value if isinstance(value, str) else as_json(value) if value else ""


def as_json(value: Any) -> str:
    """Returns the value as JSON text, or "" if it is nested too deeply for Python's encoder."""
    try:
        return to_json(value)
    except RecursionError:
        return ""
