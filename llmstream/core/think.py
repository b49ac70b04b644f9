"""Reasoning that a model writes in tags at the beginning of its answer, `<think>...</think>`.

Servers that do not parse it pass it on as text: vLLM without a reasoning parser, Groq's reasoning format "raw",
Hugging Face. Google's compatible endpoint writes `<thought>`.
"""

from __future__ import annotations

from .events import Event, Reasoning, Text

TAGS = ("<think>", "<thought>")


class TaggedReasoning:
    """Splits an answer's texts, which may end within a tag, into reasoning and text.

    `over` says that no tag can follow: whatever comes is text. White space before the tag is dropped, and so are the
    newlines after its end.
    """

    def __init__(self) -> None:
        self.over = False
        self._held = ""  # may be a part of a tag, or white space that a tag follows
        self._end = ""  # the end tag, from the tag on
        self._ended = False

    @property
    def begun(self) -> bool:
        """Whether there was a tag."""
        return self._end != ""

    def feed(self, text: str) -> list[Event]:
        """Returns the events that text completes."""
        held, self._held = self._held + text, ""
        if not self._end:
            start = held.lstrip()
            tag = next((tag for tag in TAGS if start.startswith(tag)), "")
            if not tag:
                if any(tag.startswith(start) for tag in TAGS):
                    self._held = held
                    return []
                self.over = True
                return [Text(held)]
            self._end, held = f"</{tag[1:]}", start[len(tag) :]
        events: list[Event] = []
        if not self._ended:
            reasoning, self._ended, held = _split(held, self._end)
            if reasoning:
                events.append(Reasoning(reasoning))
            if not self._ended:
                self._held = held
        if self._ended and (held := held.lstrip("\r\n")):
            self.over = True
            events.append(Text(held))
        return events

    def close(self) -> list[Event]:
        """Returns what is held, where no more text follows."""
        held, self._held = self._held, ""
        if not self._end:
            self.over = True
        return [Reasoning(held) if self._end else Text(held)] if held else []


def _split(text: str, end: str) -> tuple[str, bool, str]:
    """Returns the text before `end`, whether it is there, and the rest: what follows it, or may be its beginning."""
    before, tag, after = text.partition(end)
    if tag:
        return before, True, after
    size = next((size for size in range(len(end) - 1, 0, -1) if text.endswith(end[:size])), 0)
    return text[: len(text) - size], False, text[len(text) - size :]
