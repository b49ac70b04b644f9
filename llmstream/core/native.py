"""The base of what collects the native items of an answer: what its provider wants back with the next request."""

from __future__ import annotations

from typing import Any


class Collector:
    """Reads the frames of one answer, as its Decoder does, and collects its native items. This one collects none."""

    def feed(self, event: str, data: dict[str, Any]) -> None:
        """Reads one frame: its SSE event type ("" if unnamed) and its data."""

    def feed_answer(self, data: dict[str, Any]) -> None:
        """Reads an answer that was not streamed."""

    def items(self) -> list[dict[str, Any]]:
        """Returns the items of a complete answer; none where its text and its calls say all."""
        return []

    def container(self) -> str:
        """Returns the id of the container in which the provider's tools have worked, "" without one."""
        return ""
