"""The filters of the library: they take chunks of str or bytes and return values.

`api.filters` drives them over a source, as Filter describes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ..errors import Incomplete, NotFound
from .json.documents import UNFINISHED, Fault
from .json.extract import Match, Piece, normalized_path, parse_json
from .json.fields import Fields, FieldsFilter, plain_text
from .json.objects import REPAIRED, SKIPPED, ObjectsFilter
from .markdown.code import Code, language
from .markdown.fences import FenceEvent, Fences, Opened
from .stop.until import Until
from .surrogates import REPLACEMENT, Joiner
from .text import Utf8Decoder, original

T = TypeVar("T")
Item = TypeVar("Item")
T_co = TypeVar("T_co", covariant=True)
Chunk = str | bytes
ReportCallback = Callable[[str], object]  # is called with one sentence


class Filter(Protocol[T_co]):
    """A filter without I/O: chunks in, values out.

    A driver calls `feed` with each chunk until the source ends or `done` is true, at a source's end `close`, and then
    `judge`. It takes the values that a call returns before it makes the next call, since they may be computed lazily.
    """

    @property
    def done(self) -> bool:
        """Whether the filter needs no more chunks; the driver then closes the source and calls `judge`."""

    def feed(self, chunk: Chunk) -> Iterable[T_co]:
        """Takes a chunk; returns, in order, the values that are certain now. Raises TypeError for other types."""

    def close(self) -> Iterable[T_co]:
        """Ends the input; returns the values that its end makes certain."""

    def judge(self) -> None:
        """Raises Incomplete if a part of the input was malformed, unfinished or too long."""


class Field(NamedTuple):
    """A value in a JSON document, and its place.

    `path` is the normalized path (RFC 9535, section 2.7), such as `$['items'][0]['name']`. `value` is what json.loads
    makes of the text: a str, int, float, bool, None, list or dict. An integer of 4000 or more digits is a float.
    """

    path: str
    value: Any


class Block(NamedTuple):
    """A fenced code block. `language` is in lower case, aliases such as `py` spelled out; "" if none is named."""

    language: str
    text: str


class ChunkDecoder:
    """Makes text, or bytes, of chunks; joins the parts of a character, or of a surrogate pair, that was cut."""

    def __init__(self) -> None:
        self._decoder, self._joiner = Utf8Decoder(), Joiner()

    def text(self, chunk: Chunk) -> str:
        """Returns the characters that chunk completes."""
        if isinstance(chunk, str):
            return self._joiner.feed(0, chunk)
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise TypeError(f"a chunk must be str or bytes, not {type(chunk).__name__}")
        return self._decoder.feed(bytes(chunk))

    def data(self, chunk: Chunk) -> bytes:
        """Returns the bytes of chunk; a str without the half of a surrogate pair at its end."""
        return chunk if isinstance(chunk, bytes) else original(self.text(chunk))

    def close(self) -> str:
        """Ends the input; returns the replacement for half a character at its end."""
        return REPLACEMENT if self._joiner.close() else self._decoder.close()


class Reports:
    """Passes each report to the callback if there is one, else raises the first at the end, with the others' number."""

    def __init__(self, callback: ReportCallback | None) -> None:
        self._callback = callback
        self._first = ""
        self._others = 0

    def add(self, report: str) -> None:
        """Takes a report of one sentence."""
        if self._callback is not None:
            self._callback(report)
        elif self._first:
            self._others += 1
        else:
            self._first = report

    def judge(self) -> None:
        """Raises Incomplete with the first report, if there is one."""
        if self._first:
            raise Incomplete(self._first + (f" (and {self._others} more)" if self._others else ""))


class _Core(Protocol[T_co]):
    """What a filter of `core.json` is: text in, items out."""

    @property
    def done(self) -> bool: ...

    def feed(self, text: str) -> Iterable[T_co]: ...

    def close(self) -> Iterable[T_co]: ...


class _JsonFilter(Generic[Item, T]):
    """Base of the filters over JSON: a subclass makes values of the core's items, in `_values`."""

    _values: Callable[[Iterable[Item]], Iterable[T]]

    def __init__(self, core: _Core[Item], reports: Reports) -> None:
        self._chunks, self._core, self._reports = ChunkDecoder(), core, reports

    @property
    def done(self) -> bool:
        return self._core.done

    def feed(self, chunk: Chunk) -> Iterable[T]:
        return self._values(self._core.feed(self._chunks.text(chunk)))

    def close(self) -> Iterable[T]:
        return self._values(self._core.close())

    def judge(self) -> None:
        self._reports.judge()


class ParsedObjects(_JsonFilter[str, T]):
    """JSON objects, each as `parse` makes it of its text; the options are those of ObjectsFilter."""

    def __init__(
        self, parse: Callable[[str], T], max_size: int, fenced: bool, repair: bool, partial: bool, reports: Reports
    ) -> None:
        super().__init__(ObjectsFilter(max_size, fenced, repair, partial, self._report), reports)
        self._parse, self._repair = parse, repair

    def _values(self, items: Iterable[str]) -> Iterator[T]:
        for text in items:
            try:
                yield self._parse(text)
            except RecursionError:
                self._reports.add(f"an object is nested too deeply to be parsed: {text[:40]}")

    def _report(self, fault: Fault, outcome: str) -> None:
        if outcome == REPAIRED:
            return
        hint = ""
        if outcome == SKIPPED and not self._repair:
            hint = ": partial=True closes it" if fault.kind == UNFINISHED else ": repair=True repairs what it can"
        self._reports.add(fault.report("object") + hint)


class ParsedFields(_JsonFilter[Match | Piece, Field]):
    """The values at the core's paths; with `first`, the first one of each path."""

    def __init__(self, core: Fields, paths: int, first: bool, reports: Reports) -> None:
        super().__init__(FieldsFilter(core, paths, first, lambda fault: reports.add(fault.report("document"))), reports)

    def _values(self, items: Iterable[Match | Piece]) -> list[Field]:
        fields: list[Field] = []
        for item in items:
            assert isinstance(item, tuple)  # the core does not follow
            path = normalized_path(item[1])
            try:
                fields.append(Field(path, parse_json(item[2])))
            except RecursionError:
                self._reports.add(f"the value at {path[:200]} is nested too deeply to be parsed")
        return fields


class FollowedString(_JsonFilter[Match | Piece, str]):
    """The first string at the core's path, piece by piece; a value of another type as its JSON."""

    def __init__(self, core: Fields, reports: Reports) -> None:
        super().__init__(FieldsFilter(core, 1, True, lambda fault: reports.add(fault.report("document"))), reports)

    def _values(self, items: Iterable[Match | Piece]) -> list[str]:
        texts = [item.text if isinstance(item, Piece) else plain_text(item[2]) for item in items]
        return [text for text in texts if text]


class TextFilter:
    """The text that a core of bytes lets through."""

    def __init__(self, core: Code | Until) -> None:
        self._core = core
        self._chunks, self._decoder = ChunkDecoder(), Utf8Decoder()

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
            with suppress(NotFound):  # the caller sees that there is no text
                self._core.judge()

    def _pieces(self, text: str) -> list[str]:
        return [text] if text else []


class CodeBlocks:
    """Complete fenced code blocks, in a language or any (None); `max_size` bounds one, in characters."""

    done = False

    def __init__(self, name: str | None, max_size: int, reports: Reports) -> None:
        self._only = None if name is None else language(name)
        self._max_size, self._reports = max_size, reports
        self._chunks, self._fences = ChunkDecoder(), Fences()
        self._language = ""
        self._content: list[str] | None = None  # of the open block; None outside of blocks and in others
        self._size = 0  # characters in it

    def feed(self, chunk: Chunk) -> list[Block]:
        return self._blocks(self._fences.feed(self._chunks.text(chunk)))

    def close(self) -> list[Block]:
        return self._blocks(self._fences.feed(self._chunks.close()) + self._fences.close())

    def judge(self) -> None:
        self._reports.judge()

    def _blocks(self, events: list[FenceEvent]) -> list[Block]:
        blocks: list[Block] = []
        for event in events:
            if isinstance(event, Opened):
                self._language = language(event.info)
                self._content, self._size = [] if self._only in (None, self._language) else None, 0
            elif self._content is None:
                continue
            elif isinstance(event, str):
                self._content.append(event)
                self._size += len(event)
                if self._size > self._max_size:
                    self._content = None
                    self._reports.add(f"a code block is longer than {self._max_size} characters")
            else:
                if event.whole:
                    blocks.append(Block(self._language, "".join(self._content)))
                else:
                    self._reports.add("the input ended before the code block was closed")
                self._content = None
        return blocks
