"""What an answer has put out so far."""

from __future__ import annotations

from .events import Event, Reasoning, Source, Start, Text, ToolCall
from .surrogates import REPLACEMENT, Joiner, scrub
from .timing import Timing


class Tally:
    """Counts the events of an answer, and joins the halves of characters that were split between them.

    `has_output`: there was output, which reasoning is if the answer `shows_reasoning`. `characters` are those of the
    text. `model` is the provider's name of the model that answers, "" before it is known.
    """

    def __init__(self, timing: Timing, shows_reasoning: bool) -> None:
        self._timing, self._shows_reasoning = timing, shows_reasoning
        self._joiner = Joiner()
        self.has_output = False
        self.characters = 0
        self.model = ""

    @property
    def holds_half(self) -> bool:
        """Whether the last text ended with half a character."""
        return bool(self._joiner.halves)

    def add(self, events: list[Event], now: float) -> list[Event]:
        """Adds events that arrived at `now`; returns them, with whole characters."""
        joiner = self._joiner
        for event in events:
            if isinstance(event, Text):
                if joiner.halves or not event.text.isascii():
                    event.text = joiner.feed(Text, event.text)
                self.characters += len(event.text)
            elif isinstance(event, Reasoning):
                event.text = joiner.feed(Reasoning, event.text)
            elif isinstance(event, ToolCall):
                event.arguments = joiner.feed(event.index, event.arguments)
                event.id, event.name = scrub(event.id), scrub(event.name)
            elif isinstance(event, Start):
                event.provider, event.model, event.id = scrub(event.provider), scrub(event.model), scrub(event.id)
                self.model = event.model
                continue
            elif isinstance(event, Source):
                event.url, event.title = scrub(event.url), scrub(event.title)
                continue
            if not self.has_output:
                self.has_output = self._shows_reasoning or not isinstance(event, Reasoning)
            self._timing.mark(now)
        return events

    def close(self) -> list[Event]:
        """Returns a replacement for each half character at a text's end."""
        events: list[Event] = []
        for key in self._joiner.close():
            if isinstance(key, int):
                events.append(ToolCall(key, "", "", REPLACEMENT))
            else:
                events.append(Text(REPLACEMENT) if key is Text else Reasoning(REPLACEMENT))
        return events
