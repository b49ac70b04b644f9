"""Broken objects as valid JSON: an unfinished one is closed where it broke off, json-repair repairs a malformed one."""

from __future__ import annotations

import re

from .grammar import minify
from .strings import unfinished_from

_token = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]|[^{}\[\],:" \t\n\r]++|"').finditer
LITERALS = ("true", "false", "null")
# What json-repair takes for the start of a string: words for values that JSON does not have, and the first letters of
# a literal at the very end. The pattern passes over strings.
_unknown = re.compile(
    r""""[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|(?<=[\[{,:\s])'[^'\\]*+(?:\\.[^'\\]*+)*+(?:'|\\?\Z)"""
    r"""|([\[,:]\s*+)(?:(?:NaN|[+-]?Infinity|undefined)(?=\s*+(?:[,\]}]|\Z))|([A-Za-z]{1,8})\Z)""",
    re.DOTALL,
).sub
WORDS = (*LITERALS, "True", "False", "None", "NaN", "Infinity", "undefined")


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


def _null(match: re.Match[str]) -> str:
    lead, start = match.groups()
    if lead is None or (start and not any(word.startswith(start) and word != start for word in WORDS)):
        return match[0]
    return f"{lead}null"


def repair_object(text: str) -> str:
    """Returns what json-repair makes of a broken object, as minified JSON, or "" if it finds no object.

    Numbers pass through Python's: 1.10 becomes 1.1. NaN, Infinity, undefined and the beginning of a literal at the
    very end become null.
    """
    from json_repair import repair_json

    from ..json_codec import to_compact_json

    try:
        value = repair_json(_unknown(_null, text), return_objects=True, skip_json_loads=True)
        if not isinstance(value, dict) or not value:
            return ""
        return to_compact_json(value)
    except (ValueError, RecursionError):
        return ""
