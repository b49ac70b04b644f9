"""Mends text that was meant to be a JSON object: commas, comments, quotes, words of other languages, open brackets.

What is valid JSON in it comes out as it came in: strings, numbers, the order of keys, duplicates. One pass from left to
right, so that the time grows with the text. Where the text does not say what was meant, `Unclear` is raised.
"""

from __future__ import annotations

import re

from .grammar import BODY, end, number
from .strings import unescape, unfinished_from


class Unclear(ValueError):
    """The text does not say what was meant."""


KEY, COLON, VALUE, ELEMENT, NEXT = range(5)  # what comes next; VALUE: of a member, NEXT: a comma or the end

DOUBLE, SINGLE = "\u201c\u201d\u201e\u201f", "\u2018\u2019\u201a\u201b"
CLOSERS = {'"': '"', "'": "'"} | dict.fromkeys(DOUBLE, '\u201c\u201d"') | dict.fromkeys(SINGLE, "\u2018\u2019'")
WORDS = {"true": "true", "false": "false", "null": "null", "none": "null", "nan": "null", "undefined": "null"}
WORDS |= {sign + word: "null" for sign in ("", "+", "-") for word in ("inf", "infinity")}

_skip = re.compile(
    r"(?:[\s\ufeff\u200b]++|\\[nrt]|//[^\n]*+|\#[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\*?\Z))*+"
).match
_SCALAR = r"(?:[-+]?[0-9.][\w.+-]*+|[-+]?[A-Za-z]++)"
_PLAIN = r"(?:-?[0-9][0-9.eE+-]*+|[Tt]rue|[Ff]alse|[Nn]one|null)(?=[\s,}\]]|\Z)"
OPENERS = "\"'\u201c\u201e\u201f\u2018\u201a\u201b"
# What may follow a value. Where it is the next value or key, a comma is missing.
_FOLLOW = rf"""[\s\ufeff\u200b]*+(?:[,:}}\]{{\[{OPENERS}\#]|\Z|//|/\*|\\["nrt]|[\w$-]++\s*+:|{_PLAIN})"""
_follows = re.compile(_FOLLOW).match
_valid_string = re.compile(rf'"{BODY}"(?={_FOLLOW})').match
_escaped_string = re.compile(r'\\"((?:[^\\]|\\[^\\"]|\\\\(?:[^\\]|\\.))*+)(\\")?+', re.DOTALL).match
_stops = {opener: re.compile(rf"(?:[^\\{closers}]|\\.)*+", re.DOTALL).match for opener, closers in CLOSERS.items()}
_scalar = re.compile(rf"{_SCALAR}(?=[\s,}}\]{{\[\"'/\\]|\Z)").match
_bare_value = re.compile(r'(?:[^,{}\[\]"\n/#]|(?<!\s)\#|/(?![/*])|(?<=\w:)//)++').match
_bare_key = re.compile(rf"""[^\s:,{{}}\[\]"'\\/\#{DOUBLE}{SINGLE}]++(?:[ \t]++[^\s:,{{}}\[\]"'\\/\#]++)*+""").match
_loose_number = re.compile(r"([-+]?)([0-9]*)(?:\.([0-9]*))?([eE][-+]?[0-9]+)?").fullmatch
_not_json = re.compile(
    r'\\(?:u[0-9A-Fa-f]{4}|["\\/bfnrt])|\\x([0-9A-Fa-f]{2})|\\\r?\n|\\(.?)|["\x00-\x1f\ud800-\udfff]', re.DOTALL
)
_CONTROLS = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", '"': '\\"'}


def mend(text: str) -> str:
    """Returns an object as minified JSON, "" if nothing of it is left. Raises Unclear."""
    return _Mend(text).result()


class _Mend:
    def __init__(self, text: str) -> None:
        self._text = text
        self._out: list[str] = []
        self._brackets: list[str] = []  # the closing brackets that are missing
        self._arrays = 0  # of them
        self._has_items: list[bool] = []  # whether each open container has a member or element
        self._place = ELEMENT
        self._key_at = 0  # index in _out where the last key begins

    def result(self) -> str:
        text, n, i = self._text, len(self._text), 0
        while True:
            i = end(_skip(text, i))
            if i == n:
                break
            if not self._brackets and self._out:
                raise Unclear
            i = self._take(text, i)
        if not self._out:
            return ""
        if self._place in (COLON, VALUE):
            del self._out[self._key_at :]
        result = "".join(self._out + self._brackets[::-1])
        return "" if result == "{}" else result

    def _take(self, text: str, i: int) -> int:
        c, place = text[i], self._place
        if c in "}]":
            return self._close(c, i)
        if c == ",":
            if place == COLON:
                raise Unclear
            if place == VALUE:
                self._out.append("null")
            self._place = self._first
            return i + 1
        if place == COLON or c == ":":
            if place != COLON or c != ":":
                raise Unclear
            self._out.append(":")
            self._place = VALUE
            return i + 1
        if place == NEXT:  # a comma is missing
            place = self._place = self._first
        if place == KEY:
            return self._key(text, i)
        if place == ELEMENT:
            self._separate()
        if c in "{[":
            self._out.append(c)
            self._brackets.append("}" if c == "{" else "]")
            self._arrays += c == "["
            self._has_items.append(False)
            self._place = self._first
            return i + 1
        token, i = self._string(text, i) or self._bare(text, i)
        if not self._brackets:
            raise Unclear
        self._out.append(token)
        self._place = NEXT
        return i

    @property
    def _first(self) -> int:
        """What comes behind a comma."""
        return KEY if self._brackets[-1] == "}" else ELEMENT

    def _separate(self) -> None:
        if self._has_items:
            if self._has_items[-1]:
                self._out.append(",")
            self._has_items[-1] = True

    def _close(self, c: str, i: int) -> int:
        if c == "]" and not self._arrays:
            return i + 1  # it closes nothing
        if self._place == COLON:
            raise Unclear
        if self._place == VALUE:
            self._out.append("null")
        while self._brackets:
            bracket = self._brackets.pop()
            self._has_items.pop()
            self._arrays -= bracket == "]"
            self._out.append(bracket)
            if bracket == c:
                break
        self._place = NEXT
        return i + 1

    def _key(self, text: str, i: int) -> int:
        key_at = len(self._out)
        string = self._string(text, i)
        if string is None:
            match = _bare_key(text, i)
            if match is None:
                raise Unclear
            string = f'"{match.group()}"', match.end()
        self._separate()
        self._key_at = key_at
        self._out.append(string[0])
        self._place = COLON
        return string[1]

    def _string(self, text: str, i: int) -> tuple[str, int] | None:
        """Returns the string at text[i] as JSON, and where it ends; None if there is none."""
        opener = text[i]
        if match := _valid_string(text, i):
            return match.group(), match.end()
        if opener == "\\":
            match = _escaped_string(text, i)
            if match is None:
                raise Unclear
            return _quoted(unescape(match[1])), match.end()
        if opener not in CLOSERS:
            return None
        stop, at = _stops[opener], i + 1
        while (at := end(stop(text, at))) < len(text) and text[at] in CLOSERS[opener]:
            if _follows(text, at + 1):
                return _quoted(text[i + 1 : at]), at + 1
            at += 1
        body = text[i + 1 :]
        return _quoted(body[: unfinished_from(body)]), len(text)

    def _bare(self, text: str, i: int) -> tuple[str, int]:
        """Returns a number, a word or text without quotes as JSON, and where it ends."""
        if (match := _scalar(text, i)) and _follows(text, match.end()):
            token, stop = match.group(), match.end()
            if (word := WORDS.get(token.lower())) is not None:
                return word, stop
            if stop == len(text) and any(word.startswith(token.lower()) for word in WORDS):
                return "null", stop  # its rest is missing
            return _number(token, stop == len(text)), stop
        match = _bare_value(text, i)
        if match is None:
            raise Unclear
        return _quoted(match.group().rstrip()), match.end()


def _number(token: str, is_cut: bool) -> str:
    """Returns a number as JSON, its digits as they came; a string if it is none."""
    if number(token):
        return token
    if is_cut and number(token + "0"):
        return "null"  # its rest is missing
    match = _loose_number(token)
    if match and (match[2] or match[3]):
        sign, whole, fraction, exponent = match.groups("")
        plain = f"{sign.rstrip('+')}{whole or '0'}{'.' + fraction if fraction else ''}{exponent}"
        if number(plain):
            return plain
    return _quoted(token)


def _quoted(body: str) -> str:
    """Returns a string's body, in which escapes and characters may be invalid, as a JSON string."""
    return f'"{_not_json.sub(_escape, body)}"'


def _escape(match: re.Match[str]) -> str:
    token = match.group()
    code, letter = match.groups()
    if code:
        return f"\\u00{code}"
    if letter is not None:
        return letter if letter == "'" else "\\\\" + _not_json.sub(_escape, letter)
    if token[0] == "\\":
        return token if token[-1] != "\n" else ""
    if token in _CONTROLS:
        return _CONTROLS[token]
    return f"\\u{ord(token):04x}" if token < " " else "\ufffd"
