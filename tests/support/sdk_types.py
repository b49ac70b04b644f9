"""Compares request bodies with the SDKs' own types, key by key.

pydantic is no judge here: it drops unknown keys of a TypedDict, and reads an Iterable in a Union only once, to lose it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from ollama import Image
from ollama._types import ChatRequest
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from pydantic import BaseModel
from typing_extensions import get_type_hints, is_typeddict

NONE: frozenset[str] = frozenset()
REQUESTS = {
    "chat": CompletionCreateParamsStreaming,
    "responses": ResponseCreateParamsStreaming,
    "messages": MessageCreateParamsStreaming,
    "ollama": ChatRequest,
}
NOT_IN_CLIENT = {"truncate": bool, "shift": bool}  # fields of Ollama's api/types.go


WHOLE_REQUESTS = {
    "chat": CompletionCreateParamsNonStreaming,
    "responses": ResponseCreateParamsNonStreaming,
    "messages": MessageCreateParamsNonStreaming,
}


def unlike(api: str, body: dict[str, Any], *, streams: bool = True) -> list[str]:
    """Returns the fields of a body that do not fit the SDK's type; "" stands for missing fields.

    A request whose answer is not streamed, of a batch or in the background, has a type of its own.
    """
    hints, required = fields((REQUESTS if streams else WHOLE_REQUESTS)[api])
    mismatches = [key for key, value in body.items() if key not in hints or not fits(value, hints[key])]
    return mismatches + [""] * bool(required - body.keys())


@cache
def fields(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """Returns the types of the keys of a TypedDict or a model, and the keys that it requires."""
    if issubclass(kind, BaseModel):
        hints = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        return (
            (hints | NOT_IN_CLIENT, frozenset({"model", "messages", "stream"}))
            if kind is ChatRequest
            else (hints, NONE)
        )
    hints = get_type_hints(kind, include_extras=True)
    return hints, frozenset(kind.__required_keys__)


def fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return True
    if origin in (Required, NotRequired, Annotated):
        return fits(value, inner[0])
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in inner)
    if origin is Literal:
        return value in inner
    if hint is Image:
        return isinstance(value, str)
    if is_typeddict(hint) or (isinstance(hint, type) and issubclass(hint, BaseModel)):
        return _fits_dict(value, hint)
    if hint is NoneType or hint is None:
        return value is None
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(fits(each, inner[1]) for each in value.values())
    if inner and (origin in (list, Iterable, Sequence) or getattr(origin, "__name__", "") == "SequenceNotStr"):
        return isinstance(value, list) and all(fits(each, inner[0]) for each in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(hint, type) and type(value) is hint


def _fits_dict(value: Any, hint: Any) -> bool:
    hints, required = fields(hint)
    return (
        isinstance(value, dict)
        and required <= value.keys()
        and all(key in hints and fits(each, hints[key]) for key, each in value.items())
    )
