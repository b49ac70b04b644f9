"""Fixtures of several tests of commands."""

from __future__ import annotations

import pytest


@pytest.fixture
def waits(monkeypatch):
    """Lets `map --batch` wait no time; returns the list of its waits in seconds."""
    waits: list[float] = []
    monkeypatch.setattr("llmstream.net.fetch.Fetcher.sleep", lambda fetcher, seconds: waits.append(seconds))
    return waits
