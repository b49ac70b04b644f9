"""What answers the requests: the library's streams, in the server's own loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ..api.astream import AsyncStream
from ..api.base import ask
from ..config.file import Config
from ..core.events import Event
from .request import ChatRequest, Generate

SAME = ("system", "model", "max_tokens", "temperature", "seed", "stop", "until", "schema", "effort")


def generation(configured: Config, network: Mapping[str, Any], jobs: int) -> Generate:
    """Asks models, `jobs` at once, with the server's configuration and network options (retries, time-outs)."""

    async def generate(asked: ChatRequest) -> AsyncGenerator[list[Event], None]:
        options: dict[str, Any] = {name: getattr(asked, name) for name in SAME}
        options |= {
            **network,
            "json": asked.json,
            "messages": [message._asdict() for message in asked.messages],
            "tools": [tool._asdict() for tool in asked.tools],
            "options": dict(asked.extra),
        }
        async with AsyncStream(ask(asked.prompt, options, configured), jobs) as answer:
            async for batch in answer.batches():
                yield batch

    return generate
