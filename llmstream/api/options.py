"""The keyword arguments of `stream` and `astream`, typed for editors.

The block between the markers is written from the table of options by `python -m tests.support.generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from ..core.events import Finish
from ..core.stop.conditions import UntilOptions


class Options(TypedDict, total=False):
    """Options of a request by name, as `llmstream gen` has them; None is the same as leaving one out.

    `options` are fields of the request's body; `until` are stop conditions by name, as in `{"code_block": True}`.
    `messages`, `tools` and `schema` are values, or names of files, as with gen: never take such names from others.
    Times are in seconds; a time-out of 0 is no limit. The configuration's defaults for a model hold here, too.

    `api_key` goes to the provider's address, or to `base_url`, which gets no other key: neither that of the
    environment nor that of the configuration.

    `on_text` is called with each piece of text (str), `on_finish` with the last event (Finish), `note` with a sentence
    (str) before each retry: by the thread or task that reads, before it gets the event. An exception that they raise
    closes the stream and reaches the reader.

    `schema` may be a class, too: a pydantic model, a dataclass or a TypedDict.
    """

    # begin: options
    api: str | None  # The protocol: chat, responses, messages, ollama.
    base_url: str | None  # Send the request to the API at URL.
    system: str | None  # The system prompt, or the file that holds it.
    max_tokens: int | None  # Limit the answer to N tokens.
    temperature: float | None  # Sampling temperature.
    top_p: float | None  # Sample from the most likely tokens, X in total.
    seed: int | None  # Sampling seed.
    stop: str | Sequence[str] | None  # Have the provider stop before TEXT.
    options: Mapping[str, Any] | None  # Set a field of the request's body.
    json: bool | None  # Require a JSON object as the answer.
    schema: Mapping[str, Any] | str | type[Any] | None  # Require JSON matching SCHEMA: 'name, age int'.
    schema_multi: Mapping[str, Any] | str | type[Any] | None  # Require {"items": [...]}, each matching SCHEMA.
    check: bool | None  # Validate the JSON; ask again if it is wrong.
    attach: str | Sequence[str] | None  # Attach image, PDF, text or sound.
    messages: Sequence[Mapping[str, Any]] | str | None  # Put a conversation in JSON before the prompt.
    prefill: str | None  # Make the answer begin with TEXT.
    effort: str | None  # Reasoning effort: none, minimal, low, medium, high, xhigh or max.
    reasoning: bool | None  # Send the model's reasoning as well, in events of its own.
    tools: Sequence[Mapping[str, Any]] | str | None  # Offer the model the tools in FILE; use events.
    max_turns: int | None  # Ask at most N times (10).
    tool_choice: str | None  # Whether a tool has to be called: auto, none, required, or a name.
    cache: bool | None  # Cache the prompt's beginning at the provider.
    cache_ttl: str | None  # Cache as cache does, for 5m or 1h (5m).
    within: str | None  # Have OpenAI answer within 2h or 8h, for less.
    retries: int | None  # Retry a failed request at most N times (4).
    fallback_on: str | None  # When to ask the next -m: unavailable, refusal.
    max_retry_wait: float | str | None  # Longest wait before a retry (1m).
    connect_timeout: float | str | None  # Give up connecting after TIME (10s).
    first_token_timeout: float | str | None  # Limit on silence before the first output (10m).
    stall_timeout: float | str | None  # Limit on silence within the answer (5m).
    timeout: float | str | None  # Limit on the time of the whole answer (none).
    resume_cut: bool | None  # Resume a cut answer, where the provider can.
    until: UntilOptions | Mapping[str, object] | None  # End the answer at a stop condition.
    api_key: str | None  # The key that is sent.
    on_text: Callable[[str], object] | None  # Called with each piece of text.
    on_finish: Callable[[Finish], object] | None  # Called with the last event.
    note: Callable[[str], object] | None  # Called with a sentence on a retry or a faulty answer.
    # end: options
