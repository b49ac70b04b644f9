"""The tokens of text that was meant to be JSON, as patterns: comments, and keys in other quotes or in none."""

from __future__ import annotations

import re

# White space, also as escapes that a copy of a JSON string has, and comments.
SPACE = r"(?:[\s\ufeff\u200b]|\\[nrt])"
COMMENT = r"//[^\n]*+\n|\#[^\n]*+\n|/\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/"
_COMMENT_START = r"/|//[^\n]*+|\#[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+\*?"
_SKIP = rf"(?:{SPACE}|,|{COMMENT})*+"
_BEHIND = rf"(?:{SPACE}|{COMMENT})*+"

WORD = r"(?:[^\W\d]|\$)[\w$-]*+"
NUMBER_KEY = r"-?[0-9]++(?:\.[0-9]++)?+"
_STRINGS = {
    '"': r'(?:[^"\\\n]|\\.)*+',
    "'": r"(?:[^'\\\n]|\\.)*+",
    "[\u201c\u201d\u201e\u201f]": r"(?:[^\u201c\u201d\\\n]|\\.)*+",
    "[\u2018\u2019\u201a\u201b]": r"(?:[^\u2018\u2019\\\n]|\\.)*+",
    r'\\"': r'(?:[^\\\n]|\\[^\\"]|\\\\(?:[^\\\n]|\\.))*+',
}
_CLOSERS = {"[\u201c\u201d\u201e\u201f]": "[\u201c\u201d]", "[\u2018\u2019\u201a\u201b]": "[\u2018\u2019]"}
_STRING = "|".join(f"{quote}{body}{_CLOSERS.get(quote, quote)}" for quote, body in _STRINGS.items())
_STRING_START = "|".join(rf"{quote}{body}\\*" for quote, body in _STRINGS.items())
_KEY = rf"(?:{WORD}|{NUMBER_KEY}|{_STRING})"
_KEY_START = rf"(?:{WORD}|-?[0-9]*+\.?[0-9]*+|{_STRING_START}|\\)"

loose_start = re.compile(rf"\{{{_SKIP}{_KEY}{_BEHIND}:").match  # an object up to its first colon
may_start = re.compile(  # the start of such a text
    rf"\{{{_SKIP}(?:{_COMMENT_START}|{_KEY_START}|{_KEY}{_BEHIND}(?:{_COMMENT_START}|\\)?)"
).fullmatch
