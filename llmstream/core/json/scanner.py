"""One JSON value, recognised as it streams: RFC 8259 to the letter, cut at any character.

A state is a method that takes the text from an index on, says how far it came and sets the next state. What is open
stands on a list, so depth is data. Each character is looked at by one state; runs of members, of elements and of
string characters are matched by possessive regular expressions, that is in C and without backtracking.

`live` makes the same machine useful to those who look inside: values whose depth is `live` are told to
`on_begin` and `on_end`, all others are only checked. It is -1 here: nothing is told.

Text is what `core.text` decodes: a byte that is not UTF-8 is a lone surrogate and breaks the grammar.
"""

from __future__ import annotations

from .grammar import Step, body, elements_run, end, members_run, number, number_run, space, whole_key

RUN = 128  # characters from which on a run is tried
MAX_DEPTH = 200_000  # what is open costs memory, even where all else is let go
ESCAPED = '"\\/bfnrt'
HEX = "0123456789ABCDEFabcdef"
LITERALS = {"t": "true", "f": "false", "n": "null"}


class _Runs:
    """The matchers, compiled when bulk input asks for them (milliseconds that a short stream never pays)."""

    members: Step | None = None
    elements: Step | None = None
    plain: Step | None = None  # elements that are no objects


class Scanner:
    """Checks one object or array. After `feed`: `done`, or `fault` says why it cannot be JSON, or it wants more."""

    def __init__(self) -> None:
        self._starts: dict[str, Step] = {'"': self._open_string, "{": self._open_object, "[": self._open_array}
        self._starts |= dict.fromkeys("-0123456789", self._open_number)
        self._starts |= dict.fromkeys(LITERALS, self._open_literal)
        self.stack: list[str] = []  # the closing brackets awaited
        self.live = -1
        self.start()

    def start(self) -> None:
        """Forgets what was, and awaits a value."""
        self.stack.clear()
        self.done = False
        self.fault = ""
        self.has_members = False  # an object with a key was met: this is meant to be JSON
        self._held: list[str] = []  # the pieces of a key or number that a chunk's end has cut
        self._held_size = 0
        self._token_from = -1  # where in this chunk it begins or goes on
        self._is_key = False
        self._hex = 0
        self._rest = ""
        self._step: Step = self._value

    def feed(self, text: str, i: int, n: int) -> int:
        """Scans text[i:n]; returns where it stopped: n, or behind the value, or at the character that broke it."""
        if self._token_from >= 0:
            self._token_from = i
        while i < n:
            i = self._step(text, i, n)
            if self.done or self.fault:
                return i
        if self._token_from >= 0:
            self._held.append(text[self._token_from : n])
            self._held_size += n - self._token_from
        return i

    @property
    def in_string(self) -> bool:
        """Whether it stopped inside a string."""
        return self._step in (self._string, self._escape)

    @property
    def in_escape(self) -> bool:
        """Whether it stopped right behind a backslash."""
        return self._step == self._escape and not self._hex and not self.fault

    # What others look at.

    def on_begin(self, text: str, i: int) -> None:
        """A value at depth `live` begins at text[i]."""

    def on_key(self, key: str) -> None:
        """The source text of a key at depth `live`, without its quotes."""

    def on_end(self, text: str, i: int) -> None:
        """It ended before text[i]."""

    def on_leave(self) -> None:
        """The container that holds the values at depth `live` ends."""

    def skip_elements(self, text: str, i: int, n: int) -> int:
        """Takes elements at depth `live` by a quicker way, each with its comma or last in its array."""
        return i

    def skip_members(self, text: str, i: int, n: int) -> int:
        """Skips members at depth `live` that matter to nobody."""
        return i

    # States.

    def _break(self, i: int, why: str) -> int:
        self.fault = why
        return i

    def _value(self, text: str, i: int, n: int) -> int:
        i = end(space(text, i, n))
        if i == n:
            return n
        start = self._starts.get(text[i])
        if start is None:
            return self._break(i, "a value is missing")
        if len(self.stack) == self.live:
            self.on_begin(text, i)
        return start(text, i, n)

    def _element(self, text: str, i: int, n: int) -> int:
        if n - i > RUN:
            i, begun = self._skip_elements(text, i, n), i
            if i > begun and text[i - 1] != ",":
                self._step = self._next
                return i
        self._step = self._value
        return i

    def _first_element(self, text: str, i: int, n: int) -> int:
        i = end(space(text, i, n))
        if i == n:
            return n
        if text[i] == "]":
            return self._close(text, i)
        return self._element(text, i, n)

    def _first_key(self, text: str, i: int, n: int) -> int:
        i = end(space(text, i, n))
        if i == n:
            return n
        if text[i] == "}":
            return self._close(text, i)
        self.has_members = self.has_members or text[i] == '"'
        self._step = self._key
        return self._key(text, i, n)

    def _key(self, text: str, i: int, n: int) -> int:
        if n - i > RUN:
            i, begun = self._skip_members(text, i, n), i
            if i > begun and text[i - 1] != ",":
                self._step = self._next
                return i
        i = end(space(text, i, n))
        if i == n:
            return n
        if text[i] != '"':
            return self._break(i, "a key in double quotes is missing")
        if (key := whole_key(text, i, n)) and key.end() < n:
            if len(self.stack) == self.live:
                self.on_key(key[1])
            return self._value(text, key.end(), n)
        self._is_key = True
        if len(self.stack) == self.live:
            self._token_from = i + 1
        self._step = self._string
        return i + 1

    def _skip_elements(self, text: str, i: int, n: int) -> int:
        if len(self.stack) == self.live:
            return self.skip_elements(text, i, n)
        if not self.has_members:  # a run would not tell that it has met a key: the first object goes by states
            if _Runs.plain is None:
                _Runs.plain = elements_run(objects=False)
            return _Runs.plain(text, i, n)
        if _Runs.elements is None:
            _Runs.elements = elements_run()
        return _Runs.elements(text, i, n)

    def _skip_members(self, text: str, i: int, n: int) -> int:
        if len(self.stack) == self.live:
            return self.skip_members(text, i, n)
        if _Runs.members is None:
            _Runs.members = members_run()
        return _Runs.members(text, i, n)

    def _colon(self, text: str, i: int, n: int) -> int:
        i = end(space(text, i, n))
        if i == n:
            return n
        if text[i] != ":":
            return self._break(i, "a colon is missing")
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
            return self._break(i, f"a comma or {close} is missing")
        self._step = self._key if close == "}" else self._element
        return i + 1

    def _open_object(self, text: str, i: int, n: int) -> int:
        return self._open(i, "}", self._first_key)

    def _open_array(self, text: str, i: int, n: int) -> int:
        return self._open(i, "]", self._first_element)

    def _open(self, i: int, close: str, step: Step) -> int:
        if len(self.stack) == MAX_DEPTH:
            return self._break(i, f"it is nested deeper than {MAX_DEPTH}")
        self.stack.append(close)
        self._step = step
        return i + 1

    def _close(self, text: str, i: int) -> int:
        self.stack.pop()
        if len(self.stack) == self.live - 1:
            self.on_leave()
        return self._ended(text, i + 1)

    def _ended(self, text: str, i: int) -> int:
        if len(self.stack) == self.live:
            self.on_end(text, i)
        self._step = self._next
        self.done = not self.stack
        return i

    def _open_string(self, text: str, i: int, n: int) -> int:
        self._is_key = False
        self._step = self._string
        return self._string(text, i + 1, n) if i + 1 < n else n

    def _string(self, text: str, i: int, n: int) -> int:
        i = end(body(text, i, n))
        if i == n:
            return n
        if text[i] == "\\":
            self._step = self._escape
            return i + 1
        if text[i] != '"':
            return self._break(i, "a control character or a byte that is not UTF-8 stands in a string")
        if not self._is_key:
            return self._ended(text, i + 1)
        if self._token_from >= 0:
            self.on_key(self._token(text, i))
        self._step = self._colon
        return i + 1

    def _escape(self, text: str, i: int, n: int) -> int:
        """An escape that the pattern refused: cut by the chunk's end, or wrong."""
        if self._hex:
            if text[i] not in HEX:
                return self._break(i, "\\u wants four hexadecimal digits")
            self._hex -= 1
        elif text[i] == "u":
            self._hex = 4
        elif text[i] not in ESCAPED:
            return self._break(i, "an escape that JSON does not have stands in a string")
        if not self._hex:
            self._step = self._string
        return i + 1

    def _open_number(self, text: str, i: int, n: int) -> int:
        self._token_from = i
        self._step = self._in_number
        return self._in_number(text, i, n)

    def _in_number(self, text: str, i: int, n: int) -> int:
        i = end(number_run(text, i, n))
        if i == n:
            return n
        if number(self._token(text, i)) is None:
            return self._break(i, "a number is malformed")
        return self._ended(text, i)

    def _token(self, text: str, i: int) -> str:
        token = text[self._token_from : i]
        if self._held:
            token = "".join((*self._held, token))
            self._held.clear()
            self._held_size = 0
        self._token_from = -1
        return token

    def _open_literal(self, text: str, i: int, n: int) -> int:
        self._rest = LITERALS[text[i]][1:]
        self._step = self._literal
        return i + 1

    def _literal(self, text: str, i: int, n: int) -> int:
        if text[i] != self._rest[0]:
            return self._break(i, "a word that JSON does not have stands for a value")
        self._rest = self._rest[1:]
        return i + 1 if self._rest else self._ended(text, i + 1)
