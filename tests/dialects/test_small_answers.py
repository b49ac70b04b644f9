"""Small answers of providers that are easily read wrongly: the same reading at every door, however they are cut.

The answers are not part of this project: they are read from the folder that WIRE_CASES names, where there is one.
Transcripts of this project for the same faults, which always run, are in tests/wire.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import llmstream
from llmstream.core import report
from llmstream.core.events import Event, Finish, Reasoning, Source, Text, ToolCall, Usage
from llmstream.dialects.reader import StreamReader
from llmstream.errors import Error

from ..conftest import at
from ..support import sdks
from ..support.loopback import Provider, head
from ..support.transport import TARGET, ScriptedTransport, started

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(os.environ.get("WIRE_CASES") or ROOT.parent / "shared/cases/wire")

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"{FOLDER} is missing: set WIRE_CASES to a folder with the small answers"
)


class Reading(NamedTuple):
    """What a reader must make of an answer; `says` are parts of the message of one that is not whole."""

    api: str
    text: str = ""
    finish: str = ""
    status: int = 0
    says: tuple[str, ...] = ()
    reasoning: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    sources: tuple[str, ...] = ()
    input_tokens: int | None = None


ARMOR, MALFORMED = "The answer broke a safety setting.", "Malformed function call: river_length(river="
AARE = '{"river":"Aare"}'
READINGS = {
    "01-responses-arguments-only-in-done.sse": Reading(
        "responses", finish="tool_calls", calls=(("call_a", "river_length", AARE),)
    ),
    "02-perplexity-whole-empty-delta.json": Reading(
        "chat", "The Aare flows through Bern.[1]", "stop", sources=("https://example.com/aare",)
    ),
    "03-completions-legacy.sse": Reading("chat", "Two rivers: Aare, Reuss.", "stop"),
    "03b-completions-legacy.json": Reading("chat", "Two rivers: Aare, Reuss.", "stop", input_tokens=3),
    "04-gemini-partial-args.sse": Reading("gemini", finish="tool_calls", calls=(("", "river_length", AARE),)),
    "05-gemini-model-armor.json": Reading("gemini", finish="content_filter", status=3, says=("MODEL_ARMOR", ARMOR)),
    "05c-gemini-malformed-function-call.sse": Reading(
        "gemini", finish="incomplete", status=5, says=("MALFORMED_FUNCTION_CALL", MALFORMED)
    ),
    "06-messages-pause-turn.sse": Reading(
        "messages", "I begin to search:\nNow the second search:", "paused", 5, ("paused", "pause_turn")
    ),
    "07-chat-repeated-name.sse": Reading("chat", finish="tool_calls", calls=(("0", "river_length", AARE),)),
    "08-chat-empty-function-call.json": Reading("chat", "The Aare.", "stop"),
    "09-chat-content-object.json": Reading("chat", '{"river":"Aare","km":295}', "stop"),
    "11-chat-audio-transcript.sse": Reading("chat", "The Aare flows through Bern.", "stop"),
    "12-gemini-tool-use-tokens.sse": Reading("gemini", "295 km.", "stop", input_tokens=100),
    "13-chat-reasoning-details.sse": Reading("chat", "The Aare.", "stop", reasoning="Bern has one river."),
    "14-responses-custom-tool.sse": Reading(
        "responses", finish="tool_calls", calls=(("call_a", "query", "SELECT km FROM rivers"),)
    ),
    "15-error-string-with-code.json": Reading("chat", status=3, says=("Incorrect API key provided.",)),
    "17-messages-tool-without-arguments.sse": Reading(
        "messages", finish="tool_calls", calls=(("toolu_a", "all_rivers", "{}"),)
    ),
    "19-openrouter-error-metadata.json": Reading(
        "chat", status=4, says=("model-x is rate-limited upstream for a minute",)
    ),
    "20-messages-refusal-explained.sse": Reading(
        "messages", finish="refusal", status=3, says=("This request asks for what we do not give.",)
    ),
}
SDK_DIFFERS = {  # why the official SDK, whose caller joins what its events say, reads it otherwise
    "01-responses-arguments-only-in-done.sse": "the arguments come in no delta",
    "03-completions-legacy.sse": "it is not of the API that is asked",
    "06-messages-pause-turn.sse": "sentences of different blocks are glued",
    "07-chat-repeated-name.sse": "id and name are joined from all pieces",
    "11-chat-audio-transcript.sse": "a transcript is not text",
    "13-chat-reasoning-details.sse": "its types have no reasoning_details",
    "14-responses-custom-tool.sse": "a custom tool's input is not a function's arguments",
}
CASES = [pytest.param(name, reading, id=name) for name, reading in READINGS.items()]
# `gen` speaks no Gemini of its own: such a stream comes to `text` only.
SENT = [pytest.param(name, reading, id=name) for name, reading in READINGS.items() if reading.api != "gemini"]

each, each_sent = (pytest.mark.parametrize(("name", "reading"), cases) for cases in (CASES, SENT))


def body(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def content_type(name: str) -> str:
    return "text/event-stream" if name.endswith(".sse") else "application/json"


def model(reading: Reading) -> str:
    return "anthropic/m" if reading.api == "messages" else "openai/m"


def parsed(calls: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, Any]]:
    """Calls, with arguments that are JSON as their value: blanks in them do not matter."""

    def value(arguments: str) -> Any:
        try:
            return json.loads(arguments)
        except ValueError:
            return arguments

    return [(id, name, value(arguments)) for id, name, arguments in calls]


def check(events: list[Event], error: Error | None, reading: Reading) -> None:
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCall):
            parts = calls.setdefault(event.index, ["", "", ""])
            for place, part in enumerate((event.id, event.name, event.arguments)):
                parts[place] += part
    usage = [event.input_tokens for event in events if isinstance(event, Usage)]
    finish = [event.reason for event in events if isinstance(event, Finish)]
    assert "".join(event.text for event in events if isinstance(event, Text)) == reading.text
    assert "".join(event.text for event in events if isinstance(event, Reasoning)) == reading.reasoning
    assert parsed(map(tuple, calls.values())) == parsed(reading.calls)
    assert tuple(event.url for event in events if isinstance(event, Source)) == reading.sources
    assert finish == ([reading.finish] if reading.finish else [])
    assert (error.status if error else 0) == reading.status
    assert all(part in str(error) for part in reading.says)
    if reading.input_tokens is not None:
        assert usage == [reading.input_tokens]


def by_text(chunks: Iterable[bytes]) -> tuple[list[Event], Error | None]:
    reader = StreamReader(grace=2.0)
    batches = [batch for chunk in chunks for batch in reader.feed(chunk, 0.0)] + reader.close(1.0)
    answers = {id(batch.answer): batch.answer for batch in batches}
    assert len(answers) == 1
    (answer,) = answers.values()
    failure = reader.failure or answer.failure
    events = [event for batch in batches for event in batch.events]
    return events, failure or report.verdict(answer.finish, limited=False)


def by_generation(name: str, reading: Reading, chunks: Iterable[bytes]) -> tuple[list[Event], Error | None]:
    """Reads as gen, map, serve and the library do."""
    transport = ScriptedTransport()
    generation = started(transport, target=TARGET._replace(api=reading.api), retries=0)
    for chunk in chunks:
        if not generation.over:
            transport.last.arrive(chunk, headers={"content-type": content_type(name)})
    if not generation.over:
        transport.last.finish()
    finish = generation.exchange.finish if not generation.failure else None
    return generation.take(), generation.failure or report.verdict(finish, limited=False)


def splits(data: bytes) -> list[list[bytes]]:
    """The bytes whole, one by one, and in two pieces at every place."""
    cuts = [[data[:at], data[at:]] for at in range(1, len(data))]
    return [[data], [data[i : i + 1] for i in range(len(data))], *cuts]


def test_no_file_is_left_out():
    assert {path.name for path in FOLDER.iterdir() if path.suffix in (".sse", ".json")} == set(READINGS)


@each
def test_text_at_every_cut(name, reading):
    for chunks in splits(body(name)):
        check(*by_text(chunks), reading)


@each_sent
def test_a_generation_at_every_cut(name, reading):
    for chunks in splits(body(name)):
        check(*by_generation(name, reading, chunks), reading)


@each
def test_text_as_its_users_run_it(invoke, name, reading):
    done = invoke("text", input=body(name))
    assert (done.stdout.decode(), done.returncode) == (reading.text + "\n" * bool(reading.text), reading.status)
    assert all(part in done.stderr.decode() for part in reading.says)


def responses_of(name: str) -> list[list[bytes]]:
    """Scripts of a provider: the answer in one piece, and byte by byte."""
    data, first = body(name), head("200 OK", content_type(name))
    return [[first + data], [first, *(data[i : i + 1] for i in range(len(data)))]]


@each_sent
def test_gen(invoke, name, reading):
    with Provider(*responses_of(name)) as provider:
        args = ["gen", "--api", reading.api, "-m", model(reading), "--retries", "0", "Hi"]
        for done in (invoke(*args, url=provider.url) for _ in range(2)):
            text = reading.text + "\n" * bool(reading.text)
            assert (done.stdout.decode(), done.returncode) == (text, reading.status)
            assert all(part in done.stderr.decode() for part in reading.says)


@each_sent
def test_map(invoke, name, reading):
    with Provider(*responses_of(name)) as provider:
        args = ["map", "--api", reading.api, "-m", model(reading), "--retries", "0", "-j", "1"]
        done = invoke(*args, input=b"Hi\nHo\n", url=provider.url)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["index"] for record in records] == [0, 1]
    for record in records:
        assert record.get("text", "") == reading.text
        calls = [(call["id"], call["name"], call["arguments"]) for call in record.get("tool_calls", [])]
        assert parsed(calls) == parsed(reading.calls)
        assert record.get("error", {}).get("status", 0) == reading.status
        assert all(part in record["error"]["message"] for part in reading.says)
        assert tuple(source["url"] for source in record.get("sources", [])) == reading.sources


@each_sent
def test_the_library(name, reading, monkeypatch):
    with Provider(*responses_of(name)) as provider:
        for variable, value in at(provider.url).items():
            monkeypatch.setenv(variable, value)
        for _ in range(2):
            events: list[Event] = []
            error: Error | None = None
            try:
                with llmstream.stream("Hi", model(reading), api=reading.api, retries=0) as answer:
                    events += answer
            except Error as raised:
                error = raised
            check(events, error or report.verdict(answer.finish, limited=False), reading)


@pytest.mark.parametrize(
    "name", [name for name, reading in READINGS.items() if name.endswith(".sse") and reading.api != "gemini"]
)
def test_the_sdk_is_the_judge(name):
    reading = READINGS[name]
    answer = SimpleNamespace(api=reading.api, body=body(name), http=200, content_type=content_type(name))
    theirs = sdks.read(answer)
    calls = parsed((id, name, arguments or "{}") for id, name, arguments in theirs.calls.values())
    same = ("".join(theirs.text), "".join(theirs.reasoning), calls) == (
        reading.text,
        reading.reasoning,
        parsed(reading.calls),
    )
    assert same == (name not in SDK_DIFFERS)
