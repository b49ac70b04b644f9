"""What type checkers see of the package: mypy checks this file with it (pyproject.toml); it is never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, assert_type

import llmstream


def synchronous(chunks: Iterator[str], raw: list[bytes]) -> None:
    assert_type(llmstream.json_objects(chunks), Generator[dict[str, Any]])
    assert_type(llmstream.json_objects(raw, repair=True, malformed=print), Generator[dict[str, Any]])
    assert_type(llmstream.json_objects(chunks, parse=len, fenced=True), Generator[int])
    assert_type(llmstream.fields(chunks, ["a", "b"], first=True), Generator[llmstream.Field])
    assert_type(llmstream.follow(raw, "a"), Generator[str])
    assert_type(llmstream.code(chunks, language="python"), Generator[str])
    assert_type(llmstream.code_blocks(chunks), Generator[llmstream.Block])
    assert_type(llmstream.until(chunks, regex=["a", "b"], lines=3, exclusive=True), Generator[str])
    llmstream.until(chunks, line=3)  # type: ignore[call-overload]
    llmstream.code([1])  # type: ignore[list-item]
    for field in llmstream.fields("{}"):
        assert_type(field.path, str)


async def asynchronous(chunks: AsyncIterator[str], raw: AsyncIterator[bytes]) -> None:
    assert_type(llmstream.json_objects(chunks), AsyncGenerator[dict[str, Any]])
    assert_type(llmstream.json_objects(chunks, parse=str, partial=True), AsyncGenerator[str])
    assert_type(llmstream.fields(raw), AsyncGenerator[llmstream.Field])
    assert_type(llmstream.follow(raw, "a"), AsyncGenerator[str])
    assert_type(llmstream.code(chunks, count=2), AsyncGenerator[str])
    assert_type(llmstream.code_blocks(raw, max_size=9), AsyncGenerator[llmstream.Block])
    assert_type(llmstream.until(chunks, json=True), AsyncGenerator[str])
    async for block in llmstream.code_blocks(chunks):
        assert_type(block.language, str)
