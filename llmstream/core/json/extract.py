"""The values that paths select, out of one document, each the moment it is complete.

The scanner tells of the values at `live` depth, which is as deep as some path can still select something; all below
is only checked. A value that is selected, or must be complete to be judged (a filter tests it; an index counts from
its end), is captured: its text is what the chunks hold between its first and its last character. A judged value is
then walked a second time, by an Extraction of its own, with what is left of the paths.
"""

from __future__ import annotations

from .automaton import Automaton, Bag, Node
from .documents import Fault
from .grammar import end, minify, space
from .path import holds
from .scanner import RUN, Scanner
from .strings import unescaped

# Keys and indices on the way down. The first may be the location of what contains the rest: locations share their
# beginnings, so that one costs what is new in it, not its depth, as long as nobody spells it out.
Location = tuple["Location | str | int", ...]
Match = tuple[int, Location | str, str]  # (number of the path, where, the text of the value)


class Piece:
    """Source text of a string that is followed, as far as it came; `ends` at its closing quote."""

    __slots__ = ("text", "ends")

    def __init__(self, text: str, ends: bool) -> None:
        self.text, self.ends = text, ends


Found = list[Match | Piece | Fault]


class _Frame:
    """An open container that some path goes into."""

    __slots__ = ("node", "at", "index")

    def __init__(self, node: Node, at: Location) -> None:
        self.node, self.at = node, at
        self.index = -1  # of the element at hand, in an array


class _Capture:
    """A value whose text is wanted; it begins at `offset` in the piece of that number."""

    __slots__ = ("depth", "node", "at", "piece", "offset", "begin")

    def __init__(self, depth: int, node: Node, at: Location, piece: int, offset: int, begin: int) -> None:
        self.depth, self.node, self.at = depth, node, at
        self.piece, self.offset, self.begin = piece, offset, begin


class Extraction(Scanner):
    """Walks documents; appends to `found`. `limit` bounds one captured value, key or number, in characters."""

    def __init__(self, automaton: Automaton, found: Found, limit: int, *, follow: bool = False) -> None:
        self._automaton, self._found, self._limit, self._follow = automaton, found, limit, follow
        self._root, self._at = automaton.root, Location()
        self._document: object = None
        self.line = 0  # where the document begins
        super().__init__()

    def start(self) -> None:
        super().start()
        self.live = 0
        self._frames: list[_Frame] = []
        self._captures: list[_Capture] = []
        self._pieces: list[str] = []  # the chunks from the one on in which the first open capture began
        self._taken = self._first = 0  # characters before this chunk; where in it the document goes on
        self._name = ""  # the key at hand
        self._length = 0  # elements of the array that ended last
        self._following = False
        self._follow_from = 0

    def feed(self, text: str, i: int, n: int) -> int:
        self._first = self._follow_from = i
        while i < n and not (self.done or self.fault):
            begin = self._captures[0].begin - self._taken + self._first if self._captures else i
            stop = min(n, begin + self._limit)
            if stop <= i or self._held_size > self._limit:
                self.fault = f"a value in it is longer than {self._limit} characters"
            else:
                i = super().feed(text, i, stop)
        if self._following:
            self._found.append(Piece(text[self._follow_from : i], False))
        if self._captures:
            self._pieces.append(text[self._first : i])
        self._taken += i - self._first
        return i

    def scalar(self, text: str) -> None:
        """A document that is a scalar, whole."""
        self.start()
        self._complete(self._root, self._at, text)

    # The scanner's word.

    def on_key(self, key: str) -> None:
        self._name = unescaped(key)

    def on_begin(self, text: str, i: int) -> None:
        node: Node | None = self._root
        key: str | int = self._name
        frame = self._frames[-1] if self._frames else None
        if frame and self.stack[-1] == "]":
            key = frame.index = frame.index + 1
            node = frame.node.element(key)
        elif frame:
            node = frame.node.member(self._name)
        if node is None:
            return
        at = (frame.at, key) if frame else self._at
        c = text[i]
        if c == '"' and self._follow and node.accepts:
            self._following, self._follow_from = True, i + 1
        elif node.selects or node.rooted or (node.from_end and c == "["):
            begin = i - self._first
            self._captures.append(_Capture(len(self.stack), node, at, len(self._pieces), begin, begin + self._taken))
        if node.moves and c in "{[":
            self._frames.append(_Frame(node, at))
            self.live += 1

    def on_leave(self) -> None:
        self._length = self._frames.pop().index + 1
        self.live -= 1

    def on_end(self, text: str, i: int) -> None:
        if self._following:
            self._found.append(Piece(text[self._follow_from : i - 1], True))
            self._following = False
        elif self._captures and self._captures[-1].depth == len(self.stack):
            capture = self._captures.pop()
            if capture.piece == len(self._pieces):
                value = text[self._first + capture.offset : i]
            else:
                head, *more = self._pieces[capture.piece :]
                value = "".join((head[capture.offset :], *more, text[self._first : i]))
            if not self._captures:
                self._pieces.clear()
            self._complete(capture.node, capture.at, value)

    def skip_elements(self, text: str, i: int, n: int) -> int:
        """Takes objects that stand whole in the text, where all that is selected in them has plain names.

        An array of scalars only is skipped where no scalar can be selected.
        """
        frame = self._frames[-1]
        if frame.index < 0 and (stop := frame.node.skip_scalars(text, i, n)) > i:
            return stop
        node = frame.node.elements()
        names = None if node is None or self._follow else node.names()
        if names is None:
            return i
        while (start := end(space(text, i, n))) < n and text[start] == "{" and n - start > RUN:
            stop, found = names.take(text, start, n)
            if stop == start or stop - start > self._limit:
                break
            frame.index += 1
            self.has_members = self.has_members or text[end(space(text, start + 1, n))] == '"'
            self._found += [(number, (frame.at, frame.index, *path), value) for number, path, value in found]
            i = end(space(text, stop, n))
            if i == n or text[i] != ",":
                return stop
            i += 1
        return i

    def skip_members(self, text: str, i: int, n: int) -> int:
        return self._frames[-1].node.skip(text, i, n)

    # Complete values.

    def _complete(self, node: Node, at: Location, text: str) -> None:
        if node.accepts:
            value = minify(text) if text[0] in "{[" else text
            for path, count in node.accepts:
                self._found.extend([(path, at, value)] * count)
        if node.tests or node.rooted:
            self._judge(node, at, text)
        if node.from_end and text[0] == "[":
            self._resume(node.counted(self._length), at, text, self._document)

    def _judge(self, node: Node, at: Location, text: str) -> None:
        """Asks the filters that test this value, and those of any value that ask for the document."""
        try:
            value = parsed(text)
            bag: Bag = {}
            for test, count in node.tests.items():
                if holds(self._automaton.expression(test), value, self._document):
                    bag[test[0]] = bag.get(test[0], 0) + count
        except (RecursionError, ValueError) as error:
            why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            self._found.append(Fault(self.line, f"a filter cannot look at a value: {why}", "unjudged"))
            return
        if bag:
            self._resume(self._automaton.node(bag, {}), at, text, self._document)
        if node.rooted:
            self._resume(self._automaton.node(node.rooted, {}), at, text, value)

    def _resume(self, node: Node | None, at: Location, text: str, document: object) -> None:
        """Walks a complete value with what is left of the paths."""
        if node is None:
            return
        walk = Extraction(self._automaton, self._found, len(text) + 1, follow=False)
        walk.line, walk._root, walk._at, walk._document = self.line, node, at, document
        if text[0] in "{[" and node.moves:
            walk.feed(text, 0, len(text))
        else:
            walk._complete(node, at, text)


def parsed(text: str) -> object:
    """The value as Python's json reads it; an integer of more digits than Python converts is a float."""
    import json

    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 4000 else float(digits))


def normalized(at: Location) -> str:
    """The normalized path of a location (RFC 9535, section 2.7)."""
    steps: list[str] = []
    above: Location | None = at
    while above is not None:
        part, above = above, None
        for key in reversed(part):
            if isinstance(key, tuple):
                above = key
            else:
                steps.append(f"[{key}]" if isinstance(key, int) else f"['{_quoted(key)}']")
    return "$" + "".join(reversed(steps))


_ESCAPES = {"'": "\\'", "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _quoted(name: str) -> str:
    if name.isalnum():
        return name
    return "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in name)
