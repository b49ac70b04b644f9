"""Lines on stderr about models that fail, which may be the same for thousands of requests."""

from __future__ import annotations

import time
from collections.abc import Callable

from .. import stdio
from .error_responses import NAME

INTERVAL_S = 60.0  # between two lines about the same model


class FallbackNotes:
    """Writes a line when a request goes on to another model, at most one in INTERVAL_S for each model that fails."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._next_at: dict[str, float] = {}  # by model

    def write(self, model: str, note: str) -> None:
        """Writes the sentence `note` about a model."""
        now = self._now()
        if now >= self._next_at.get(model, now):
            self._next_at[model] = now + INTERVAL_S
            stdio.note(NAME, note)
