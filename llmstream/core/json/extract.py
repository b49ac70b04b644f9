"""The values that paths select out of one document, each the moment it is complete.

The scanner reports the values at its watched depth, which is as deep as a path can still select something; all below
is only checked. A value is captured if it is selected, or if its selection depends on all of it (a filter tests it; an
index counts from its end): its text is what the chunks hold between its first and its last character. A captured
value that must be looked into is then walked a second time, by an Extraction of its own, with the rest of the paths.
"""

from __future__ import annotations

from .automaton import MAX_TIMES, Automaton, Location, Match, Node, Values
from .bulk import BULK, Runs
from .documents import UNEVALUATED, Fault
from .grammar import end, minify, space
from .levels import Levels
from .scanner import Scanner
from .strings import unescape

MAX_WALKED = 500_000  # characters that filters behind filters walk, beside WALKS times the value's
WALKS = 10


class Piece:
    """The next part of a followed string; `ends` is true at its closing quote."""

    __slots__ = ("text", "ends")

    def __init__(self, text: str, ends: bool) -> None:
        self.text, self.ends = text, ends


Results = list[Match | Values | Piece | Fault]


class _Frame:
    """An open container that a path goes into."""

    __slots__ = ("node", "location", "index")

    def __init__(self, node: Node, location: Location) -> None:
        self.node, self.location = node, location
        self.index = -1  # of the current element, in an array


class _Capture:
    """An open value whose text is captured.

    It begins at `offset` in the piece of the number `piece`, and `begin` characters behind the document's start.
    """

    __slots__ = ("depth", "node", "location", "piece", "offset", "begin")

    def __init__(self, depth: int, node: Node, location: Location, piece: int, offset: int, begin: int) -> None:
        self.depth, self.node, self.location = depth, node, location
        self.piece, self.offset, self.begin = piece, offset, begin


class Extraction(Scanner):
    """Walks documents and appends to `results`.

    `limit` bounds one captured value, key or number, in characters, and captured values within each other together.
    With `follow`, a selected string comes in Pieces, with `lines`, what is selected in many elements at once as Values.
    """

    # In CPython, attributes beyond 30 in an instance's dict would make all of them slower.
    __slots__: tuple[str, ...] = ("_automaton", "_results", "_limit", "_follow", "_root", "_root_location", "levels")
    __slots__ += ("_runs", "_document", "_size", "line", "_frames", "_captures", "_pieces", "_consumed", "_chunk_start")
    __slots__ += ("_begins", "_walked", "_gave_up", "_name", "_length", "_following", "_follow_start")

    def __init__(
        self, automaton: Automaton, results: Results, limit: int, *, follow: bool = False, lines: bool = False
    ) -> None:
        self._automaton, self._results, self._limit, self._follow = automaton, results, limit, follow
        self._root, self._root_location = automaton.root, Location()
        self.levels, self._runs = Levels(automaton, lines=lines), Runs()
        self._document: object = None  # parsed, for filters
        self._size = 0  # of the value that a walk is for, in characters; 0 for documents
        self.line = 0  # where the document begins
        super().__init__()

    def start(self) -> None:
        super().start()
        self.watched_depth = 0
        self._frames: list[_Frame] = []
        self._captures: list[_Capture] = []
        self._pieces: list[str] = []  # the chunks from the one on in which the outermost open capture began
        self._consumed = 0  # characters before this chunk
        self._chunk_start = 0  # index in this chunk where the document goes on
        self._begins = 0  # sum of the captures' `begin`
        self._walked = [0]  # characters that walks within walks of the outermost value have taken
        self._gave_up = False
        self._name = ""  # the last key
        self._length = 0  # elements of the array that ended last
        self._following = False
        self._follow_start = 0

    def feed(self, text: str, i: int, n: int) -> int:
        self._chunk_start = self._follow_start = i
        while i < n and not (self.done or self.error):
            begin = self._captures[0].begin - self._consumed + self._chunk_start if self._captures else i
            stop = min(n, begin + self._limit)
            if stop <= i or self._token_size > self._limit:
                self.error = f"a value in it is longer than {self._limit} characters"
            else:
                i = super().feed(text, i, stop)
        if self._following:
            self._results.append(Piece(text[self._follow_start : i], False))
        if self._captures:
            self._pieces.append(text[self._chunk_start : i])
        self._consumed += i - self._chunk_start
        return i

    def scalar(self, text: str) -> None:
        """Takes a document that is a scalar."""
        self.start()
        self._complete(self._root, self._root_location, text)

    # The scanner's hooks.

    def on_key(self, key: str) -> None:
        self._name = unescape(key)

    def on_value(self, text: str, i: int) -> None:
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
        location = (frame.location, key) if frame else self._root_location
        c = text[i]
        if c == '"' and self._follow and node.accepts:
            self._following, self._follow_start = True, i + 1
        elif node.selects or node.rooted or (node.from_end and c == "["):
            offset = i - self._chunk_start
            capture = _Capture(len(self.stack), node, location, len(self._pieces), offset, offset + self._consumed)
            self._captures.append(capture)
            self._begins += capture.begin
            self._check_size(capture.begin)
            if any(count > MAX_TIMES for _, count in node.accepts):
                self._give_up(f"a value in it is selected more than {MAX_TIMES} times")
            if self._gave_up:
                return
        if node.moves and c in "{[":
            self._frames.append(_Frame(node, location))
            self.watched_depth += 1

    def _check_size(self, offset: int) -> None:
        """Checks what the open captures hold together at an offset in the document."""
        if len(self._captures) > 1 and len(self._captures) * offset - self._begins > self._limit:
            self._give_up(f"selected values within each other have more than {self._limit} characters")

    def _give_up(self, reason: str) -> None:
        """Selects no more in this document, whose rest is only checked."""
        if reason and not self._gave_up:
            self._results.append(Fault(self.line, reason, UNEVALUATED))
        self._gave_up = True
        self.watched_depth = -1
        self._captures.clear()
        self._pieces.clear()

    def on_container_end(self) -> None:
        self._length = self._frames.pop().index + 1
        self.watched_depth -= 1

    def on_value_end(self, text: str, i: int) -> None:
        if self._following:
            self._results.append(Piece(text[self._follow_start : i - 1], True))
            self._following = False
        elif self._captures and self._captures[-1].depth == len(self.stack):
            self._check_size(i - self._chunk_start + self._consumed)
            if self._gave_up:
                return
            capture = self._captures.pop()
            self._begins -= capture.begin
            if capture.piece == len(self._pieces):
                value = text[self._chunk_start + capture.offset : i]
            else:
                head, *more = self._pieces[capture.piece :]
                value = "".join((head[capture.offset :], *more, text[self._chunk_start : i]))
            if not self._captures:
                self._pieces.clear()
            self._complete(capture.node, capture.location, value)

    def skip_watched(self, text: str, i: int, n: int) -> int:
        """Takes elements that stand whole in the text, and all that is selected in them.

        An array of scalars only is skipped if no scalar can be selected, and so are members that no path selects.
        """
        frame = self._frames[-1]
        if self.stack[-1] == "}":
            return frame.node.skip_members(text, i, n)
        if frame.index < 0 and (stop := frame.node.skip_scalars(text, i, n)) > i:
            return stop
        if self._follow or self._captures or not self.has_members:
            return i
        while (start := end(space(text, i, n))) + BULK < n and text[start] in "{[":
            stop, decoded = self._runs.take(text, start, n, self._take_elements, self._limit // self.levels.nesting)
            if decoded is None:
                break
            i = end(space(text, stop, n))
            if i == n or text[i] != ",":
                return stop
            i += 1
        return i

    def _take_elements(self, run: str) -> bool:
        frame = self._frames[-1]
        selected, count = self.levels.elements(frame.node, frame.location, frame.index + 1, run)
        self._results += selected
        frame.index += count
        return True

    # Complete values.

    def _complete(self, node: Node, location: Location, text: str) -> None:
        if node.accepts:
            value = minify(text) if text[0] in "{[" else text
            for path, count in node.accepts:
                self._results.extend([(path, location, value)] * count)
        if node.tests or node.rooted:
            self._apply_filters(node, location, text)
        if node.from_end and text[0] == "[":
            self._walk(node.at_length(self._length), location, text, self._document)

    def _apply_filters(self, node: Node, location: Location, text: str) -> None:
        """Applies the filters that test this value; at the root, walks the paths whose filters need the document."""
        try:
            value = parse_json(text)
            behind = node.behind(tuple(filter.holds(value, self._document) for _, filter in node.tests))
        except (RecursionError, ValueError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            self._results.append(Fault(self.line, f"a filter cannot evaluate a value: {reason}", UNEVALUATED))
            return
        self._walk(behind, location, text, self._document)
        if node.rooted:
            self._walk(self._automaton.node(node.rooted, {}), location, text, value)

    def _walk(self, node: Node | None, location: Location, text: str, document: object) -> None:
        """Walks a complete value with the rest of the paths."""
        if node is None:
            return
        if self._size:
            self._walked[0] += len(text)
            if self._walked[0] > MAX_WALKED + WALKS * self._size:
                self._give_up("filters after filters select too many values within each other")
                return
        walk = Extraction(self._automaton, self._results, max(len(text) + 1, self._limit), follow=False)
        walk._size, walk._walked = len(text), self._walked
        walk.line, walk._root, walk._root_location, walk._document = self.line, node, location, document
        if text[0] in "{[" and node.moves:
            walk.feed(text, 0, len(text))
        else:
            walk._complete(node, location, text)
        if walk._gave_up:  # and has reported it
            self._give_up("")
        if not (self._size or self._captures):
            self._walked[0] = 0


def parse_json(text: str) -> object:
    """Parses as Python's json does, except that an integer of more digits than Python converts becomes a float."""
    import json

    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 4000 else float(digits))


def normalized_path(location: Location | str) -> str:
    """Returns the normalized path (RFC 9535, section 2.7) of a location; a path in another dialect stays as it is."""
    if isinstance(location, str):
        return location
    steps: list[str] = []
    above: Location | None = location
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
