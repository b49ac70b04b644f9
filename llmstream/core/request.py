"""What is asked of a model, in nobody's dialect."""

from __future__ import annotations

from typing import Any, NamedTuple


class Request(NamedTuple):
    """One prompt and how to answer it. None and () leave the provider's own default."""

    model: str
    prompt: str
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra: tuple[tuple[str, Any], ...] = ()  # body fields that override all others

    def fill(self, wanted: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
        """A body of the wanted fields that are not None, and of `extra`.

        `fields` renames ours to a server's own; "" leaves one out.
        """
        body = {name: value for k, value in wanted.items() if value is not None and (name := fields.get(k, k))}
        return body | dict(self.extra)
