"""A client's request, and the function that answers it: the seam between the server and the generation behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..core.events import Event

HOP_HEADER = "llmstream-hop"  # of requests to providers: the names of the servers that they have come through


class Note(NamedTuple):
    """A sentence for the user about the answer, among its events."""

    text: str


class ChatRequest(NamedTuple):
    """A client's request with checked values.

    The option `messages` holds the conversation before the prompt, or all of it if `prompt` is ""; `options` has the
    request's options by name.
    """

    prompt: str = ""
    options: Mapping[str, Any] = {}
    is_large: bool = False  # its work takes more than a moment, so it goes to a thread
    hops: str = ""  # the servers of this kind that the request has come through


Item = Event | Note
# Yields lists of events that arrived together, and notes; raises an `errors.Error` after them if the answer is
# incomplete. Closing the generator, or cancelling the task that waits for it, closes the connection to the provider at
# once.
Generate = Callable[[ChatRequest], AsyncGenerator[Sequence[Item], None]]
