"""Tells which pieces of an input begin another answer, and which belong to the one before."""

from __future__ import annotations

from typing import Any

from ..core.decoder import items
from ..core.pieces import ARRAY, DOCUMENT, Piece
from . import detect
from .answers import Answer
from .detect import Sign

START_BYTES = 64  # of a piece: most have their id or type there, so one that begins like the last is of its answer


def sign_of(answer: Answer | None, piece: Piece, value: Any) -> Sign | None:
    """Returns the sign that a piece is, at first that of its answer."""
    if not isinstance(value, dict):
        value = piece.data.decode("utf-8", "replace") if value is None else value
    elif piece.is_json and value.get("object") in detect.WHOLE_CHAT.objects:
        return detect.WHOLE_CHAT  # whose other keys a chunk has, too
    elif answer is not None and answer.sign.matches(detect.type_of(piece.name, value), value):
        return answer.sign
    return detect.recognise(piece.name, value)


def start_of(piece: Piece) -> tuple[str, bytes]:
    """Returns the name and the first bytes of a piece."""
    return piece.name, piece.data[:START_BYTES]


def start_tells(sign: Sign, piece: Piece, value: Any) -> bool:
    """Whether the first bytes of a piece have what tells its answer: a type that begins none, or else its id.

    They never do in a dialect without an end mark.
    """
    word = detect.type_of(piece.name, value) if sign.begin else sign.id_of(value)
    in_start = not word or f'"{word}"'.encode("utf-8", "replace") in piece.data[:START_BYTES]
    return sign.has_end_mark and word not in sign.begin and (in_start or word == piece.name)


def begins_another(answer: Answer, sign: Sign, piece: Piece, value: Any) -> bool:
    """Whether a piece that is a sign begins another answer, though this one has not ended."""
    if sign is detect.FAILURE:
        return False
    if sign.whole and piece.is_json:
        return True
    is_beginning = detect.type_of(piece.name, value) in sign.begin
    if sign.decoder != answer.sign.decoder:
        return is_beginning or not sign.begin
    if sign.begin:
        return is_beginning and not (sign.id and answer.continues(sign.id_of(value), is_beginning=True))
    if not sign.has_end_mark and _follows_end(answer, piece, value):
        return True
    if not _has_output(value):
        return False
    return piece.is_json != answer.is_json or not answer.continues(sign.id_of(value), is_beginning=_begins_chat(value))


def _follows_end(answer: Answer, piece: Piece, value: Any) -> bool:
    """Whether a piece comes after the end of an answer that has no end mark.

    Another array does. After a finish, so do another document and another text; but some servers repeat the finish in
    each event.
    """
    if piece.place == ARRAY or answer.finish is None:
        return piece.place == ARRAY
    if piece.place == DOCUMENT:
        return bool(value.get("candidates") or value.get("promptFeedback"))
    parts = [part for candidate in items(value, "candidates") for part in items(candidate, "content", "parts")]
    return answer.finish_is_end and any(part.get("text") or "functionCall" in part for part in parts)


def _begins_chat(value: Any) -> bool:
    """Whether an event has the role of a chat answer, and nothing else: some servers repeat the role beside text."""
    choices = items(value, "choices")
    delta = choices[0].get("delta") if choices else None
    if not isinstance(delta, dict) or choices[0].get("finish_reason"):
        return False
    return bool(delta.get("role")) and not any(value for name, value in delta.items() if name != "role")


def trails(former: Answer, sign: Sign, piece: Piece, value: Any) -> bool:
    """Whether a piece that is a sign belongs to the answer before, though that has ended."""
    if sign is detect.FAILURE or sign.decoder != former.sign.decoder or (sign.whole and piece.is_json):
        return False
    if sign.begin:
        return detect.type_of(piece.name, value) not in sign.begin
    failed = former.failure is not None and sign.id_of(value) == former.id != ""
    return failed or not _has_output(value)


def _has_output(value: Any) -> bool:
    """Whether an event is not a mere usage record of a chat answer."""
    return bool(value.get("choices", True))
