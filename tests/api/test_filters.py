"""The filters for Python programs: any cut, both kinds of stream, and a source that is closed in time."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import anthropic
import openai
import pytest

import llmstream
from llmstream.core.stop.conditions import UntilOptions
from llmstream.errors import Incomplete, UsageError

from ..conftest import environment
from ..support.chunks import same
from ..support.limits import WAIT_S
from ..support.loopback import Provider, chat_text, frame, head, messages


class Source:
    """Yields chunks one by one; counts the reads and the calls of close."""

    def __init__(self, chunks: list) -> None:
        self.chunks = list(chunks)
        self.reads = 0
        self.closed = 0

    def _next(self, end: type[Exception]) -> object:
        if self.reads == len(self.chunks):
            raise end
        self.reads += 1
        return self.chunks[self.reads - 1]


class Sync(Source):
    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> object:
        return self._next(StopIteration)

    def close(self) -> None:
        self.closed += 1


class Async(Source):
    """With `close`, as the SDKs have it; an asynchronous generator has `aclose`."""

    def __aiter__(self) -> AsyncIterator:
        return self

    async def __anext__(self) -> object:
        await asyncio.sleep(0)
        return self._next(StopAsyncIteration)

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


def through(filter, chunks: list) -> tuple[list, str]:
    """The values and the error, or ""; checks that both kinds of stream give the same, and that each is closed once."""
    values, error, source = [], "", Sync(chunks)
    try:
        for value in filter(source):
            values.append(value)
    except Incomplete as raised:
        error = str(raised)
    assert source.closed == 1

    async def run() -> tuple[list, str]:
        values, error, source = [], "", Async(chunks)
        try:
            async for value in filter(source):
                values.append(value)
        except Incomplete as raised:
            error = str(raised)
        assert source.closed == 1
        return values, error

    assert asyncio.run(run()) == (values, error)
    return values, error


COMMA = "a comma or } is missing in line 1"
FENCE = "Here:\n\n```py\nprint('é')\n```\n\n- and\n  ~~~ sh\n  ls\n  ~~~\n```\nlost"
OBJECTS = 'So: {"a": 1.10, "é": [true]}, {"b": 12345678901234567890} or {x}.'
BROKEN = '{"a": 1 1}\n{"b": 2}\n{"c": [1, 2'
BOOKS = '{"books": [{"title": "Emma \\ud83d\\ude00", "year": 1815}, {"title": "Persuasion"}]}'


VALUES = {  # a filter, its text, what comes out
    "objects": (llmstream.json_objects, OBJECTS, [{"a": 1.1, "é": [True]}, {"b": 12345678901234567890}]),
    "objects' text": (
        lambda c: llmstream.json_objects(c, parse=str), OBJECTS, ['{"a":1.10,"é":[true]}', '{"b":12345678901234567890}']
    ),
    "no object": (llmstream.json_objects, "none", []),
    "broken objects": (
        llmstream.json_objects, BROKEN,
        [{"b": 2}, f"line 1: malformed object: {COMMA}: repair=True repairs what it can (and 1 more)"],
    ),
    "repair": (
        lambda c: llmstream.json_objects(c, repair=True), "{'a': 1,} {\"c\": [1, 2", [{"a": 1}, {"c": [1, 2]}]
    ),
    "partial": (
        lambda c: llmstream.json_objects(c, partial=True), '{"a": "te',
        [{"a": "te"}, "line 1: unfinished object: the input ends inside it"],
    ),
    "fenced": (lambda c: llmstream.json_objects(c, fenced=True), '{"a":1}\n> ```\n> {"b":2}\n> ```\n', [{"b": 2}]),
    "max_size": (
        lambda c: llmstream.json_objects(c, max_size=9), '{"a":"long"} {"b":1}',
        [
            {"b": 1},
            "line 1: malformed object: it is longer than 9 characters in line 1: repair=True repairs what it can",
        ],
    ),
    "fields": (
        llmstream.fields, '{"a": 1.50, "b": {"c": null}} tail', [("$['a']", 1.5), ("$['b']", {"c": None})]
    ),
    "fields at a path": (
        lambda c: llmstream.fields(c, "books[*].title"), BOOKS,
        [("$['books'][0]['title']", "Emma \U0001f600"), ("$['books'][1]['title']", "Persuasion")],
    ),
    "fields, the first of each": (
        lambda c: llmstream.fields(c, ["$..title", "$..year"], first=True), BOOKS + " {",
        [("$['books'][0]['title']", "Emma \U0001f600"), ("$['books'][0]['year']", 1815)],
    ),
    "broken fields": (
        lambda c: llmstream.fields(c, "a"), '{"a": 1, "b" 2}\n{"a": 2}',
        [("$['a']", 1), ("$['a']", 2), "line 1: malformed document: a colon is missing in line 1"],
    ),
    "blocks": (
        llmstream.code_blocks, FENCE,
        [("py", "print('é')\n"), ("sh", "ls\n"), "the input ended before the code block was closed"],
    ),
    "blocks in a language": (
        lambda c: llmstream.code_blocks(c, language="bash"), FENCE, [("sh", "ls\n")]
    ),
    "blocks that are too long": (
        lambda c: llmstream.code_blocks(c, max_size=5), FENCE,
        [("sh", "ls\n"), "a code block is longer than 5 characters (and 1 more)"],
    ),
}  # fmt: skip
PIECES = {  # the same, where the pieces depend on the cut
    "follow": (lambda c: llmstream.follow(c, "$..title"), BOOKS, "Emma \U0001f600", ""),
    "follow what is no string": (lambda c: llmstream.follow(c, "$..year"), BOOKS, "1815", ""),
    "follow what is not there": (lambda c: llmstream.follow(c, "x"), BOOKS, "", ""),
    "follow to the cut": (
        lambda c: llmstream.follow(c, "a"), '{"a":"te', "te", "line 1: unfinished document: the input ends inside it"
    ),
    "follow, but not from one document into another": (
        lambda c: llmstream.follow(c, "a"), '{"a":"te\n{"a":"xt"}', "te",
        "line 1: malformed document: a string has a control character or a byte that is not UTF-8 in line 1",
    ),
    "code": (llmstream.code, FENCE, "print('é')\n", ""),
    "code in a language": (lambda c: llmstream.code(c, language="sh"), FENCE, "ls\n", ""),
    "the third block": (
        lambda c: llmstream.code(c, count=3), FENCE, "lost",
        "the input ended before the code block was closed: its beginning is printed",
    ),
    "no such code": (lambda c: llmstream.code(c, language="rust"), FENCE, "", ""),
    "until": (lambda c: llmstream.until(c, regex="[0-9]+"), "on 1234 off", "on 1234", ""),
    "until a word": (lambda c: llmstream.until(c, fixed="OFF", ignore_case=True, only=True), "on off.", "off", ""),
    "until never": (lambda c: llmstream.until(c, lines=9), "é\nè\n", "é\nè\n", ""),
    "until json": (lambda c: llmstream.until(c, json=True, count=2), "{} [1] [[2]] 3", "{} [1] [[2]]", ""),
    "drawn": (
        lambda c: llmstream.pretty(c, width=9, colors=False), "# One\n\nwords *é* more\n\n- a\n- b",
        "\x1b[1;4mOne\x1b[0m\n\nwords \x1b[3mé\x1b[0m\nmore\n\n• a\n• b\n", "",
    ),
    "until a byte within a character": (lambda c: llmstream.until(c, bytes=2), "aéb", "a", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("kind", [str, bytes])
def test_values_at_every_cut(name, kind):
    filter, text, expected = VALUES[name]

    def run(chunks: list) -> list:
        values, error = through(filter, chunks)
        return [*values, error] if error else values

    assert same(run, text if kind is str else text.encode()) == expected


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("kind", [str, bytes])
def test_pieces_at_every_cut(name, kind):
    filter, text, *expected = PIECES[name]

    def run(chunks: list) -> list:
        pieces, error = through(filter, chunks)
        assert "" not in pieces
        return ["".join(pieces), error]

    assert same(run, text if kind is str else text.encode()) == expected


ENOUGH = {  # a filter, its chunks, how many of them it takes, what comes out
    "fields": (lambda c: llmstream.fields(c, ["a", "b"], first=True), ['{"a":1,', '"b":2,', '"c":3}'], 2,
               [("$['a']", 1), ("$['b']", 2)]),
    "follow": (lambda c: llmstream.follow(c, "a"), ['{"a":"x', 'y", "b"', "z"], 2, ["x", "y"]),
    "code": (llmstream.code, ["```\na", "\n```\n", "more"], 2, ["a", "\n"]),
    "until": (lambda c: llmstream.until(c, lines=2), ["a", "\nb\nc", "d"], 2, ["a", "\nb\n"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ENOUGH)
def test_the_source_is_closed_before_the_last_piece_is_yielded(name):
    filter, chunks, reads, expected = ENOUGH[name]
    assert through(filter, chunks) == (expected, "")
    source, values = Sync(chunks), []
    for value in filter(source):
        values.append(value)
        assert source.closed == (len(values) == len(expected))
    assert source.reads == reads


STREAM = ['{"a":', "1} {", '"a":2}', '{"a":3}']
EACH = {
    "objects": (llmstream.json_objects, STREAM),
    "fields": (llmstream.fields, STREAM),
    "blocks": (llmstream.code_blocks, ["```\n", "``", "`\n", "```\n```\n"]),
    "until": (lambda c: llmstream.until(c, lines=5), ["", "", "a", "b"]),
    "drawn": (llmstream.pretty, ["a", "\n", "\n", "b"]),
}


@pytest.mark.parametrize("name", EACH)
def test_complete_values_come_before_the_next_chunk_is_read(name):
    filter, chunks = EACH[name]
    reads = 2 if filter in (llmstream.json_objects, llmstream.fields) else 3
    source = Sync(chunks)
    values = filter(source)
    assert source.reads == 0
    next(values)
    assert (source.reads, source.closed) == (reads, 0)
    values.close()
    assert (source.reads, source.closed) == (reads, 1)

    async def run() -> None:
        source = Async(chunks)
        async with aclosing(filter(source)) as values:
            await anext(values)
            assert (source.reads, source.closed) == (reads, 0)
        assert (source.reads, source.closed) == (reads, 1)

    asyncio.run(run())


def test_iterators_and_their_iterables_are_closed():
    ended = []

    def chunks() -> Iterator[str]:
        try:
            yield '{"a":1}'
            yield '{"a":2}'
        finally:
            ended.append("iterator")

    class Response:
        def __iter__(self) -> Iterator[str]:
            return chunks()

        def close(self) -> None:
            ended.append("response")

    objects = llmstream.json_objects(Response())
    assert next(objects) == {"a": 1}
    objects.close()
    assert ended == ["iterator", "response"]

    async def asynchronous() -> AsyncIterator[str]:
        try:
            yield '{"a":1}'
            yield '{"a":2}'
        finally:
            await asyncio.sleep(0)
            ended.append("asynchronous")

    async def run() -> None:
        objects = llmstream.json_objects(asynchronous())
        async for _ in objects:
            break
        await objects.aclose()

    asyncio.run(run())
    assert ended[2:] == ["asynchronous"]


def test_an_error_of_the_source_comes_through_after_the_values_before_it():
    def chunks() -> Iterator[str]:
        yield '{"a":1} {"b"'
        raise ConnectionResetError

    objects = llmstream.json_objects(chunks())
    assert next(objects) == {"a": 1}
    with pytest.raises(ConnectionResetError):
        next(objects)


def test_an_error_of_the_parser_comes_through_and_closes_the_source():
    source = Sync(['{"a":1} {"b":2}'])

    def parse(text: str) -> str:
        if "b" in text:
            raise ValueError("no such thing")
        return text

    objects = llmstream.json_objects(source, parse=parse)
    assert next(objects) == '{"a":1}'
    with pytest.raises(ValueError, match="no such thing"):
        next(objects)
    assert source.closed == 1


def test_malformed_objects_are_reported_to_the_callback_at_once():
    reports = []
    objects = llmstream.json_objects(['{"a": 1 1}\n', '{"b":2}', '{"c":'], malformed=reports.append)
    assert (next(objects), reports) == (
        {"b": 2}, ["line 1: malformed object: a comma or } is missing in line 1: repair=True repairs what it can"]
    )  # fmt: skip
    assert (list(objects), reports[1:]) == (
        [], ["line 2: unfinished object: the input ends inside it: partial=True closes it"]
    )  # fmt: skip
    reports.clear()
    assert list(llmstream.fields(['{"a":}'], malformed=reports.append)) == []
    assert reports == ["line 1: malformed document: a value is missing in line 1"]


def test_values_too_deep_for_python_are_reported_and_come_as_text():
    deep = '{"a":' * 50_000 + "1" + "}" * 50_000
    objects = llmstream.json_objects([deep, '{"b":1}'])
    assert next(objects) == {"b": 1}
    with pytest.raises(Incomplete, match="nested too deeply"):
        next(objects)
    assert list(llmstream.json_objects([deep], parse=str)) == [deep]
    with pytest.raises(Incomplete, match=r"the value at \$\['a'\] is nested too deeply"):
        list(llmstream.fields([deep]))


def test_characters_that_come_in_halves():
    halves = ['{"a":"\ud83d', "\ude00 \udcff", '"}']
    assert list(llmstream.json_objects(halves)) == [{"a": "\U0001f600 \ufffd"}]
    assert "".join(llmstream.until(["a\ud83d", "\ude00b\ud83d"], lines=1)) == "a\U0001f600b\ufffd"
    assert "".join(llmstream.until([b"\xe2\x82", b"\xac\xff\xe2\x82"], lines=1)) == "€\udcff\udce2\udc82"


def test_a_text_is_one_chunk_and_other_types_are_refused():
    for text in ('{"a":1}', b'{"a":1}', [bytearray(b'{"a":'), memoryview(b"1}")]):
        assert list(llmstream.json_objects(text)) == [{"a": 1}]
        assert "".join(llmstream.until(text, chars=3)) == '{"a'
    for filter in (llmstream.json_objects, llmstream.code, llmstream.code_blocks):
        with pytest.raises(TypeError, match="a chunk must be str or bytes, not NoneType"):
            list(filter([None]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: llmstream.fields(c, "a["), "not a JSONPath: a["),
        (lambda c: llmstream.follow(c, "$["), "not a JSONPath"),
        (lambda c: llmstream.code(c, count=0), "count must be at least 1"),
        (lambda c: llmstream.pretty(c, width=0), "width must be at least 1"),
        (llmstream.until, "no condition: pass one, for example lines=1"),
        (lambda c: llmstream.until(c, line=1), "no such stop condition: line: did you mean lines?"),
        (lambda c: llmstream.until(c, lines=1, idle=3.0), "seconds and idle do not work over a source that blocks"),
    ],
)
def test_usage_errors_are_raised_by_the_call(call, message):
    with pytest.raises(UsageError) as raised:
        call([])
    assert message in str(raised.value)


# Over the SDKs' own streams.


def test_over_the_openai_sdk():
    with Provider(
        [head(), *map(chat_text, ['{"title": "Em', 'ma"} {"title":', '"Persuasion"}', " and"]), "hold"]
    ) as it:
        client = openai.OpenAI(api_key="k", base_url=f"{it.url}/v1", max_retries=0)
        with (
            client,
            client.chat.completions.create(
                model="m", stream=True, messages=[{"role": "user", "content": "Books"}]
            ) as stream,
        ):
            pieces = (chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
            books = llmstream.json_objects(pieces)
            assert [next(books)["title"], next(books)["title"]] == ["Emma", "Persuasion"]
            books.close()
        assert it.client_left.wait(WAIT_S)


def test_over_the_openai_sdk_asynchronously_down_to_the_connection():
    """The stream itself is what is closed."""

    class Texts:
        def __init__(self, stream) -> None:
            self.stream, self.close = stream, stream.close

        async def __aiter__(self):
            async for chunk in self.stream:
                yield chunk.choices[0].delta.content

    async def run(url: str) -> None:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0) as client:
            stream = await client.chat.completions.create(
                model="m", stream=True, messages=[{"role": "user", "content": "Code"}]
            )
            assert [piece async for piece in llmstream.code(Texts(stream))] == ["x = 1\n"]
            assert await asyncio.to_thread(it.client_left.wait, 20)

    with Provider([head(), *map(chat_text, ["```\n", "x = 1\n", "```\n"]), "hold"]) as it:
        asyncio.run(run(it.url))


def test_over_the_anthropic_sdk():
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
    start = frame({"type": "message_start", "message": message}, "message_start")
    with Provider([head(), start, *messages("One two", " three four")[1:-3], "hold"]) as it:
        client = anthropic.Anthropic(api_key="k", base_url=it.url, max_retries=0)
        with (
            client,
            client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "Count"}]) as stream,
        ):
            assert "".join(llmstream.until(stream.text_stream, words=3)) == "One two three"
        assert it.client_left.wait(WAIT_S)


# The package's names.


def test_importing_the_package_loads_nothing_else_of_it():
    script = "import sys; before = set(sys.modules); import llmstream; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, env=environment())
    assert done.stdout.split() == ["llmstream"]


def test_the_names_of_the_package():
    assert sorted(llmstream.__all__) == llmstream.__all__
    assert set(llmstream.__all__) <= set(dir(llmstream))
    assert set(llmstream.__all__) == set(llmstream._HOMES)
    for name in llmstream.__all__:
        assert getattr(llmstream, name) is getattr(llmstream, name)
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        llmstream.nope  # noqa: B018
    done = subprocess.run(
        [sys.executable, "-c", "from llmstream import *; print(code([]), errors.Incomplete.status)"],
        capture_output=True, text=True, env=environment(),
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[-1]) == (0, "5")


STRANGE = [b"x", 1.5, float("nan"), True, None, 1, -1, 10**400, [1], {1: 2}, object(), "x", ["a", b"b"]]
ARGUMENTS = [
    *((llmstream.json_objects, name) for name in ("parse", "repair", "partial", "fenced", "max_size", "malformed")),
    *((llmstream.fields, name) for name in ("paths", "first", "max_size", "malformed")),
    *((llmstream.code, name) for name in ("language", "count")),
    *((llmstream.code_blocks, name) for name in ("language", "max_size")),
    *((llmstream.until, name) for name in UntilOptions.__annotations__),
    (llmstream.follow, "path"),
    *((llmstream.pretty, name) for name in ("width", "colors")),
]


@pytest.mark.parametrize(("function", "name"), ARGUMENTS)
def test_an_argument_of_a_wrong_type_is_refused_at_the_call(function, name):
    for value in STRANGE:
        try:
            values = function("text", **{name: value})
        except (TypeError, UsageError) as error:
            wanted = ("must be", "no condition", "needs a condition", "do not work", "jsonpath", "path")
            assert any(word in str(error) for word in wanted), error
        else:
            with contextlib.suppress(Incomplete):
                list(values)


@pytest.mark.parametrize("chunks", [None, 1, 1.5, object()])
def test_what_is_no_stream_is_refused_at_the_call(chunks):
    with pytest.raises(TypeError, match="the chunks must be an iterable of str or bytes, not "):
        llmstream.code(chunks)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind_are_one_chunk(kind):
    assert list(llmstream.json_objects(kind(b'{"a": 1}'))) == [{"a": 1}]
