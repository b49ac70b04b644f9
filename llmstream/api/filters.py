"""The filters for Python programs, over any stream of text, whoever made it.

Each takes chunks of str or bytes (UTF-8), from an iterable or an async iterable, and returns a generator or an async
generator: what is certain comes out before the next chunk is asked for. How the text was cut makes no difference.

When a filter has enough, or is closed, it closes its source (`close` or `aclose`, where there is one), so that whoever
writes can stop. What was wrong is raised at the end, behind all that was good, as errors.Incomplete. That nothing was
found is no error. A byte that is not UTF-8 comes out as a lone surrogate (PEP 383).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from typing import Any, TypedDict, TypeVar, Unpack, overload

from ..core.filters import Block, Blocks, Copied, Field, Filter, Followed, ParsedFields, ParsedObjects, Reports, Told
from ..core.json.documents import MAX_SIZE
from ..core.json.extract import parsed
from ..core.json.fenced import FencedObjects
from ..core.json.fields import Fields
from ..core.json.objects import Objects
from ..core.json.path import compile_path
from ..core.markdown.code import Code
from ..core.stop.conditions import UntilOptions, from_mapping
from ..core.stop.until import Until
from ..errors import UsageError

__all__ = ["Block", "Field", "code", "code_blocks", "fields", "follow", "json_objects", "until"]

T = TypeVar("T")
Chunks = Iterable[str | bytes] | bytes
AsyncChunks = AsyncIterable[str | bytes]


class ObjectsOptions(TypedDict, total=False):
    """The options of json_objects."""

    repair: bool
    partial: bool
    fenced: bool
    max_size: int
    malformed: Told | None


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
    parse: Callable[[str], Any] = parsed,
    repair: bool = False,
    partial: bool = False,
    fenced: bool = False,
    max_size: int = MAX_SIZE,
    malformed: Told | None = None,
) -> Generator[Any] | AsyncGenerator[Any]:
    """Each complete top-level JSON object in the text, at the moment its last brace arrives.

    `parse` makes a value of an object's text, by default a dict as Python's json does; `parse=str` keeps the text, with
    the digits of its numbers and duplicate keys, less the white space between tokens. What it raises comes through.
    `fenced` looks only into fenced code blocks. `repair` mends malformed objects, `partial` closes one that the end
    cuts and gives it as well. `max_size` bounds one object, in characters. What is not whole is skipped, and told to
    `malformed`, a sentence each, or else raised at the end.
    """
    core = FencedObjects(max_size, loose=repair) if fenced else Objects(max_size, loose=repair)
    return _drive(chunks, ParsedObjects(core, parse, repair, partial, Reports(malformed)))


@overload
def fields(
    chunks: Chunks,
    paths: str | Iterable[str] = ...,
    *,
    first: bool = ...,
    max_size: int = ...,
    malformed: Told | None = ...,
) -> Generator[Field]: ...
@overload
def fields(
    chunks: AsyncChunks,
    paths: str | Iterable[str] = ...,
    *,
    first: bool = ...,
    max_size: int = ...,
    malformed: Told | None = ...,
) -> AsyncGenerator[Field]: ...
def fields(
    chunks: Chunks | AsyncChunks,
    paths: str | Iterable[str] = "*",
    *,
    first: bool = False,
    max_size: int = MAX_SIZE,
    malformed: Told | None = None,
) -> Generator[Field] | AsyncGenerator[Field]:
    """The fields at the paths in the JSON documents of the text, each as soon as it is complete.

    A path is JSONPath (RFC 9535); `title` and `items[*].name` are short for `$.title` and `$.items[*].name`. `first`
    gives the first value of each path, and ends with the last of these. `max_size` bounds one value, in characters;
    `malformed` is as in json_objects. Raises UsageError for a path that is none.
    """
    compiled = [compile_path(path) for path in ((paths,) if isinstance(paths, str) else paths)]
    core = Fields(compiled, max_size)
    return _drive(chunks, ParsedFields(core, len(compiled), first, Reports(malformed)))


@overload
def follow(chunks: Chunks, path: str) -> Generator[str]: ...
@overload
def follow(chunks: AsyncChunks, path: str) -> AsyncGenerator[str]: ...
def follow(chunks: Chunks | AsyncChunks, path: str) -> Generator[str] | AsyncGenerator[str]:
    """The first string at the path, unescaped, piece by piece while it arrives. It ends with the string.

    A value that is no string comes as its JSON, when it is complete.
    """
    return _drive(chunks, Followed(Fields([compile_path(path)], follow=True), Reports(None)))


@overload
def code(chunks: Chunks, *, language: str | None = ..., count: int = ...) -> Generator[str]: ...
@overload
def code(chunks: AsyncChunks, *, language: str | None = ..., count: int = ...) -> AsyncGenerator[str]: ...
def code(
    chunks: Chunks | AsyncChunks, *, language: str | None = None, count: int = 1
) -> Generator[str] | AsyncGenerator[str]:
    """What stands inside the `count`-th fenced code block (in the language), piece by piece. It ends with the block."""
    if count < 1:
        raise UsageError(f"count is to be 1 or more, not {count}")
    return _drive(chunks, Copied(Code(language, count)))


@overload
def code_blocks(chunks: Chunks, *, language: str | None = ..., max_size: int = ...) -> Generator[Block]: ...
@overload
def code_blocks(chunks: AsyncChunks, *, language: str | None = ..., max_size: int = ...) -> AsyncGenerator[Block]: ...
def code_blocks(
    chunks: Chunks | AsyncChunks, *, language: str | None = None, max_size: int = MAX_SIZE
) -> Generator[Block] | AsyncGenerator[Block]:
    """Each fenced code block (in the language), whole, when its closing fence arrives."""
    return _drive(chunks, Blocks(language, max_size, Reports(None)))


@overload
def until(chunks: Chunks, **conditions: Unpack[UntilOptions]) -> Generator[str]: ...
@overload
def until(chunks: AsyncChunks, **conditions: Unpack[UntilOptions]) -> AsyncGenerator[str]: ...
def until(chunks: Chunks | AsyncChunks, **conditions: Unpack[UntilOptions]) -> Generator[str] | AsyncGenerator[str]:
    """The text up to and including the first match of a condition, or all of it, piece by piece.

    The conditions are those of the command: regex, fixed, code_block, json, lines, words, chars and bytes, with
    ignore_case, count, window, exclusive and only. Raises UsageError for what is none, and for seconds and idle, which
    cannot be kept while the source is waited for.
    """
    made, mode = from_mapping(conditions)
    if conditions.get("seconds") or conditions.get("idle"):
        raise UsageError("seconds and idle cannot be kept while the source is waited for: set its own time-out")
    if not made:
        raise UsageError("no condition: say until when, for example lines=1")
    return _drive(chunks, Copied(Until(made, mode)))


# The two ways to be driven.


def _drive(chunks: Chunks | AsyncChunks, core: Filter[T]) -> Generator[T] | AsyncGenerator[T]:
    if isinstance(chunks, str | bytes):
        return _sync((chunks,), core)
    return _sync(chunks, core) if isinstance(chunks, Iterable) else _async(chunks, core)


def _sync(chunks: Iterable[str | bytes], core: Filter[T]) -> Generator[T]:
    iterator = iter(chunks)
    try:
        for chunk in iterator:
            values = core.feed(chunk)
            if core.done:
                break
            yield from values
        else:
            values = core.close()
    finally:
        for source in _sources(iterator, chunks):
            if hasattr(source, "close"):
                source.close()
    yield from values
    core.judge()


async def _async(chunks: AsyncIterable[str | bytes], core: Filter[T]) -> AsyncGenerator[T]:
    iterator = aiter(chunks)
    try:
        async for chunk in iterator:
            values = core.feed(chunk)
            if core.done:
                break
            for value in values:
                yield value
        else:
            values = core.close()
    finally:
        for source in _sources(iterator, chunks):
            if close := getattr(source, "aclose", None) or getattr(source, "close", None):
                closing = close()
                if hasattr(closing, "__await__"):
                    await closing
    for value in values:
        yield value
    core.judge()


def _sources(iterator: object, chunks: object) -> list[Any]:
    """What is to be closed: an iterator, and what it was made of."""
    return [iterator] if iterator is chunks else [iterator, chunks]
