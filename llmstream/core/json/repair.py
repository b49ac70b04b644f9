"""Broken objects as valid JSON: an unfinished one is closed where it broke off, a malformed one is repaired."""

from __future__ import annotations

import re

from .grammar import BODY, NUMBER, minify
from .strings import unfinished_from

_token = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]|[^{}\[\],:" \t\n\r]++|"').finditer
LITERALS = ("true", "false", "null")
# Strings and numbers that stand where JSON has them: json-repair gets placeholders for these.
_certain = re.compile(rf'(?<=[\[{{,:])(\s*+)("{BODY}"|{NUMBER})(?=\s*+(?:[,:}}\]]|\Z))')
_placeholder = re.compile(r'"\ue000([0-9]+)\ue001"').sub
MAX_WORK = 1_000_000  # characters times quotes and brackets: json-repair may look at each character for each of them


def close_object(text: str) -> str:
    """Returns the start of an object as valid JSON: strings end where they broke off, open brackets are closed.

    What may be incomplete is left out: a number or word at the very end, a key without its value, half an escape, half
    a surrogate pair.
    """
    brackets: list[str] = []  # the closing brackets that are missing
    certain, tail, is_key = 0, "", False  # text[:certain] + tail is certain; is_key: the next string is a key
    for match in _token(text):
        token, end = match.group(), match.end()
        if token in "{[":
            brackets.append("}" if token == "{" else "]")
            certain, is_key = end, token == "{"
        elif token in "}]":
            brackets.pop()
            certain = end
        elif token == ",":
            is_key = brackets[-1] == "}"
        elif token == ":":
            is_key = False
        elif token == '"':  # never closed
            if not is_key:
                certain = end + unfinished_from(text[end:])
                tail = '"'
            break
        elif not is_key and (end < len(text) or token in LITERALS):
            certain = end
    return minify(text[:certain] + tail) + "".join(reversed(brackets))


def repair_object(text: str) -> str:
    """Returns what a broken object was meant to be, as minified JSON, or "" where that is not clear.

    `mend` does what it can. What is unclear to it is left to json-repair's guesses, if it is not too long for those;
    what is certain in it stays as it is.
    """
    from .mend import Unclear, mend

    try:
        return mend(text)
    except Unclear:
        return _guess(text)


def _guess(text: str) -> str:
    """Returns what json-repair makes of the text."""
    if len(text) * sum(map(text.count, "\"'{[")) > MAX_WORK:
        return ""
    from json_repair import repair_json

    from ..json_codec import to_compact_json

    tokens: list[str] = []

    def hide(match: re.Match[str]) -> str:
        tokens.append(match[2])
        return f'{match[1]}"\ue000{len(tokens) - 1}\ue001"'

    if "\ue000" in text:
        return ""
    try:
        value = repair_json(_certain.sub(hide, text), return_objects=True, skip_json_loads=True)
        if not isinstance(value, dict) or not value:
            return ""
        result = _placeholder(lambda match: tokens[int(match[1])], to_compact_json(value))
        return "" if "\ue000" in result else result
    except (ValueError, RecursionError):
        return ""
