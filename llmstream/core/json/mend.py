"""An object that is not whole, made whole: closed where it broke off, or mended by json-repair."""

from __future__ import annotations

import re

from .grammar import minify

_token = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]|[^{}\[\],:" \t\n\r]++|"').finditer
_escapes = re.compile(r"[^\\]++|\\u[0-9a-fA-F]{4}|\\[^u]").match
LITERALS = ("true", "false", "null")
# What json-repair takes for the start of a string: words for what JSON has no value for, and the first letters of a
# literal at the very end, which no one can know the rest of. Strings are passed over.
_unknown = re.compile(
    r""""[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|(?<=[\[{,:\s])'[^'\\]*+(?:\\.[^'\\]*+)*+(?:'|\\?\Z)"""
    r"""|([\[,:]\s*+)(?:(?:NaN|[+-]?Infinity|undefined)(?=\s*+(?:[,\]}]|\Z))|([A-Za-z]{1,8})\Z)""",
    re.DOTALL,
).sub
WORDS = (*LITERALS, "True", "False", "None", "NaN", "Infinity", "undefined")


def closed(text: str) -> str:
    """The start of an object, as valid JSON: strings end where they broke off, open brackets are closed.

    What is not known to be complete goes: a number or word at the very end, a key without its value, half an escape,
    half a surrogate pair.
    """
    awaited: list[str] = []
    kept, tail, key = 0, "", False  # text[:kept] + tail is certain; key: the next string is one
    for match in _token(text):
        token, end = match.group(), match.end()
        if token in "{[":
            awaited.append("}" if token == "{" else "]")
            kept, key = end, token == "{"
        elif token in "}]":
            awaited.pop()
            kept = end
        elif token == ",":
            key = awaited[-1] == "}"
        elif token == ":":
            key = False
        elif token == '"':  # never closed
            if not key:
                kept = match.start() + len(_whole_characters(text[match.start() :]))
                tail = '"'
            break
        elif not key and (end < len(text) or token in LITERALS):
            kept = end
    return minify(text[:kept] + tail) + "".join(reversed(awaited))


def _whole_characters(string: str) -> str:
    """The start of a string without the half of an escape or of a surrogate pair at its end."""
    i = 1
    while i < len(string) and (match := _escapes(string, i)):
        i = match.end()
    string = string[:i]
    high = string[-6:-2].lower()
    return string[:-6] if high[:3] == "\\ud" and high[3:] in "89ab" and _unescaped(string, len(string) - 6) else string


def _unescaped(string: str, i: int) -> bool:
    """Whether the backslash at i begins an escape, and is not the second of two."""
    backslashes = len(string[:i]) - len(string[:i].rstrip("\\"))
    return backslashes % 2 == 0


def _null(found: re.Match[str]) -> str:
    lead, start = found.groups()
    if lead is None or (start and not any(word.startswith(start) and word != start for word in WORDS)):
        return found[0]
    return f"{lead}null"


def mended(text: str) -> str:
    """What json-repair makes of a broken object, as minified JSON; "" where it finds none.

    Numbers in it pass through Python's: 1.10 becomes 1.1. NaN, Infinity, undefined and the beginning of a literal at
    the very end become null.
    """
    import json

    from json_repair import repair_json

    try:
        value = repair_json(_unknown(_null, text), return_objects=True, skip_json_loads=True)
        if not isinstance(value, dict) or not value:
            return ""
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return ""
