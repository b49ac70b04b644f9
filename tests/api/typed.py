"""What type checkers see of the package: mypy checks this file with it (pyproject.toml); it is never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

import pydantic

import llmstream


class Model(pydantic.BaseModel):
    x: int


@dataclass
class Data:
    x: int


class Named(TypedDict):
    x: int


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


def streams(pieces: list[str]) -> None:
    with llmstream.stream("Hi", "openai/gpt-5.5", max_tokens=9, until={"lines": 3}, on_text=pieces.append) as answer:
        assert_type(answer, llmstream.Stream)
        for event in answer:
            assert_type(event, llmstream.Event)
            if isinstance(event, llmstream.Text):
                assert_type(event.text, str)
        assert_type(answer.text, Iterator[str])
        assert_type(answer.batches(), Iterator[list[llmstream.Event]])
        assert_type(answer.read(), str)
    assert_type(answer.finish, llmstream.Finish | None)
    assert_type(answer.usage, llmstream.Usage | None)
    assert_type(llmstream.code(answer.text), Generator[str])
    assert_type(llmstream.stream("Hi", schema=Model), llmstream.Stream)
    assert_type(llmstream.stream("Hi", schema_multi=Data), llmstream.Stream)
    assert_type(llmstream.stream("Hi", schema=Named), llmstream.Stream)
    llmstream.stream("Hi", schema=Model(x=1))  # type: ignore[arg-type]
    llmstream.stream("Hi", max_token=9)  # type: ignore[call-arg]
    llmstream.stream("Hi", until={"line": 3}, seed="x")  # type: ignore[arg-type]


async def asynchronous_streams() -> None:
    async with llmstream.astream("Hi", stop=["a", "b"], options={"top_p": 0.5}, schema=Data) as answer:
        async for event in answer:
            assert_type(event, llmstream.Event)
        assert_type(answer.text, AsyncIterator[str])
        assert_type(await answer.read(), str)
        assert_type(llmstream.json_objects(answer.text), AsyncGenerator[dict[str, Any]])
