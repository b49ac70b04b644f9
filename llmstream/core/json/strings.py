"""JSON string bodies as text: whole, and as they stream. A body is what stands between the quotes."""

from __future__ import annotations

import re

_escape = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))')
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PAIR = "[\ud800-\udbff][\udc00-\udfff]"  # compiled where it is used
_unfinished = re.compile(r"(?:\\u[dD][89abAB][0-9A-Fa-f]{2})?+(?:\\(?:u[0-9A-Fa-f]{0,3}+)?+)?+\Z").match


def unescape(body: str) -> str:
    """Returns the text of a valid body. Lone surrogates stay as they are."""
    if "\\" not in body:
        return body
    return re.sub(_PAIR, _join, _escape.sub(_decode, body))


def _decode(match: re.Match[str]) -> str:
    code, letter = match.groups()
    return chr(int(code, 16)) if code else _CONTROLS.get(letter, letter)


def _join(match: re.Match[str]) -> str:
    pair = match.group()
    return chr(0x10000 + ((ord(pair[0]) - 0xD800) << 10) + ord(pair[1]) - 0xDC00)


class Unescaper:
    """Unescapes a body that comes in pieces. Holds at most an unfinished escape and the half of a pair before it."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, piece: str) -> str:
        """Returns the text that piece completes."""
        body = self._rest + piece
        self._rest = ""
        if "\\" not in body:
            return body
        cut = unfinished_from(body)
        self._rest = body[cut:]
        return unescape(body[:cut])

    def close(self) -> str:
        """Ends the string; returns the high surrogate that waited for the other half of its pair."""
        rest, self._rest = self._rest, ""
        return unescape(rest)


def unfinished_from(body: str) -> int:
    """Returns where the tail begins that lacks its rest: part of an escape, or the first half of a surrogate pair."""
    for start in range(max(0, len(body) - 12), len(body)):
        if body[start] == "\\" and _unfinished(body, start):
            backslashes = start - len(body[:start].rstrip("\\"))
            if not backslashes % 2:  # else the one at start is the second of two
                return start
    return len(body)
