"""Runs of whole values in large chunks, for msgspec's C to check and decode.

Where values end is guessed by their layout: at the ends of lines, at brackets with the indent of the first one's line,
or, in a line without an end, where the next value seems to begin. A guess needs no more care than that, since the text
of a value has one end only: if it is valid JSON, it is the value. What msgspec refuses is left to the scanner: beside
invalid text that is valid text with lone surrogates, numbers out of range, or a depth of 1000.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

BULK = 512  # characters that must be left of a chunk before a run is tried
MAX_RUN = 1 << 20  # characters


class Unproven(Exception):
    """The text must be left to the scanner: it may be valid, but a fast path cannot prove what it selects."""


@cache
def msgspec() -> Any:
    """Imports msgspec, which takes 20 ms: only a large chunk is worth that."""
    import msgspec

    return msgspec


class Runs:
    """Finds runs of values.

    After a failed run, a single value is tried, and after a success four times as much: a broken value costs no more
    than the good ones around it. After a failed value nothing is tried up to its guessed end.
    """

    def __init__(self) -> None:
        self._chunk = ""  # the one in which `_silent_to` is an index: it is known by its identity
        self._silent_to = 0
        self._span = MAX_RUN  # characters that the next run may have

    def take(
        self, text: str, i: int, n: int, decode: Callable[[str], Any], limit: int, *, one: bool = False
    ) -> tuple[int, Any]:
        """Returns (end, decoded) for a run that begins at text[i], or (i, None) if there is none.

        `decode` gets the run's text, at most `limit` characters, and fails if the guess is wrong. With `one`, the run
        is a single value.
        """
        if text is not self._chunk:
            self._chunk, self._silent_to = text, 0
        if i < self._silent_to:
            return i, None
        single = first_end(text, i, n)
        run = single if one else max(single, last_end(text, i, min(n, i + self._span, i + limit)))
        for end in dict.fromkeys((run, single)):
            if not i < end <= i + limit:
                continue
            try:
                decoded = decode(text[i:end])
            except (msgspec().MsgspecError, ValueError, RecursionError, Unproven):
                self._span = single - i
                continue
            self._span = min(MAX_RUN, max(self._span, 4 * (end - i)))
            return end, decoded
        self._silent_to = single if single > i else n
        return i, None


_between = re.compile(r"[}\]](?=, ?[{\[])").search
_CLOSING = {"{": "}", "[": "]"}


def first_end(text: str, i: int, n: int) -> int:
    """Returns where the object or array at text[i] may end, or 0 if its layout does not say."""
    newline = text.find("\n", i, n)
    if newline < 0:
        comma = _between(text, i, n)
        return comma.start() + 1 if comma else 0
    if _is_alone(text, i, newline):
        close = _closing_line(text, i)
        at = text.find(close, newline, n)
        return at + len(close) if at >= 0 else 0
    return _line_end(text, i, newline)


def last_end(text: str, i: int, n: int) -> int:
    """Returns where the last whole value of a run that begins at text[i] may end, or 0 if the layout does not say."""
    newline = text.find("\n", i, n)
    if newline < 0:
        head = text[i : text.find(":", i, n) + 1]
        return len(text[: text.rfind(head, i, n)].rstrip(", ")) if head else 0
    if _is_alone(text, i, newline):
        close = _closing_line(text, i)
        at = text.rfind(close, newline, n)
        return at + len(close) if at >= 0 else 0
    return _line_end(text, i, text.rfind("\n", newline, n))


def _is_alone(text: str, i: int, newline: int) -> bool:
    """Whether the bracket at text[i] ends its line."""
    return newline - i <= 2 and not text[i + 1 : newline].strip()


def _closing_line(text: str, i: int) -> str:
    indent = text[text.rfind("\n", 0, i) + 1 : i]
    return "\n" + (indent if not indent.strip() else " " * (len(indent) - len(indent.lstrip()))) + _CLOSING[text[i]]


def _line_end(text: str, i: int, newline: int) -> int:
    end = newline
    while end > i and text[end - 1] in ", \r\t" and newline - end < 4:
        end -= 1
    return end if text[end - 1] in "}]" else 0


def is_literal(name: str) -> bool:
    """Whether a name stands in JSON as it is, unless it has escapes that it does not need."""
    return not set(name) & {'"', "\\"} and name.isprintable()


def escape_of(names: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    """Returns a search for escapes that may stand for a character of literal names."""
    units = {unit for name in names for unit in re.findall("....", name.encode("utf-16-be", "surrogatepass").hex())}
    if not units:
        return re.compile("(?!)").search
    escapes = ["u(?i:" + "|".join(sorted(units)) + ")"] + ["/"] * ("002f" in units)
    return re.compile(rf"\\(?:{'|'.join(escapes)})").search


def minified_objects(run: str) -> list[str]:
    """Returns the minified texts of objects: of one in each line, or with white space, or commas, between them."""
    try:
        parts = minified(run.split("\n") if "}" in run.split("\n", 1)[0] else [run])
    except msgspec().DecodeError:
        parts = minified(_raw_values(run))
    if not all(part[0] == "{" for part in parts):
        raise Unproven
    return parts


def _raw_values(run: str) -> list[Any]:
    try:
        return raw_lines(run)
    except msgspec().DecodeError:
        return raw_elements(f"[{run}]")


def raw_lines(run: str) -> list[Any]:
    """Returns the values in a run with white space between them, as Raw."""
    return _raw_decoders()[0].decode_lines(run)  # type: ignore[no-any-return]


def raw_elements(array: str) -> list[Any]:
    """Returns the elements of an array, as Raw."""
    return _raw_decoders()[1].decode(array)  # type: ignore[no-any-return]


@cache
def _raw_decoders() -> tuple[Any, Any]:
    raw: Any = msgspec().Raw
    return msgspec().json.Decoder(raw), msgspec().json.Decoder(list[raw])


def minified(values: list[Any]) -> list[str]:
    """Returns the minified texts of values, which are strings or Raw. Raises DecodeError if one is not valid JSON."""
    texts = map(partial(msgspec().json.format, indent=-1), values)
    return [text if type(text) is str else text.decode() for text in texts]


def texts(raws: list[Any]) -> list[str]:
    """Returns the texts of Raw values."""
    return b"\0".join(raws).decode().split("\0") if raws else []
