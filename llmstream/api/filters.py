"""The filters for Python programs, over any stream of text.

Each takes chunks of str or bytes (UTF-8), from an iterable or an async iterable, and returns a generator or an async
generator: what is certain comes out before the next chunk is read. How the text was cut makes no difference.

When a filter needs no more, or is closed, it closes its source (by its `close` or `aclose`, if it has one), so that the
producer can stop. Malformed or unfinished input raises errors.Incomplete at the end, after all that was good. To find
nothing is not an error. A byte that is not UTF-8 comes out as a lone surrogate (PEP 383).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from typing import Any, TypedDict, TypeVar, Unpack, overload

from ..core.filters import (
    Block,
    CodeBlocks,
    DrawnText,
    Field,
    Filter,
    FollowedString,
    ParsedFields,
    ParsedObjects,
    ReportCallback,
    TextFilter,
)
from ..core.json.documents import MAX_SIZE
from ..core.json.extract import parse_json
from ..core.json.fields import Fields
from ..core.json.path import compile_path
from ..core.json.segments import Path
from ..core.markdown.code import Code
from ..core.stop.conditions import UntilOptions, from_mapping
from ..core.stop.until import Until
from ..errors import UsageError

__all__ = ["Block", "Field", "code", "code_blocks", "fields", "follow", "json_objects", "pretty", "until"]

T = TypeVar("T")
Chunks = Iterable[str | bytes] | bytes
AsyncChunks = AsyncIterable[str | bytes]
Paths = str | Iterable[str]


class _JsonOptions(TypedDict, total=False):
    max_size: int
    malformed: ReportCallback | None


class ObjectsOptions(_JsonOptions, total=False):
    """The options of json_objects."""

    repair: bool
    partial: bool
    fenced: bool


class FieldsOptions(_JsonOptions, total=False):
    """The options of fields."""

    first: bool


@overload
def json_objects(chunks: Chunks, **options: Unpack[ObjectsOptions]) -> Generator[dict[str, Any]]: ...
@overload
def json_objects(chunks: AsyncChunks, **options: Unpack[ObjectsOptions]) -> AsyncGenerator[dict[str, Any]]: ...
@overload
def json_objects(chunks: Chunks, *, parse: Callable[[str], T], **options: Unpack[ObjectsOptions]) -> Generator[T]: ...
@overload
def json_objects(
    chunks: AsyncChunks, *, parse: Callable[[str], T], **options: Unpack[ObjectsOptions]
) -> AsyncGenerator[T]: ...
def json_objects(
    chunks: Chunks | AsyncChunks,
    *,
    parse: Callable[[str], Any] = parse_json,
    repair: bool = False,
    partial: bool = False,
    fenced: bool = False,
    max_size: int = MAX_SIZE,
    malformed: ReportCallback | None = None,
) -> Generator[Any] | AsyncGenerator[Any]:
    """Yields each complete top-level JSON object in the text, at the moment its last brace arrives.

    `parse` makes a value of an object's text, by default a dict as Python's json does; `parse=str` keeps the text, with
    the digits of its numbers and duplicate keys, without the white space between tokens. Exceptions of `parse` come
    through. `fenced` looks only into fenced code blocks. `repair` repairs malformed objects; `partial` closes one that
    the end cuts, and yields it as well. `max_size` bounds one object, in characters. Other objects that are malformed
    or cut are skipped: `malformed` is called with a sentence for each, or else Incomplete is raised at the end.
    """
    if not callable(parse):
        raise TypeError(f"parse must be a function, not {type(parse).__name__}")
    _check_callback(malformed)
    _check_types(bool, repair=repair, partial=partial, fenced=fenced)
    _check_count("max_size", max_size)
    return _drive(chunks, ParsedObjects(parse, malformed, max_size, repair, fenced=fenced, partial=partial))


@overload
def fields(chunks: Chunks, paths: Paths = ..., **options: Unpack[FieldsOptions]) -> Generator[Field]: ...
@overload
def fields(chunks: AsyncChunks, paths: Paths = ..., **options: Unpack[FieldsOptions]) -> AsyncGenerator[Field]: ...
def fields(
    chunks: Chunks | AsyncChunks,
    paths: Paths = "*",
    *,
    first: bool = False,
    max_size: int = MAX_SIZE,
    malformed: ReportCallback | None = None,
) -> Generator[Field] | AsyncGenerator[Field]:
    """Yields the fields at the paths in the JSON documents of the text, each as soon as it is complete.

    A path is JSONPath (RFC 9535); `title` and `items[*].name` are short for `$.title` and `$.items[*].name`. With
    `first`, only the first value of each path is yielded, and the generator ends when each path has one. `max_size`
    bounds one value, in characters; `malformed` is as in json_objects. Raises UsageError for an invalid path.
    """
    _check_callback(malformed)
    _check_types(bool, first=first)
    _check_count("max_size", max_size)
    if not isinstance(paths, Iterable):
        raise TypeError(f"paths must be a str or an iterable of str, not {type(paths).__name__}")
    compiled = [_compiled(path) for path in ((paths,) if isinstance(paths, str) else paths)]
    core = Fields(compiled, max_size)
    return _drive(chunks, ParsedFields(core, len(compiled), first, malformed))


@overload
def follow(chunks: Chunks, path: str) -> Generator[str]: ...
@overload
def follow(chunks: AsyncChunks, path: str) -> AsyncGenerator[str]: ...
def follow(chunks: Chunks | AsyncChunks, path: str) -> Generator[str] | AsyncGenerator[str]:
    """Yields the first string at the path, unescaped, piece by piece while it arrives; ends with the string.

    A value of another type is yielded as its JSON, when it is complete. Raises UsageError for an invalid path.
    """
    return _drive(chunks, FollowedString(Fields([_compiled(path)], follow=True), 1, first=True))


@overload
def code(chunks: Chunks, *, language: str | None = ..., count: int = ...) -> Generator[str]: ...
@overload
def code(chunks: AsyncChunks, *, language: str | None = ..., count: int = ...) -> AsyncGenerator[str]: ...
def code(
    chunks: Chunks | AsyncChunks, *, language: str | None = None, count: int = 1
) -> Generator[str] | AsyncGenerator[str]:
    """Yields the content of the `count`-th fenced code block, piece by piece; ends with the block.

    With `language`, only blocks in that language count; `py` and `python` are the same, and so on.
    """
    if language is not None:
        _check_types(str, language=language)
    _check_count("count", count)
    return _drive(chunks, TextFilter(Code(language, count)))


@overload
def code_blocks(chunks: Chunks, *, language: str | None = ..., max_size: int = ...) -> Generator[Block]: ...
@overload
def code_blocks(chunks: AsyncChunks, *, language: str | None = ..., max_size: int = ...) -> AsyncGenerator[Block]: ...
def code_blocks(
    chunks: Chunks | AsyncChunks, *, language: str | None = None, max_size: int = MAX_SIZE
) -> Generator[Block] | AsyncGenerator[Block]:
    """Yields each fenced code block, when its closing fence arrives; with `language`, only those in that language.

    `max_size` bounds one block, in characters.
    """
    if language is not None:
        _check_types(str, language=language)
    _check_count("max_size", max_size)
    return _drive(chunks, CodeBlocks(language, max_size))


@overload
def pretty(chunks: Chunks, *, width: int = ..., colors: bool = ...) -> Generator[str]: ...
@overload
def pretty(chunks: AsyncChunks, *, width: int = ..., colors: bool = ...) -> AsyncGenerator[str]: ...
def pretty(
    chunks: Chunks | AsyncChunks, *, width: int = 80, colors: bool = True
) -> Generator[str] | AsyncGenerator[str]:
    """Yields Markdown drawn for a terminal of `width` columns, each block when it closes, in complete lines.

    Styles are escape sequences; control characters in the text become visible. Raises UsageError without the extra
    `pretty`.
    """
    _check_count("width", width)
    _check_types(bool, colors=colors)
    try:
        drawn = DrawnText(width, colors)
    except ModuleNotFoundError as error:
        raise UsageError(f"pretty needs {error.name}: pip install 'llmstream-cli[pretty]'") from None
    return _drive(chunks, drawn)


@overload
def until(chunks: Chunks, **options: Unpack[UntilOptions]) -> Generator[str]: ...
@overload
def until(chunks: AsyncChunks, **options: Unpack[UntilOptions]) -> AsyncGenerator[str]: ...
def until(chunks: Chunks | AsyncChunks, **options: Unpack[UntilOptions]) -> Generator[str] | AsyncGenerator[str]:
    """Yields the text up to and including the first match of a condition, or all of it, piece by piece.

    The conditions are those of the command: regex, fixed, code_block, json, lines, words, chars and bytes, with
    ignore_case, count, window, exclusive and only. Raises UsageError for others, and for seconds and idle, which cannot
    be measured while the source blocks.
    """
    stop_conditions, mode = from_mapping(options)
    if options.get("seconds") or options.get("idle"):
        raise UsageError("seconds and idle do not work over a source that blocks: set a time-out on the source")
    if not stop_conditions:
        raise UsageError("no condition: pass one, for example lines=1")
    return _drive(chunks, TextFilter(Until(stop_conditions, mode)))


# Checks of arguments, since programs are not always checked for types.


def _check_types(wanted: type, **values: object) -> None:
    """Raises TypeError for an argument of another type."""
    for name, value in values.items():
        if not isinstance(value, wanted):
            raise TypeError(f"{name} must be a {wanted.__name__}, not {type(value).__name__}")


def _check_callback(malformed: object) -> None:
    """Raises TypeError for a callback that cannot be called; None is none."""
    if malformed is not None and not callable(malformed):
        raise TypeError(f"malformed must be a function, not {type(malformed).__name__}")


def _check_count(name: str, value: object) -> None:
    """Raises TypeError for an argument that is no int, UsageError for one below 1."""
    if type(value) is not int:  # True is an int otherwise
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise UsageError(f"{name} must be at least 1, not {value}")


def _compiled(path: object) -> Path:
    if not isinstance(path, str):
        raise TypeError(f"a path must be a str, not {type(path).__name__}")
    return compile_path(path)


# Drivers: for iterables, and for async iterables.


def _drive(chunks: Chunks | AsyncChunks, filter: Filter[T]) -> Generator[T] | AsyncGenerator[T]:
    if isinstance(chunks, str | bytes | bytearray | memoryview):
        return _sync((bytes(chunks) if isinstance(chunks, memoryview) else chunks,), filter)
    if isinstance(chunks, Iterable):
        return _sync(chunks, filter)
    if not isinstance(chunks, AsyncIterable):
        raise TypeError(f"the chunks must be an iterable of str or bytes, not {type(chunks).__name__}")
    return _async(chunks, filter)


def _sync(chunks: Iterable[str | bytes], filter: Filter[T]) -> Generator[T]:
    iterator = iter(chunks)
    try:
        for chunk in iterator:
            values = filter.feed(chunk)
            if filter.done:
                break
            yield from values
        else:
            values = filter.close()
    finally:
        for source in _sources(iterator, chunks):
            if hasattr(source, "close"):
                source.close()
    yield from values
    filter.judge()


async def _async(chunks: AsyncIterable[str | bytes], filter: Filter[T]) -> AsyncGenerator[T]:
    iterator = aiter(chunks)
    try:
        async for chunk in iterator:
            values = filter.feed(chunk)
            if filter.done:
                break
            for value in values:
                yield value
        else:
            values = filter.close()
    finally:
        for source in _sources(iterator, chunks):
            if close := getattr(source, "aclose", None) or getattr(source, "close", None):
                closing = close()
                if hasattr(closing, "__await__"):
                    await closing
    for value in values:
        yield value
    filter.judge()


def _sources(iterator: object, chunks: object) -> list[Any]:
    """Returns what must be closed: the iterator, and the object that it iterates over."""
    return [iterator] if iterator is chunks else [iterator, chunks]
