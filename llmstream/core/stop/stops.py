"""A generation's events, up to the first condition that its text meets."""

from __future__ import annotations

from collections.abc import Sequence

from ..events import Event, Finish, ScoredText, Text, Usage
from .condition import Condition
from .conditions import with_prefix
from .until import Until


class Stops:
    """Filters events. Once `met` is true the rest is not needed; `early` says that more might have come.

    Where the provider pauses the answer, the events of the next part follow.
    """

    def __init__(self, conditions: Sequence[Condition], mode: str) -> None:
        self._copy = Until(conditions, mode)
        self._logprobs: list[object] = []  # of the text that is held back, and maybe of what follows it
        self.early = False
        self._has_begun = False

    def begin(self, now: float) -> None:
        """Starts the clocks: the first request goes out."""
        if not self._has_begun:
            self._copy.begin(now)
        self._has_begun = True

    @property
    def met(self) -> bool:
        return self._copy.met

    @property
    def notes(self) -> list[str]:
        """Returns the notes of the conditions, with the options as a command that generates names them."""
        return [with_prefix(note, "until_") for note in self._copy.notes]

    def deadline(self) -> float | None:
        """Returns the time at which `feed` must be called, if with no events; None for never."""
        return self._copy.deadline()

    def feed(self, events: list[Event], now: float) -> list[Event]:
        """Returns the events that are now certain."""
        copy, out = self._copy, list[Event]()
        last = events[-1] if events else None
        pauses = isinstance(last, Finish) and last.reason == "paused"
        for event in events:
            if isinstance(event, Text):
                if isinstance(event, ScoredText):
                    self._logprobs += event.logprobs
                out += self._text(copy.feed(event.text.encode(), now))
                if copy.met:
                    break
                continue
            if isinstance(event, Usage | Finish):  # after which no text comes
                out += self._text(copy.pause()) if pauses else self.close()
            out.append(event)
        else:
            if copy.met:
                return out
            out += self._text(copy.expire(now))
        if copy.met:
            self.early = True
            out.append(Finish("until", ""))
        return out

    def close(self) -> list[Event]:
        """Returns the rest at the end of the answer, whole or cut."""
        return self._text(self._copy.close())

    def _text(self, data: bytes) -> list[Event]:
        """Decodes data; drops the part of a character that a limit in bytes has cut."""
        text = data.decode("utf-8", "ignore")
        if not text:
            return []
        if not self._logprobs:
            return [Text(text)]
        logprobs, self._logprobs = self._logprobs, []
        return [ScoredText(text, logprobs)]
