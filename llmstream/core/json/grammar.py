"""The tokens of JSON (RFC 8259) as possessive regular expressions: matched in C, without backtracking.

Text is what `core.text` decodes: a byte that is not UTF-8 is a lone surrogate, and no string may contain one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

Step = Callable[[str, int, int], int]  # (text, i, n): takes some of text[i:n] and returns the index behind it
Matcher = Callable[[str, int, int], re.Match[str] | None]  # (text, i, n): matches from text[i] on, within text[i:n]

_SPACE = r"[ \t\n\r]*+"
_PLAIN = r'[^"\\\x00-\x1f\udc80-\udcff]*+'
BODY = rf'{_PLAIN}(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{{4}}){_PLAIN})*+'
NUMBER = r"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+"
SCALAR = rf'(?:"{BODY}"|{NUMBER}|true|false|null)'

space = re.compile(_SPACE).match
string_body = re.compile(BODY).match
whole_key = re.compile(rf'"({BODY})"{_SPACE}:{_SPACE}').match
number_run = re.compile(r"[-+.0-9Ee]*+").match
number = re.compile(NUMBER).fullmatch
_tokens = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^ \t\n\r"]++').findall


def _flat(scalar: str, *, objects: bool = True) -> str:
    """Returns a pattern for a scalar, an array of scalars or, with `objects`, an object of scalars."""
    members = rf'"{BODY}"{_SPACE}:{_SPACE}{scalar}{_SPACE}'
    array = rf"\[{_SPACE}(?:{scalar}{_SPACE}(?:,{_SPACE}{scalar}{_SPACE})*+)?+\]"
    if not objects:
        return rf"(?:{scalar}|{array})"
    return rf"(?:{scalar}|\{{{_SPACE}(?:{members}(?:,{_SPACE}{members})*+)?+\}}|{array})"


# A run is cached because it takes milliseconds to compile. A stream without large chunks never asks for one.


@cache
def members_run(excluded: tuple[str, ...] = (), flat: bool = True) -> Matcher:
    """Returns a matcher for members, each with its comma or last in its object.

    It stops at a member whose key is in `excluded` or, where any is, has an escape. With `flat` a value may be an
    object or array of scalars, else only a scalar.
    """
    value = _flat(SCALAR) if flat else SCALAR
    key = rf'"{BODY}"'
    if excluded:
        key = rf'"(?!(?:{"|".join(map(re.escape, excluded))})"){_PLAIN}"'
    return re.compile(rf"(?:{_SPACE}{key}{_SPACE}:{_SPACE}{value}{_SPACE}(?:,|(?=\}})))*+").match


@cache
def elements_run(flat: bool = True, objects: bool = True) -> Matcher:
    """Returns a matcher for elements, each with its comma or last in its array.

    With `flat` an element may be an array of scalars or, with `objects`, an object of scalars, else only a scalar.
    """
    value = _flat(SCALAR, objects=objects) if flat else SCALAR
    return re.compile(rf"(?:{_SPACE}{value}{_SPACE}(?:,|(?=\])))*+").match


def end(match: re.Match[str] | None) -> int:
    """Returns the end of a match; all patterns that are used with it match the empty text."""
    assert match is not None
    return match.end()


def minify(value: str) -> str:
    """Returns the text of a JSON value without the white space between its tokens."""
    return "".join(_tokens(value))
