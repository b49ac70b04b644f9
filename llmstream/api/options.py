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
    Times are in seconds, and 0 is no limit. The configuration's defaults for a model hold here, too.

    `api_key` goes to the provider's address, or to `base_url`, which gets no other key: neither that of the
    environment nor that of the configuration.

    `on_text` is called with each piece of text (str), `on_finish` with the last event (Finish), `note` with a sentence
    (str) before each retry: by the thread or task that reads, before it gets the event. An exception that they raise
    closes the stream and reaches the reader.
    """

    # begin: options
    api: str | None
    system: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    options: Mapping[str, Any] | None
    json: bool | None
    schema: Mapping[str, Any] | str | None
    schema_multi: Mapping[str, Any] | str | None
    attach: str | Sequence[str] | None
    messages: Sequence[Mapping[str, Any]] | str | None
    prefill: str | None
    effort: str | None
    tools: Sequence[Mapping[str, Any]] | str | None
    cache: bool | None
    retries: int | None
    max_retry_wait: float | None
    connect_timeout: float | None
    first_token_timeout: float | None
    stall_timeout: float | None
    timeout: float | None
    until: UntilOptions | Mapping[str, object] | None
    api_key: str | None
    base_url: str | None
    on_text: Callable[[str], object] | None
    on_finish: Callable[[Finish], object] | None
    note: Callable[[str], object] | None
    # end: options
