"""Events as bytes for stdout: the text alone, or NDJSON."""

from __future__ import annotations

from ..errors import Error
from .events import Event, Reasoning, Text
from .json_codec import to_compact_json
from .text import encode


class TextRenderer:
    """The text (or the reasoning) as it comes, ended by a newline if it has none."""

    def __init__(self, final_newline: bool = True, kind: type[Text | Reasoning] = Text) -> None:
        self._lacks_newline = False
        self._final_newline = final_newline
        self._kind = kind

    def feed(self, events: list[Event]) -> bytes:
        kind = self._kind
        text = "".join([event.text for event in events if isinstance(event, kind)])
        if text:
            self._lacks_newline = text[-1] != "\n"
        return encode(text)

    def close(self) -> bytes:
        """What a whole answer lacks at its end."""
        lacks, self._lacks_newline = self._lacks_newline and self._final_newline, False
        return b"\n" if lacks else b""


class EventRenderer:
    """One JSON object a line; `started` (seconds of the same clock as feed's `now`) adds the time since as `t`."""

    def __init__(self, started: float | None) -> None:
        self._started = started

    def feed(self, events: list[Event], now: float) -> bytes:
        return b"".join([self.line(event.as_dict(), now) for event in events])

    def line(self, data: dict[str, object], now: float) -> bytes:
        """Any record, a line like the events'."""
        if self._started is not None:
            data["t"] = round(now - self._started, 6)
        return encode(f"{to_compact_json(data)}\n")

    def error(self, error: Error, now: float) -> bytes:
        """The record that ends the events of an answer that is not whole."""
        return self.line({"type": "error", "status": error.status, "message": str(error)}, now)
