"""One JSON value, checked as it streams: RFC 8259 to the letter, cut at any character.

A state is a method that takes the text from an index on, returns the index behind what it took, and sets the next
state. Open brackets are kept in a list, so depth costs no recursion. Each character is looked at by one state; runs of
members, of elements and of string characters are matched by possessive regular expressions, that is in C and without
backtracking.

A subclass that looks inside sets `watched_depth`: values at that depth are reported to `on_value` and `on_value_end`,
all others are only checked. -1 reports nothing.

Text is what `core.text` decodes: a byte that is not UTF-8 is a lone surrogate and is not valid JSON.
"""

from __future__ import annotations

from .grammar import Step, elements_run, end, members_run, number, number_run, space, string_body, whole_key

RUN = 128  # characters that must be left of a chunk before a run is tried
COMPILE_AFTER = 200  # such chances, from which on compiling the patterns of runs pays
MAX_DEPTH = 200_000  # open brackets: they are what stays in memory of a document whose text is not kept
ESCAPES = '"\\/bfnrt'
HEX = "0123456789ABCDEFabcdef"
LITERALS = {"t": "true", "f": "false", "n": "null"}


class Scanner:
    """Checks one object or array.

    After `feed`, `done` is true, or `error` says why the text is not JSON, or both are falsy and the value goes on.
    """

    def __init__(self) -> None:
        self._starts: dict[str, Step] = {'"': self._open_string, "{": self._open, "[": self._open}
        self._starts |= dict.fromkeys("-0123456789", self._open_number)
        self._starts |= dict.fromkeys(LITERALS, self._open_literal)
        self.stack: list[str] = []  # the closing brackets that are still to come
        self.watched_depth = -1
        self._chances = 0  # to skip a run
        self.start()

    def start(self) -> None:
        """Resets the scanner for the next value."""
        self.stack.clear()
        self.done = False
        self.error = ""
        self.has_members = False  # a key had its colon: this text was meant to be JSON
        self._token_parts: list[str] = []  # of a key or number that goes on in the next chunk
        self._token_size = 0  # characters in them
        self._token_start = -1  # index in this chunk where the key or number begins or goes on; -1: there is no token
        self._is_key = False
        self._hex_digits = 0  # that a \u escape still lacks
        self._literal_rest = ""
        self._step: Step = self._value

    def feed(self, text: str, i: int, n: int) -> int:
        """Scans text[i:n]; returns the index where it stopped: n, behind the value, or at the first wrong character."""
        if self._token_start >= 0:
            self._token_start = i
        while i < n:
            i = self._step(text, i, n)
            if self.done or self.error:
                return i
        if self._token_start >= 0:
            self._token_parts.append(text[self._token_start : n])
            self._token_size += n - self._token_start
        return i

    @property
    def in_string(self) -> bool:
        """Whether the scanner stopped inside a string."""
        return self._step in (self._string, self._escape)

    @property
    def in_escape(self) -> bool:
        """Whether the scanner stopped right behind a backslash."""
        return self._step == self._escape and not self._hex_digits and not self.error

    # Hooks for subclasses.

    def on_value(self, text: str, i: int) -> None:
        """A value at the watched depth begins at text[i]."""

    def on_key(self, key: str) -> None:
        """A key at the watched depth has ended; `key` is its source text without the quotes."""

    def on_value_end(self, text: str, i: int) -> None:
        """The value at the watched depth has ended before text[i]."""

    def on_container_end(self) -> None:
        """The container of the values at the watched depth has ended."""

    def skip_watched(self, text: str, i: int, n: int) -> int:
        """Takes children at the watched depth by a fast path, each with its comma or last in its container."""
        return i

    # States.

    def _skip_children(self, text: str, i: int, n: int) -> int:
        if len(self.stack) == self.watched_depth:
            return self.skip_watched(text, i, n)
        self._chances += 1
        if self._chances < COMPILE_AFTER:
            return i
        if self.stack[-1] == "}":
            return end(members_run()(text, i, n))
        # A run does not report that it met a key, so the states take the first object.
        return end(elements_run(True, self.has_members)(text, i, n))

    def _fail(self, i: int, reason: str) -> int:
        self.error = reason
        return i

    def _value(self, text: str, i: int, n: int) -> int:
        i = end(space(text, i, n))
        if i == n:
            return n
        start = self._starts.get(text[i])
        if start is None:
            return self._fail(i, "a value is missing")
        if len(self.stack) == self.watched_depth:
            self.on_value(text, i)
        return start(text, i, n)

    def _element(self, text: str, i: int, n: int) -> int:
        if n - i > RUN:
            i, start = self._skip_children(text, i, n), i
            if i > start and text[i - 1] != ",":
                self._step = self._next
                return i
        self._step = self._value
        return i

    def _first(self, text: str, i: int, n: int) -> int:
        i = end(space(text, i, n))
        if i == n:
            return n
        close = self.stack[-1]
        if text[i] == close:
            return self._close(text, i)
        if close == "]":
            return self._element(text, i, n)
        self._step = self._key
        return self._key(text, i, n)

    def _key(self, text: str, i: int, n: int) -> int:
        if n - i > RUN:
            i, start = self._skip_children(text, i, n), i
            if i > start:
                self.has_members = True
                if text[i - 1] != ",":
                    self._step = self._next
                    return i
        i = end(space(text, i, n))
        if i == n:
            return n
        if text[i] != '"':
            return self._fail(i, "a key in double quotes is missing")
        if (key := whole_key(text, i, n)) and key.end() < n:
            self.has_members = True
            if len(self.stack) == self.watched_depth:
                self.on_key(key[1])
            return self._value(text, key.end(), n)
        self._is_key = True
        if len(self.stack) == self.watched_depth:
            self._token_start = i + 1
        self._step = self._string
        return i + 1

    def _colon(self, text: str, i: int, n: int) -> int:
        i = end(space(text, i, n))
        if i == n:
            return n
        if text[i] != ":":
            return self._fail(i, "a colon is missing")
        self.has_members = True
        self._step = self._value
        return i + 1

    def _next(self, text: str, i: int, n: int) -> int:
        i = end(space(text, i, n))
        if i == n:
            return n
        close = self.stack[-1]
        if text[i] == close:
            return self._close(text, i)
        if text[i] != ",":
            return self._fail(i, f"a comma or {close} is missing")
        self._step = self._key if close == "}" else self._element
        return i + 1

    def _open(self, text: str, i: int, n: int) -> int:
        if len(self.stack) == MAX_DEPTH:
            return self._fail(i, f"it is nested deeper than {MAX_DEPTH}")
        self.stack.append("}" if text[i] == "{" else "]")
        self._step = self._first
        return i + 1

    def _close(self, text: str, i: int) -> int:
        self.stack.pop()
        if len(self.stack) == self.watched_depth - 1:
            self.on_container_end()
        return self._end_value(text, i + 1)

    def _end_value(self, text: str, i: int) -> int:
        if len(self.stack) == self.watched_depth:
            self.on_value_end(text, i)
        self._step = self._next
        self.done = not self.stack
        return i

    def _open_string(self, text: str, i: int, n: int) -> int:
        self._is_key = False
        self._step = self._string
        return self._string(text, i + 1, n) if i + 1 < n else n

    def _string(self, text: str, i: int, n: int) -> int:
        i = end(string_body(text, i, n))
        if i == n:
            return n
        if text[i] == "\\":
            self._step = self._escape
            return i + 1
        if text[i] != '"':
            return self._fail(i, "a string has a control character or a byte that is not UTF-8")
        if not self._is_key:
            return self._end_value(text, i + 1)
        if self._token_start >= 0:
            self.on_key(self._token(text, i))
        self._step = self._colon
        return i + 1

    def _escape(self, text: str, i: int, n: int) -> int:
        """Takes one character of an escape that the pattern refused: the chunk's end cuts it, or it is wrong."""
        if self._hex_digits:
            if text[i] not in HEX:
                return self._fail(i, "\\u lacks its four hexadecimal digits")
            self._hex_digits -= 1
        elif text[i] == "u":
            self._hex_digits = 4
        elif text[i] not in ESCAPES:
            return self._fail(i, "a string has an invalid escape")
        if not self._hex_digits:
            self._step = self._string
        return i + 1

    def _open_number(self, text: str, i: int, n: int) -> int:
        self._token_start = i
        self._step = self._in_number
        return self._in_number(text, i, n)

    def _in_number(self, text: str, i: int, n: int) -> int:
        i = end(number_run(text, i, n))
        if i == n:
            return n
        if number(self._token(text, i)) is None:
            return self._fail(i, "a number is malformed")
        return self._end_value(text, i)

    def _token(self, text: str, i: int) -> str:
        token = text[self._token_start : i]
        if self._token_parts:
            token = "".join((*self._token_parts, token))
            self._token_parts.clear()
            self._token_size = 0
        self._token_start = -1
        return token

    def _open_literal(self, text: str, i: int, n: int) -> int:
        self._literal_rest = LITERALS[text[i]][1:]
        self._step = self._literal
        return i + 1

    def _literal(self, text: str, i: int, n: int) -> int:
        if text[i] != self._literal_rest[0]:
            return self._fail(i, "a word is neither true, false nor null")
        self._literal_rest = self._literal_rest[1:]
        return i + 1 if self._literal_rest else self._end_value(text, i + 1)
