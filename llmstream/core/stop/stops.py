"""The events of a generation up to the first condition that its text meets."""

from __future__ import annotations

from collections.abc import Sequence

from ..events import Event, Finish, Text, Usage
from .condition import Condition
from .until import Until


class Stops:
    """Events in, events out. After `met` is true nothing more is wanted; `early` says that more might have come."""

    def __init__(self, conditions: Sequence[Condition], mode: str) -> None:
        self._copy = Until(conditions, mode)
        self.early = False

    def begin(self, now: float) -> None:
        """The request goes out."""
        self._copy.begin(now)

    @property
    def met(self) -> bool:
        return self._copy.met

    @property
    def notes(self) -> list[str]:
        return self._copy.notes

    def deadline(self) -> float | None:
        """When `feed` wants to be called, if with no events."""
        return self._copy.deadline()

    def feed(self, events: list[Event], now: float) -> list[Event]:
        """What is now certain."""
        copy, out = self._copy, list[Event]()
        for event in events:
            if isinstance(event, Text):
                out += _text(copy.feed(event.text.encode(), now))
                if copy.met:
                    break
                continue
            if isinstance(event, Usage | Finish):  # after which no text comes
                out += self.close()
            out.append(event)
        else:
            if copy.met:
                return out
            out += _text(copy.expire(now))
        if copy.met:
            self.early = True
            out.append(Finish("cancelled", ""))
        return out

    def close(self) -> list[Event]:
        """What is left at the end of the answer, whole or cut."""
        return _text(self._copy.close())


def _text(data: bytes) -> list[Event]:
    """Of a character that a number of bytes has cut, nothing is left."""
    text = data.decode("utf-8", "ignore")
    return [Text(text)] if text else []
