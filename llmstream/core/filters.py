"""The filters of the library: they take chunks of str or bytes and return values.

`api.filters` drives them over a source, as Filter describes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import Incomplete, NotFound
from .json.automaton import Match
from .json.documents import UNFINISHED, Fault
from .json.extract import Piece, normalized_path, parse_json
from .json.fields import Fields, FieldsFilter, plain_text
from .json.objects_filter import REPAIRED, SKIPPED, ObjectsFilter
from .markdown.code import Code, language
from .markdown.fences import FenceEvent, Fences, Opened
from .stop.until import Until
from .surrogates import REPLACEMENT, Joiner
from .text import BOM, InputDecoder, Utf8Decoder, original

T = TypeVar("T")
Chunk = str | bytes
ReportCallback = Callable[[str], object]  # is called with one sentence


class Field(NamedTuple):
    """A value in a JSON document, and its place.

    `path` is the normalized path (RFC 9535, section 2.7), such as `$['items'][0]['name']`. `value` is what json.loads
    makes of the text: a str, int, float, bool, None, list or dict. An integer of 4000 or more digits is a float.
    """

    path: str
    value: Any


class Block(NamedTuple):
    """A fenced code block. `language` is the info string's first word, as written; "" if there is none."""

    language: str
    text: str


class ChunkDecoder:
    """Makes text, or bytes, of chunks; joins the parts of a character, or of a surrogate pair, that was cut."""

    def __init__(self) -> None:
        self._decoder, self._joiner = InputDecoder(), Joiner()
        self._at_start = True

    def text(self, chunk: Chunk) -> str:
        """Returns the characters that chunk completes."""
        if isinstance(chunk, str):
            text = self._joiner.feed(0, chunk)
            if self._at_start and text:
                self._at_start = False
                return text.removeprefix(BOM)
            return text
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise TypeError(f"a chunk must be str or bytes, not {type(chunk).__name__}")
        return self._decoder.feed(bytes(chunk))

    def data(self, chunk: Chunk) -> bytes:
        """Returns the bytes of chunk; a str without the half of a surrogate pair at its end."""
        return chunk if isinstance(chunk, bytes) else original(self.text(chunk))

    def close(self) -> str:
        """Ends the input; returns the replacement for half a character at its end."""
        return REPLACEMENT if self._joiner.close() else self._decoder.close()


class Filter(Generic[T]):
    """A filter without I/O: chunks in, values out. A subclass makes values of the core's items, in `_values`.

    A driver calls `feed` with each chunk until the source ends or `done` is true, at a source's end `close`, and then
    `judge`. It takes the values that a call returns before it makes the next call, since they may be computed lazily.
    `on_report` is called with a sentence for each part of the input that is malformed, unfinished or too long.
    """

    def __init__(self, core: Any, on_report: ReportCallback | None = None) -> None:
        self._chunks, self._core, self._on_report = ChunkDecoder(), core, on_report
        self._first_report = ""
        self._more_reports = 0

    def _values(self, items: Any) -> Iterable[T]:
        raise NotImplementedError

    @property
    def done(self) -> bool:
        """Whether the filter needs no more chunks; the driver then closes the source and calls `judge`."""
        return False

    def feed(self, chunk: Chunk) -> Iterable[T]:
        """Takes a chunk; returns, in order, the values that are certain now. Raises TypeError for other types."""
        return self._values(self._core.feed(self._chunks.text(chunk)))

    def close(self) -> Iterable[T]:
        """Ends the input; returns the values that its end makes certain."""
        return self._values(self._core.close())

    def judge(self) -> None:
        """Raises Incomplete with the first report and the number of the others, if no callback took them."""
        if self._first_report:
            raise Incomplete(self._first_report + (f" (and {self._more_reports} more)" if self._more_reports else ""))

    def _report(self, report: str) -> None:
        if self._on_report is not None:
            self._on_report(report)
        elif self._first_report:
            self._more_reports += 1
        else:
            self._first_report = report


class ParsedObjects(Filter[T]):
    """JSON objects, each as `parse` makes it of its text; the other options are those of ObjectsFilter."""

    def __init__(
        self, parse: Callable[[str], T], on_report: ReportCallback | None, max_size: int, repair: bool, **options: bool
    ) -> None:
        super().__init__(ObjectsFilter(max_size, on_fault=self._report_fault, repair=repair, **options), on_report)
        self._parse, self._repair = parse, repair

    def _values(self, items: Iterable[str]) -> Iterator[T]:
        for text in items:
            try:
                yield self._parse(text)
            except RecursionError:
                self._report(f"an object is nested too deeply to be parsed: {text[:40]}")

    def _report_fault(self, fault: Fault, outcome: str) -> None:
        if outcome == REPAIRED:
            return
        hint = ""
        if outcome == SKIPPED and not self._repair:
            hint = ": partial=True closes it" if fault.kind == UNFINISHED else ": repair=True repairs what it can"
        self._report(fault.report("object") + hint)


class _FieldsFilter(Filter[T]):
    """Base of the filters over the values at paths; with `first`, each path has its first value only."""

    def __init__(self, core: Fields, paths: int, first: bool, on_report: ReportCallback | None = None) -> None:
        report = self._report
        super().__init__(FieldsFilter(core, paths, first, lambda fault: report(fault.report("document"))), on_report)

    @property
    def done(self) -> bool:
        return bool(self._core.done)


class ParsedFields(_FieldsFilter[Field]):
    """The values at the paths, parsed."""

    def _values(self, items: list[Match]) -> list[Field]:
        fields: list[Field] = []
        for _, location, text in items:
            path = normalized_path(location)
            try:
                fields.append(Field(path, parse_json(text)))
            except RecursionError:
                self._report(f"the value at {path[:200]} is nested too deeply to be parsed")
        return fields


class FollowedString(_FieldsFilter[str]):
    """The first string at the core's path, piece by piece; a value of another type as its JSON."""

    def _values(self, items: list[Match | Piece]) -> list[str]:
        texts = [item.text if isinstance(item, Piece) else plain_text(item[2]) for item in items]
        return [text for text in texts if text]


class TextFilter(Filter[str]):
    """The text that a core of bytes lets through."""

    def __init__(self, core: Code | Until) -> None:
        super().__init__(core)
        self._decoder = Utf8Decoder()

    @property
    def done(self) -> bool:
        return self._core.done if isinstance(self._core, Code) else bool(self._core.met)

    def feed(self, chunk: Chunk) -> list[str]:
        return self._values(self._decoder.feed(self._core.feed(self._chunks.data(chunk))))

    def close(self) -> list[str]:
        data = self._core.feed(original(self._chunks.close())) + self._core.close()
        return self._values(self._decoder.feed(data) + self._decoder.close())

    def judge(self) -> None:
        if isinstance(self._core, Code):
            with suppress(NotFound):  # the caller sees that there is no text
                self._core.judge()

    def _values(self, text: str) -> list[str]:
        return [text] if text else []


class DrawnText(Filter[str]):
    """Markdown as lines for a terminal, each block as it closes. Raises ModuleNotFoundError without the extra."""

    def __init__(self, width: int, colors: bool) -> None:
        from .pretty.display import Document

        super().__init__(Document(width, colors))

    def feed(self, chunk: Chunk) -> list[str]:
        return self._values(self._core.feed(self._chunks.data(chunk)))

    def close(self) -> list[str]:
        return self._values(self._core.feed(original(self._chunks.close())) + self._core.close())

    def _values(self, rows: list[str]) -> list[str]:
        return ["".join(f"{row}\n" for row in rows)] if rows else []


class CodeBlocks(Filter[Block]):
    """Complete fenced code blocks, in a language or any (None); `max_size` bounds one, in characters."""

    def __init__(self, name: str | None, max_size: int) -> None:
        super().__init__(Fences())
        self._only = None if name is None else language(name)
        self._max_size = max_size
        self._language = ""
        self._content: list[str] | None = None  # of the open block; None outside of blocks and in others
        self._size = 0  # characters in it

    def close(self) -> list[Block]:
        return self._values(self._core.feed(self._chunks.close()) + self._core.close())

    def _values(self, events: list[FenceEvent]) -> list[Block]:
        blocks: list[Block] = []
        for event in events:
            if isinstance(event, Opened):
                self._language = (event.info.split(None, 1) or [""])[0]
                self._content, self._size = [] if self._only in (None, language(event.info)) else None, 0
            elif self._content is None:
                continue
            elif isinstance(event, str):
                self._content.append(event)
                self._size += len(event)
                if self._size > self._max_size:
                    self._content = None
                    self._report(f"a code block is longer than {self._max_size} characters")
            else:
                if event.whole:
                    blocks.append(Block(self._language, "".join(self._content)))
                else:
                    self._report("the input ended before the code block was closed")
                self._content = None
        return blocks
