"""The dialects, a module each: what a request's body looks like, and what a stream's frames mean."""

from __future__ import annotations

import importlib
from types import ModuleType

CHAT, RESPONSES, MESSAGES = APIS = ("chat", "responses", "messages")


def dialect(api: str) -> ModuleType:
    """The module of a dialect: PATH, headers(), body(), Decoder."""
    return importlib.import_module(f".{api}", __name__)
