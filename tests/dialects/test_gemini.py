"""Gemini's native API: endings, calls whose arguments are streamed, sources, usage."""

from __future__ import annotations

import json

import pytest

from llmstream.core import report
from llmstream.core.events import Finish, Reasoning, ScoredText, Source, Text, ToolCall, Usage
from llmstream.core.exchange import Exchange
from llmstream.core.json.frames import Parser
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects.gemini import MAX_PATH_STEPS, Decoder
from llmstream.errors import Incomplete

from ..support import loopback
from ..support.chunks import chunkings


def chunk(*parts: dict, **more: object) -> dict:
    return {"candidates": [{"content": {"role": "model", "parts": [*parts]}, **more}]}


def call(**fields: object) -> dict:
    return {"functionCall": fields}


def argument(path: str, value: object = None, *, goes_on: bool = False, kind: str = "stringValue") -> dict:
    return {"jsonPath": path, **({} if value is None else {kind: value}), **({"willContinue": True} if goes_on else {})}


def read(*chunks: dict, array: bool = False):
    """The events of the chunks, the same whatever the cuts, and the exchange; without Start."""
    body = json.dumps(chunks).encode() if array else b"".join(map(loopback.frame, chunks))
    results = []
    for pieces in chunkings(body, 30):
        exchange = Exchange(Decoder("gemini", "m"), Timeouts(), Timing(0.0), 0.0, "u", Parser() if array else None)
        exchange.head(200, {"content-type": "text/event-stream"})
        events = [event for piece in pieces for event in exchange.feed(piece, 0.0)] + exchange.close(0.0)
        results.append((events[1:], exchange))
        assert events[1:] == results[0][0]
    return results[0]


def calls_of(events) -> list[list[str]]:
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCall):
            entry = calls.setdefault(event.index, ["", ""])
            entry[0] += event.name
            entry[1] += event.arguments
    return list(calls.values())


STOP = {"finishReason": "STOP"}


@pytest.mark.parametrize(
    ("word", "reason", "status"),
    [
        ("STOP", "stop", 0),
        ("stop", "stop", 0),
        (1, "stop", 0),
        ("MAX_TOKENS", "length", 5),
        (2, "length", 5),
        (3, "content_filter", 3),
        (4, "content_filter", 3),
        (5, "incomplete", 5),
        (8, "content_filter", 3),
        (9, "unknown", 5),
        (99, "unknown", 5),
        ("LANGUAGE", "content_filter", 3),
        ("MODEL_ARMOR", "content_filter", 3),
        ("IMAGE_RECITATION", "content_filter", 3),
        ("MALFORMED_FUNCTION_CALL", "incomplete", 5),
        ("TOO_MANY_TOOL_CALLS", "incomplete", 5),
        ("MISSING_THOUGHT_SIGNATURE", "incomplete", 5),
        ("OTHER", "incomplete", 5),
        ("A_WORD_OF_TOMORROW", "unknown", 5),
    ],
)
def test_finish_words_and_numbers(word, reason, status):
    events, exchange = read(chunk({"text": "The Inn"}, finishReason=word))
    assert events[:1] == [Text("The Inn")]
    assert exchange.finish.reason == reason
    error = report.verdict(exchange.finish, limited=False)
    assert (error.status if error else 0) == status


@pytest.mark.parametrize("word", ["FINISH_REASON_UNSPECIFIED", 0, "", None, True, {}])
def test_an_unspecified_finish_is_none(word):
    _, exchange = read(chunk({"text": "The"}, finishReason=word))
    assert isinstance(exchange.failure, Incomplete)


def test_a_finish_in_every_chunk_is_not_the_end():
    events, exchange = read(chunk({"text": "The "}, **STOP), chunk({"text": "Inn"}, **STOP))
    assert events == [Text("The "), Text("Inn"), Finish("stop", "STOP")]
    assert exchange.failure is None


def test_explanations():
    _, exchange = read(chunk(finishReason="SAFETY", finishMessage="Too wild a river."))
    assert exchange.finish == Finish("content_filter", "SAFETY", "Too wild a river.")
    feedback = {"blockReason": "OTHER", "blockReasonMessage": "Not this prompt."}
    _, exchange = read({"promptFeedback": feedback})
    assert exchange.finish == Finish("content_filter", "OTHER", "Not this prompt.")


@pytest.mark.parametrize("array", [False, True])
def test_streamed_arguments(array):
    events, exchange = read(
        chunk(call(name="gauge", id="c1", willContinue=True)),
        chunk(call(partialArgs=[argument("$.place.river", "In", goes_on=True)], willContinue=True)),
        chunk(call(partialArgs=[argument("$.place.river", "n"), argument("$.days[0]", 3, kind="numberValue")],
                   willContinue=True)),
        chunk(call(partialArgs=[argument("$.days[1]", 4.5, kind="numberValue"),
                                argument("$['a b']", True, kind="boolValue"),
                                argument("$.list[0].x", "NULL_VALUE", kind="nullValue")], willContinue=True)),
        chunk(call(), **STOP),
        array=array,
    )  # fmt: skip
    [(name, text)] = calls_of(events)
    assert name == "gauge"
    assert json.loads(text) == {"place": {"river": "Inn"}, "days": [3, 4.5], "a b": True, "list": [{"x": None}]}
    assert events[0] == ToolCall(0, "c1", "gauge", "")
    assert exchange.finish == Finish("tool_calls", "STOP")


@pytest.mark.parametrize("ends", [True, False])
def test_a_string_in_many_pieces(ends):
    pieces = [argument("$.a", letter, goes_on=letter != "d" or not ends) for letter in "abcd"]
    for groups in ([pieces], [[piece] for piece in pieces]):
        chunks = [chunk(call(name="f" if group[0] is pieces[0] else "", partialArgs=group, willContinue=True))
                  for group in groups]  # fmt: skip
        events, _ = read(*chunks, chunk(call(partialArgs=[argument("$.b", "x")])), chunk(**STOP))
        assert calls_of(events) == [["f", '{"a": "abcd", "b": "x"}']]


def test_arrays_have_a_bound(monkeypatch):
    monkeypatch.setattr("llmstream.dialects.gemini.MAX_CHECKED_SIZE", 1000)
    pieces = [argument(f"$.{name}[900]", 1, kind="numberValue") for name in "abc"]
    _, exchange = read(chunk(call(name="f", partialArgs=pieces)), chunk(**STOP))
    assert "larger than 1000 characters" in str(exchange.failure)


def test_streamed_calls_one_after_the_other():
    events, _ = read(
        chunk(call(name="f", willContinue=True), call(partialArgs=[argument("$.a", "1")])),
        chunk(call(name="f", willContinue=True), call(name="g", args={"b": 2}), call(name="h")),
        chunk(**STOP),
    )
    assert calls_of(events) == [["f", '{"a": "1"}'], ["f", "{}"], ["g", '{"b": 2}'], ["h", "{}"]]


def test_a_streamed_call_that_does_not_end_is_not_whole():
    piece = call(partialArgs=[argument("$.a", "1")], willContinue=True)
    pieces = [chunk(call(name="f", willContinue=True)), chunk(piece)]
    events, exchange = read(*pieces, chunk(**STOP))
    assert exchange.finish.reason == "incomplete"
    assert calls_of(events) == [["f", '{"a": "1"']]
    _, exchange = read(*pieces)
    assert isinstance(exchange.failure, Incomplete)


@pytest.mark.parametrize(
    "path",
    ["", "$", "a", "$[0]", "$..a", "$.a[*]", "$.a[999999999]", "$.a[1", "$.s[0]", "$" + ".a" * (MAX_PATH_STEPS + 1)],
)
def test_a_path_that_is_not_readable_is_told(path):
    pieces = [argument("$.s", "text"), argument(path, "1")]
    _, exchange = read(chunk(call(name="f", partialArgs=pieces)), chunk(**STOP))
    if path == "$.s[0]":
        assert exchange.failure is None  # the later value counts
    else:
        assert "of a tool call's argument" in str(exchange.failure)


def test_thoughts_tools_and_media():
    events, exchange = read(
        chunk({"text": "Hm.", "thought": True}, {"text": "One."}),
        chunk({"executableCode": {"code": "1+1"}}, {"codeExecutionResult": {"output": "2"}}),
        chunk({"text": "Two."}, {"inlineData": {"mimeType": "image/png", "data": "eA=="}}, **STOP),
    )
    assert events[:3] == [Reasoning("Hm."), Text("One."), Text("\nTwo.")]
    assert exchange.warning == ""
    image = {"inlineData": {"mimeType": "image/png", "data": "eA=="}}
    _, exchange = read(chunk(image, {"inlineData": {"mimeType": "audio/wav", "data": "eA=="}}, **STOP))
    assert exchange.warning == "the answer has no text, but an image and sound"
    assert exchange.failure is None


def test_only_the_first_candidate_counts():
    other = {"index": 1, "content": {"parts": [{"text": "b"}]}}
    both = {"candidates": [{"content": {"parts": [{"text": "a"}]}}, other]}
    second = {"candidates": [{"index": 1, "content": {"parts": [{"text": "c"}]}, "finishReason": "SAFETY"}]}
    events, _ = read(both, second, chunk(**STOP))
    assert events == [Text("a"), Finish("stop", "STOP")]


def test_usage():
    usage = {
        "promptTokenCount": 20, "toolUsePromptTokenCount": 30, "candidatesTokenCount": 4, "thoughtsTokenCount": 5,
        "cachedContentTokenCount": 6, "trafficType": "ON_DEMAND",
    }  # fmt: skip
    grounding = {"webSearchQueries": ["inn river", "inn length"]}
    events, _ = read(chunk({"text": "a"}, groundingMetadata=grounding, **STOP) | {"usageMetadata": usage})
    assert events[1] == Usage(50, 9, 6, 5, searches=2, tier="ON_DEMAND")


def test_sources_come_once_with_offsets_in_characters():
    web = [{"web": {"uri": "https://a.example", "title": "A"}}, {"web": {"uri": "https://b.example"}}]
    segment = {"startIndex": 5, "endIndex": 10}
    support = {"segment": segment, "groundingChunkIndices": [0, 7]}
    grounding = {"groundingChunks": web, "groundingSupports": [support, support]}
    citation = {"citationSources": [{"startIndex": 0, "endIndex": 5, "uri": "https://c.example"}]}
    events, _ = read(
        chunk({"text": "Höß "}, groundingMetadata={"groundingChunks": web}, citationMetadata=citation),
        chunk({"text": "ist ein Dorf."}, groundingMetadata=grounding, citationMetadata=citation, **STOP),
    )
    assert [event for event in events if isinstance(event, Source)] == [
        Source("https://b.example"),
        Source("https://c.example", "", 0, 3),
        Source("https://a.example", "A", 3, 8),
    ]


def test_log_probabilities():
    scores = [{"token": "Inn", "logProbability": -0.1}]
    events, _ = read(chunk({"text": "Inn"}, logprobsResult={"chosenCandidates": scores}, **STOP))
    assert events[0] == ScoredText("Inn", scores)


@pytest.mark.parametrize("array", [False, True])
def test_an_error_in_the_stream(array):
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    events, exchange = read(chunk({"text": "The"}), error, array=array)
    assert events == [Text("The")]
    assert "overloaded" in str(exchange.failure)
    assert isinstance(exchange.failure, Incomplete)
