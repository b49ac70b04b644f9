"""Providers and event loops for the tests of the Python API."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

import pytest

from .loopback import Provider

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop] | None] = {"asyncio": None}
with contextlib.suppress(ImportError):
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop
DRIVERS = ("thread", *LOOPS)


def remove_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes all keys and the configuration from the environment."""
    for name in os.environ:
        if name.endswith(("_API_KEY", "_BASE_URL")) or name.startswith("LLMSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.devnull)


def at(provider: Provider, **options: Any) -> dict[str, Any]:
    return {"model": "openai/m", "api": "chat", "base_url": f"{provider.url}/v1", "api_key": "sk-test-key", **options}


def run(driver: str, main: Any) -> Any:
    """Runs a coroutine to its end."""
    with asyncio.Runner(loop_factory=LOOPS[driver]) as runner:
        return runner.run(main)
