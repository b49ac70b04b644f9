"""Renders events as bytes for stdout: the text alone, or NDJSON."""

from __future__ import annotations

from ..errors import Error
from .events import Event, Reasoning, Source, Text
from .json_codec import to_compact_json
from .text import encode


class TextRenderer:
    """Renders the text (or the reasoning), with a newline at its end if it has none."""

    def __init__(self, final_newline: bool = True, kind: type[Text | Reasoning] = Text) -> None:
        self._lacks_newline = False
        self._final_newline = final_newline
        self._kind = kind

    def feed(self, events: list[Event]) -> bytes:
        """Renders events."""
        kind = self._kind
        if len(events) == 1 and isinstance(event := events[0], kind):  # nearly always
            text = event.text
        else:
            text = "".join([event.text for event in events if isinstance(event, kind)])
        if text:
            self._lacks_newline = text[-1] != "\n"
        return text.encode() if text.isascii() else encode(text)

    def close(self) -> bytes:
        """Returns the newline that a complete answer lacks, if any."""
        lacks, self._lacks_newline = self._lacks_newline and self._final_newline, False
        return b"\n" if lacks else b""


class SourceList:
    """The sources that an answer cites, each once, in the order of their first citation."""

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}  # by address, or by title where there is none

    def feed(self, events: list[Event]) -> None:
        """Adds the sources among events."""
        for event in events:
            if isinstance(event, Source):
                name = event.url or event.title
                self._titles[name] = self._titles.get(name) or event.title

    def lines(self) -> list[str]:
        """Returns a numbered line for each source: title and address, as far as they are known."""
        return [
            f"[{number}] {f'{title} - ' if title and title != name else ''}{name}"
            for number, (name, title) in enumerate(self._titles.items(), 1)
        ]


class EventRenderer:
    """Renders a JSON object a line. With `started`, in seconds of `now`'s clock each has the time since as `t`."""

    def __init__(self, started: float | None) -> None:
        self._started = started

    def feed(self, events: list[Event], now: float) -> bytes:
        """Renders events that arrived at `now`."""
        return b"".join([self.line(event.as_dict(), now) for event in events])

    def line(self, data: dict[str, object], now: float) -> bytes:
        """Renders any record as a line."""
        if self._started is not None:
            data["t"] = round(now - self._started, 6)
        return encode(f"{to_compact_json(data)}\n")

    def error(self, error: Error, now: float) -> bytes:
        """Renders the error that ends an incomplete answer."""
        return self.line({"type": "error", "status": error.status, "message": str(error)}, now)
