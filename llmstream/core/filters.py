"""The filters' cores as Python programs see them: chunks of str or bytes in, values out.

`feed` and `close` return what is certain, in order; it is to be taken before the next call. `judge` raises, behind all
that, what was wrong. Once `done` is true nothing more is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ..errors import Incomplete, NotFound
from .json.documents import UNFINISHED, Fault
from .json.extract import Match, Piece, normalized, parsed
from .json.fenced import FencedObjects
from .json.fields import Fields
from .json.objects import Objects
from .json.strings import Unescaper, unescaped
from .markdown.code import Code, language
from .markdown.fences import FenceEvent, Fences, Opened
from .stop.until import Until
from .surrogates import REPLACEMENT, Joiner
from .text import Decoder, original

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Chunk = str | bytes
Told = Callable[[str], object]


class Filter(Protocol[T_co]):
    @property
    def done(self) -> bool: ...

    def feed(self, chunk: Chunk) -> Iterable[T_co]: ...

    def close(self) -> Iterable[T_co]: ...

    def judge(self) -> None: ...


class Field(NamedTuple):
    """A value, and where it stands: its normalized path (RFC 9535, section 2.7)."""

    path: str
    value: Any


class Block(NamedTuple):
    """What a fenced code block holds. The language is in lower case, `py` being python; "" where none is named."""

    language: str
    text: str


class Chunks:
    """Joins what cuts have parted: bytes of a character, halves of a pair of surrogates."""

    def __init__(self) -> None:
        self._decoder, self._joiner = Decoder(), Joiner()

    def text(self, chunk: Chunk) -> str:
        if isinstance(chunk, str):
            return self._joiner.feed(0, chunk)
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise TypeError(f"a chunk is to be str or bytes, not {type(chunk).__name__}")
        return self._decoder.feed(bytes(chunk))

    def data(self, chunk: Chunk) -> bytes:
        return chunk if isinstance(chunk, bytes) else original(self.text(chunk))

    def close(self) -> str:
        """What half a character at the end leaves."""
        return REPLACEMENT if self._joiner.close() else self._decoder.close()


class Reports:
    """What was not whole: told one by one to who wants it, else raised at the end."""

    def __init__(self, tell: Told | None) -> None:
        self._tell = tell
        self._first = ""
        self._more = 0

    def add(self, report: str) -> None:
        if self._tell is not None:
            self._tell(report)
        elif self._first:
            self._more += 1
        else:
            self._first = report

    def judge(self) -> None:
        if self._first:
            raise Incomplete(self._first + (f" (and {self._more} more)" if self._more else ""))


class ParsedObjects(Generic[T]):
    """JSON objects, each as `parse` makes it of its text."""

    done = False

    def __init__(
        self, core: Objects | FencedObjects, parse: Callable[[str], T], repair: bool, partial: bool, reports: Reports
    ) -> None:
        self._core, self._parse, self._reports = core, parse, reports
        self._repairs, self._closes = repair, partial
        self._chunks = Chunks()

    def feed(self, chunk: Chunk) -> Iterator[T]:
        return self._values(self._core.feed(self._chunks.text(chunk)))

    def close(self) -> Iterator[T]:
        return self._values(self._core.close())

    def judge(self) -> None:
        self._reports.judge()

    def _values(self, items: list[str | Fault]) -> Iterator[T]:
        for item in items:
            if text := item if isinstance(item, str) else self._judged(item):
                try:
                    yield self._parse(text)
                except RecursionError:
                    self._reports.add(f"an object is nested too deeply to be parsed: {text[:40]}")

    def _judged(self, fault: Fault) -> str:
        """What can be given for an object that is not whole; else it is reported."""
        from .json.mend import closed, mended

        what = f"line {fault.line}: {fault.kind} object: {fault.why}"
        if fault.kind == UNFINISHED and self._closes:
            self._reports.add(what)
            return closed(fault.text)
        if self._repairs and (text := mended(fault.text)):
            return text
        way = "partial=True gives it closed" if fault.kind == UNFINISHED else "repair=True mends what it can"
        self._reports.add(what if self._repairs else f"{what}: {way}")
        return ""


class ParsedFields:
    """Fields; with `first`, the first one of each path."""

    def __init__(self, core: Fields, paths: int, first: bool, reports: Reports) -> None:
        self._core, self._first, self._reports = core, first, reports
        self._missing = set(range(paths))
        self._chunks = Chunks()

    @property
    def done(self) -> bool:
        return self._first and not self._missing

    def feed(self, chunk: Chunk) -> list[Field]:
        return self._take(self._core.feed(self._chunks.text(chunk)))

    def close(self) -> list[Field]:
        return self._take(self._core.close())

    def judge(self) -> None:
        self._reports.judge()

    def _take(self, found: list[Match | Piece | Fault]) -> list[Field]:
        fields: list[Field] = []
        for item in found:
            if self.done:
                break
            if isinstance(item, Fault):
                self._reports.add(f"line {item.line}: {item.kind} document: {item.why}")
            elif isinstance(item, tuple) and not (self._first and item[0] not in self._missing):
                self._missing.discard(item[0])
                path = item[1] if isinstance(item[1], str) else normalized(item[1])
                try:
                    fields.append(Field(path, parsed(item[2])))
                except RecursionError:
                    self._reports.add(f"the value at {path[:200]} is nested too deeply to be parsed")
        return fields


class Followed:
    """The first string at a path, piece by piece; a value that is none comes as its JSON."""

    def __init__(self, core: Fields, reports: Reports) -> None:
        self._core, self._reports = core, reports
        self._unescaper = Unescaper()
        self._chunks = Chunks()
        self._begun = self.done = False

    def feed(self, chunk: Chunk) -> list[str]:
        return self._take(self._core.feed(self._chunks.text(chunk)))

    def close(self) -> list[str]:
        return self._take(self._core.close())

    def judge(self) -> None:
        self._reports.judge()

    def _take(self, found: list[Match | Piece | Fault]) -> list[str]:
        pieces: list[str] = []
        for item in found:
            if self.done:
                break
            if isinstance(item, Fault):
                self._reports.add(f"line {item.line}: {item.kind} document: {item.why}")
                self.done = self._begun
            elif isinstance(item, Piece):
                self._begun, self.done = True, item.ends
                pieces.append(self._unescaper.feed(item.text) + (self._unescaper.close() if item.ends else ""))
            else:
                self.done = True
                value = item[2]
                pieces.append(unescaped(value[1:-1]) if value[0] == '"' else value)
        return [piece for piece in pieces if piece]


class Copied:
    """The pieces of text that a core of bytes lets through."""

    def __init__(self, core: Code | Until) -> None:
        self._core = core
        self._chunks, self._decoder = Chunks(), Decoder()

    @property
    def done(self) -> bool:
        return self._core.done if isinstance(self._core, Code) else self._core.met

    def feed(self, chunk: Chunk) -> list[str]:
        return self._pieces(self._decoder.feed(self._core.feed(self._chunks.data(chunk))))

    def close(self) -> list[str]:
        data = self._core.feed(original(self._chunks.close())) + self._core.close()
        return self._pieces(self._decoder.feed(data) + self._decoder.close())

    def judge(self) -> None:
        if isinstance(self._core, Code):
            with suppress(NotFound):  # who gets nothing sees that
                self._core.judge()

    def _pieces(self, text: str) -> list[str]:
        return [text] if text else []


class Blocks:
    """Fenced code blocks, whole; `limit` bounds one in characters."""

    done = False

    def __init__(self, wanted: str | None, limit: int, reports: Reports) -> None:
        self._wanted = None if wanted is None else language(wanted)
        self._limit, self._reports = limit, reports
        self._chunks, self._fences = Chunks(), Fences()
        self._language = ""
        self._content: list[str] | None = None  # of the block that is open, where it is wanted
        self._size = 0

    def feed(self, chunk: Chunk) -> list[Block]:
        return self._take(self._fences.feed(self._chunks.text(chunk)))

    def close(self) -> list[Block]:
        return self._take(self._fences.feed(self._chunks.close()) + self._fences.close())

    def judge(self) -> None:
        self._reports.judge()

    def _take(self, events: list[FenceEvent]) -> list[Block]:
        blocks: list[Block] = []
        for event in events:
            if isinstance(event, Opened):
                self._language = language(event.info)
                self._content, self._size = [] if self._wanted in (None, self._language) else None, 0
            elif self._content is None:
                continue
            elif isinstance(event, str):
                self._content.append(event)
                self._size += len(event)
                if self._size > self._limit:
                    self._content = None
                    self._reports.add(f"a code block is longer than {self._limit} characters")
            else:
                if event.whole:
                    blocks.append(Block(self._language, "".join(self._content)))
                else:
                    self._reports.add("the input ended before the code block was closed")
                self._content = None
        return blocks
