"""What a client asks, and who answers: the seam between the server and the generation behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

from ..core.events import Event
from ..core.request import Message, Tool


class ChatRequest(NamedTuple):
    """One request, checked. None and () leave the default; `prompt` is "" where the messages end with what is asked.

    `until` are stop conditions by name, None where there are none; `extra` are fields of the provider's own body.
    """

    prompt: str = ""
    system: str | None = None
    model: str | None = None
    messages: tuple[Message, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    until: dict[str, Any] | None = None
    tools: tuple[Tool, ...] = ()
    json: bool = False
    schema: dict[str, Any] | None = None
    effort: str | None = None
    extra: tuple[tuple[str, Any], ...] = ()


# Yields what arrived together; raises an `errors.Error` after it where the answer is not whole. Closing the generator,
# or cancelling who waits for it, ends the generation upstream at once.
Generate = Callable[[ChatRequest], AsyncGenerator[list[Event], None]]
