"""The tokens of JSON (RFC 8259) as possessive regular expressions: matched in C, without backtracking.

Text is what `core.text` decodes: a byte that is not UTF-8 is a lone surrogate, and no string has one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Step = Callable[[str, int, int], int]  # (text, from, to): how far it came

_SPACE = r"[ \t\n\r]*+"
_PLAIN = r'[^"\\\x00-\x1f\udc80-\udcff]*+'
_BODY = rf'{_PLAIN}(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{{4}}){_PLAIN})*+'
_NUMBER = r"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+"
SCALAR = rf'(?:"{_BODY}"|{_NUMBER}|true|false|null)'

space = re.compile(_SPACE).match
body = re.compile(_BODY).match
whole_key = re.compile(rf'"({_BODY})"{_SPACE}:{_SPACE}').match
number_run = re.compile(r"[-+.0-9Ee]*+").match
number = re.compile(_NUMBER).fullmatch
_tokens = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^ \t\n\r"]++').findall


def _flat(value: str, *, objects: bool = True) -> str:
    """A pattern for value, or an object or array of such."""
    members = rf'"{_BODY}"{_SPACE}:{_SPACE}{value}{_SPACE}'
    array = rf"\[{_SPACE}(?:{value}{_SPACE}(?:,{_SPACE}{value}{_SPACE})*+)?+\]"
    if not objects:
        return rf"(?:{value}|{array})"
    return rf"(?:{value}|\{{{_SPACE}(?:{members}(?:,{_SPACE}{members})*+)?+\}}|{array})"


def members_run(but: tuple[str, ...] = (), *, flat: bool = True) -> Step:
    """A matcher for members, each with its comma or last in its object; without the keys in `but` and escaped ones.

    With `flat` a value may be an object or array of scalars, else it is a scalar.
    """
    value = _flat(SCALAR) if flat else SCALAR
    key = rf'"{_BODY}"'
    if but:
        key = rf'"(?!(?:{"|".join(map(re.escape, but))})"){_PLAIN}"'
    run = re.compile(rf"(?:{_SPACE}{key}{_SPACE}:{_SPACE}{value}{_SPACE}(?:,|(?=\}})))*+").match
    return lambda text, i, n: end(run(text, i, n))


def elements_run(*, flat: bool = True, objects: bool = True) -> Step:
    """A matcher for elements, each with its comma or last in its array; with `flat` arrays of scalars, and objects."""
    value = _flat(SCALAR, objects=objects) if flat else SCALAR
    run = re.compile(rf"(?:{_SPACE}{value}{_SPACE}(?:,|(?=\])))*+").match
    return lambda text, i, n: end(run(text, i, n))


def end(match: re.Match[str] | None) -> int:
    assert match is not None  # all patterns here match the empty text
    return match.end()


def minify(value: str) -> str:
    """The text of a JSON value without the white space between its tokens."""
    return "".join(_tokens(value))
