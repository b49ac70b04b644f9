"""The dialects: how an API writes a request, and what the frames of its streams mean. One module each.

To add a dialect that requests are sent in:

1. write a module here that follows `Dialect`; chat.py is the model;
2. name it in APIS, and in the tuple below, by which mypy compares it with the Protocol;
3. put transcripts of its servers in a folder of tests/wire, with an expected.toml (see tests/support/transcripts.py).

A dialect that is only read (Gemini, `gen --events`, agents) has a Decoder and a row in detect.SIGNS.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from ..core.decoder import Decoder
    from ..core.request import Request

CHAT, RESPONSES, MESSAGES, OLLAMA = APIS = ("chat", "responses", "messages", "ollama")


class Dialect(Protocol):
    """The members of a dialect's module. The module's docstring names the source of its format."""

    PATH: str  # of the endpoint, which is appended to the base URL
    MODELS_PATH: str  # of the list of models
    BASE_PATH: str  # the end of base URLs of other dialects, which does not come before both paths; "" for none
    FIELD_OBJECTS: dict[str, str]  # fields that stand in an object of the body -> the object
    ATTACHMENT_KINDS: tuple[str, ...]  # the values of Attachment.kind that the API has
    MAX_ATTACHMENT_BYTES: int  # of all attachments of a request as they are sent, in base64

    def headers(self, key: str, body: Mapping[str, Any]) -> list[str]:
        """Returns the HTTP header lines that carry the key, if it is not "", and the version that a body needs."""

    def body(self, request: Request, field_names: dict[str, str]) -> dict[str, Any]:
        """Returns the JSON body; `field_names` as in Request.fill. Raises UsageError for what the API does not have."""

    def Decoder(self, provider: str, model: str) -> Decoder:
        """Returns a new decoder of one answer; the names go into its Start event."""


@cache
def dialect(api: str) -> Dialect:
    """Imports the module of a dialect; `api` is one of APIS."""
    return cast(Dialect, importlib.import_module(f".{api}", __name__))


if TYPE_CHECKING:
    from . import chat, messages, ollama, responses

    _CHECKED: tuple[Dialect, ...] = (chat, responses, messages, ollama)
