"""A client's request, and the function that answers it: the seam between the server and the generation behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, NamedTuple

from ..core.events import Event


class ChatRequest(NamedTuple):
    """One request, checked. `prompt` is "" where the messages end with the question; `options` are by name.

    The option `until` is there only with a condition.
    """

    prompt: str = ""
    options: Mapping[str, Any] = {}


# Yields the events that arrived together; raises an `errors.Error` after them where the answer is not whole. Closing
# the generator, or cancelling the task that waits for it, ends the generation upstream at once.
Generate = Callable[[ChatRequest], AsyncGenerator[list[Event], None]]
