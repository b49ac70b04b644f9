"""Chat Completions: what the transcripts do not show, such as each cut of a tag, token scores, prices and tiers."""

from __future__ import annotations

import json
from itertools import combinations, pairwise
from typing import Any

import pytest

from llmstream.core.events import Event, Finish, Reasoning, ScoredText, Source, Text, ToolCall
from llmstream.core.exchange import Exchange
from llmstream.core.think import TaggedReasoning
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects.chat import Decoder

from ..support.loopback import DONE, frame


def chunk(delta: dict[str, Any], reason: object = None, top: dict[str, Any] | None = None, **choice: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": reason, **choice}]
    return frame({"id": "c", "model": "m", "choices": choices, **(top or {})})


def text(content: Any, **choice: Any) -> bytes:
    return chunk({"content": content}, **choice)


END = chunk({}, "stop")


def read(*frames: bytes) -> tuple[Exchange, list[Event]]:
    exchange = Exchange(Decoder("p", "m"), Timeouts(), Timing(0.0), 0.0, "http://host/path")
    exchange.head(200, {"content-type": "text/event-stream"})
    events = [event for data in frames for event in exchange.feed(data, 1.0)]
    return exchange, events + exchange.close(2.0)


def joined(events: list[Event]) -> tuple[str, str]:
    """Returns the reasoning and the text of events."""
    reasoning = "".join(event.text for event in events if isinstance(event, Reasoning))
    return reasoning, "".join(event.text for event in events if isinstance(event, Text))


def only(events: list[Event], kind: type[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


# Reasoning in tags.


@pytest.mark.parametrize(
    ("answer", "reasoning", "rest"),
    [
        ("<think>a</think>b", "a", "b"),
        (" \n<think>\na\n</think>\n\nb\n", "\na\n", "b\n"),
        ("<think></think>b", "", "b"),
        ("<think>a<b></c></think>\r\nb<think>", "a<b></c>", "b<think>"),
        ("<thought>a</think></thought>b", "a</think>", "b"),
        ("<think>a</thin", "a</thin", ""),
        ("<th>b", "", "<th>b"),
        ("<thinker>", "", "<thinker>"),
        ("<thin", "", "<thin"),
        ("b <think>c</think>", "", "b <think>c</think>"),
        (" \n", "", " \n"),
        ("b</think>c", "", "b</think>c"),
    ],
)
def test_tags_split_anywhere(answer, reasoning, rest):
    """In each two and three pieces, and character by character."""
    cuts = [(), *combinations(range(1, len(answer)), 1), *combinations(range(1, len(answer)), 2)]
    for places in [*cuts, tuple(range(1, len(answer)))]:
        ends = (0, *places, len(answer))
        pieces = [answer[start:end] for start, end in pairwise(ends)]
        exchange, events = read(*map(text, pieces), END, DONE)
        assert joined(events) == (reasoning, rest)
        assert exchange.failure is None


def test_text_comes_out_as_soon_as_it_is_clear():
    tags = TaggedReasoning()
    assert tags.feed("<th") == []
    assert tags.feed(">") == [Text("<th>")]
    assert tags.over


def test_reasoning_is_not_held():
    tags = TaggedReasoning()
    assert tags.feed("<think>One") == [Reasoning("One")]
    assert tags.feed(" two <") == [Reasoning(" two ")]
    assert tags.feed("three") == [Reasoning("<three")]


def test_a_cut_within_a_tag_is_no_output():
    """So the request may be sent again."""
    exchange, events = read(text("<thi"))
    assert joined(events) == ("", "")
    assert "no output came" in str(exchange.failure)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "thinking"])
def test_no_tags_where_reasoning_has_a_field(field):
    _, events = read(chunk({field: "a"}), text("<think>b"), END)
    assert joined(events) == ("a", "<think>b")


def test_tags_do_not_end_by_a_tool_call():
    call = {"index": 0, "id": "i", "function": {"name": "f", "arguments": "{}"}}
    _, events = read(text("<think>a"), chunk({"tool_calls": [call]}), text("b</think>c"), END)
    assert joined(events) == ("ab", "c")


@pytest.mark.parametrize(
    "delta", [{"content": [{"type": "text", "text": "b"}]}, {"refusal": "b"}, {"audio": {"transcript": "b"}}]
)
def test_text_that_is_held_comes_before_other_text(delta):
    _, events = read(text("<thi"), chunk(delta), END)
    assert joined(events) == ("", "<thib")


# Endings.


@pytest.mark.parametrize(
    ("word", "native", "reason"),
    [
        ("stop", "length", "length"),
        ("stop", "max_tokens", "length"),
        ("tool_calls", "MAX_TOKENS", "length"),
        ("stop", "refusal", "refusal"),
        ("stop", "completed", "stop"),
        ("tool_calls", "stop", "tool_calls"),
        ("stop", "a_word_of_its_own", "stop"),
        ("length", "stop", "length"),
        ("content_filter", "length", "content_filter"),
    ],
)
def test_the_native_finish_reason_counts_where_it_is_worse(word, native, reason):
    exchange, _ = read(text("a"), chunk({}, word, native_finish_reason=native), DONE)
    assert exchange.finish is not None
    assert exchange.finish.reason == reason


@pytest.mark.parametrize("reason", ["null", "NULL", "not_finished", 0, False, True, None, {}, [], 1.5])
def test_what_is_no_finish_reason(reason):
    exchange, events = read(text("a", finish_reason=reason), text("b", finish_reason=reason))
    assert joined(events) == ("", "ab")
    assert exchange.failure is not None


@pytest.mark.parametrize("number", [9, 17, 10**30])
def test_an_unknown_number(number):
    exchange, _ = read(text("a"), chunk({}, number), DONE)
    assert exchange.finish == Finish("unknown", str(number))


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        ({"object": "chat.completion", "choices": [{"message": {"content": "a"}}]}, True),
        ({"choices": [{"message": {"content": "a"}, "finish_reason": None}]}, True),
        ({"object": "chat.completion.chunk", "id": "c", "choices": [{"delta": {"content": "a"}}]}, False),
    ],
)
def test_a_chunk_alone_is_no_whole_answer(answer, whole):
    exchange = Exchange(Decoder("p", "m"), Timeouts(), Timing(0.0), 0.0, "http://host/path")
    exchange.head(200, {"content-type": "application/json"})
    events = exchange.feed(json.dumps(answer).encode(), 1.0) + exchange.close(1.0)
    assert joined(events) == ("", "a")
    assert (exchange.failure is None) == whole


def test_error_under_x_groq_before_any_text():
    exchange, _ = read(chunk({"role": "assistant"}, top={"x_groq": {"error": "lost"}}))
    assert exchange.failure is not None
    assert (exchange.failure.status, exchange.failure.message) == (4, "the provider says: lost")


# Tool calls.


def calls(*pieces: dict[str, Any]) -> list[Event]:
    _, events = read(*(chunk({"tool_calls": [piece]}) for piece in pieces), chunk({}, "tool_calls"), DONE)
    return only(events, ToolCall)


def test_a_name_that_is_repeated_without_an_id():
    name = {"index": 0, "function": {"name": "f", "arguments": '{"a":'}}
    again = {"index": 0, "function": {"name": "f", "arguments": "1}"}}
    assert calls(name, again) == [ToolCall(0, "", "f", '{"a":'), ToolCall(0, "", "", "1}")]


@pytest.mark.parametrize("found", [[], None, {}, "f", [None], [{}], [{"function": None}], [{"function": {"name": ""}}]])
def test_no_call_without_a_name(found):
    exchange, events = read(chunk({"content": "a", "tool_calls": found}), END, DONE)
    assert only(events, ToolCall) == []
    assert exchange.finish == Finish("stop", "stop")
    assert exchange.warning == ""


def test_arguments_as_an_object():
    piece = {"index": 0, "id": "i", "function": {"name": "f", "arguments": {"a": [1]}}}
    assert calls(piece) == [ToolCall(0, "i", "f", '{"a": [1]}')]


# Text.


@pytest.mark.parametrize(
    ("delta", "note"),
    [
        ({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}, "an image"),
        ({"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}, "an image"),
        ({"audio": {"data": "AA"}}, "sound"),
    ],
)
def test_what_is_dropped_has_a_note(delta, note):
    exchange, events = read(chunk(delta), chunk(delta), END, DONE)
    assert exchange.warning == f"the answer has no text, but {note}"
    assert joined(events) == ("", "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [({"a": {"b": "é"}}, '{"a":{"b":"é"}}'), ([{"a": 1}], '[{"a":1}]'), (7, "7"), (0, "0"), (None, ""), ("", "")],
)
def test_content_that_is_not_text(content, expected):
    _, events = read(text("-"), text(content), END)
    assert joined(events) == ("", "-" + expected)


# Sources.


def test_each_source_once():
    place = {"type": "url_citation", "url_citation": {"url": "u:1", "title": "One", "start_index": 0, "end_index": 3}}
    other = {"type": "url_citation", "url": "u:1", "start_index": 5, "end_index": 8}
    top = {"citations": ["u:1", "u:2", {"url": "u:3"}, 4, None], "search_results": [{"url": "u:2", "title": "Two"}]}
    first, second = chunk({"annotations": [place, other, place]}), text("a", top=top)
    _, events = read(first, second, second, END)
    one, again = Source("u:1", "One", 0, 3), Source("u:1", "", 5, 8)
    assert only(events, Source) == [one, again, Source("u:2", "Two"), Source("u:3")]


@pytest.mark.parametrize("found", [None, "u:1", {}, [[]], [{"title": "a"}], [{"url": ""}], [{"url": 1}]])
def test_what_is_no_source(found):
    _, events = read(text("a", top={"citations": found, "search_results": found}), chunk({"annotations": found}), END)
    assert only(events, Source) == []


# Token scores.


def scored(*tokens: str) -> dict[str, Any]:
    return {"logprobs": {"content": [score(token) for token in tokens], "refusal": None}}


def score(token: str) -> dict[str, object]:
    return {"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []}


def test_scores_are_passed_on_with_their_text():
    _, events = read(text("Lo", **scored("L", "o")), text("w", logprobs=None), text(".", **scored(".")), END)
    assert events[1:4] == [ScoredText("Lo", [score("L"), score("o")]), Text("w"), ScoredText(".", [score(".")])]
    assert not isinstance(events[2], ScoredText)


def test_scores_of_a_text_that_is_held():
    _, events = read(text("<t", **scored("<t")), text("d>", **scored("d>")), END)
    assert only(events, Text) == [ScoredText("<td>", [score("<t"), score("d>")])]
    _, events = read(text("<t", **scored("<t")), END)
    assert only(events, Text) == [ScoredText("<t", [score("<t")])]


def test_scores_of_reasoning_are_left_out():
    _, events = read(
        text("<think>", **scored("<think>")), text("a", **scored("a")), text("</think>b", **scored("b")), END
    )
    assert only(events, Text) == [ScoredText("b", [score("b")])]


def test_scores_of_a_legacy_completion():
    arrays = {"tokens": ["L", "o"], "token_logprobs": [-1, -2], "top_logprobs": None, "text_offset": [0, 1]}
    choice = {"index": 0, "text": "Lo", "logprobs": arrays, "finish_reason": "stop"}
    _, events = read(frame({"id": "c", "object": "text_completion", "choices": [choice]}), DONE)
    assert only(events, Text) == [ScoredText("Lo", [arrays])]


# Usage.


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"cost": 0.25}, {"cost_usd": 0.25}),
        ({"cost": 0, "is_byok": False}, {"cost_usd": 0.0}),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}, {"cost_usd": 0.75}),
        ({"cost": 0.25, "cost_details": {"upstream_inference_cost": 0.5}}, {"cost_usd": 0.25}),
        ({"cost": {"total_cost": 0.5}}, {"cost_usd": 0.5}),
        ({"cost_in_usd_ticks": 25_000_000}, {"cost_usd": 0.0025}),
        ({"cost": "0.25"}, {"cost_usd": None}),
        ({"cost": True}, {"cost_usd": None}),
        ({"num_search_queries": 2}, {"searches": 2}),
        ({"server_tool_use": {"web_search_requests": 3}}, {"searches": 3}),
        ({"num_sources_used": 9}, {"searches": 0}),
        ({"prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2}}, {"cache_write_tokens": 2}),
        ({"prompt_tokens_details": {"cache_creation_tokens": 2}}, {"cache_write_tokens": 2}),
        ({"cached_tokens": 4}, {"cached_tokens": 4}),
        ({"total_tokens": 12, "completion_tokens_details": {"reasoning_tokens": 4}}, {"output_tokens": 7}),
        ({"total_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 2}}, {"output_tokens": 3}),
        ({"total_tokens": 8, "reasoning_tokens": 90}, {"output_tokens": 93, "reasoning_tokens": 90}),
    ],
)
def test_usage(usage, expected):
    counts = {"prompt_tokens": 5, "completion_tokens": 3, **usage}
    exchange, _ = read(text("a"), END, frame({"id": "c", "choices": [], "usage": counts}), DONE)
    assert {name: getattr(exchange.usage, name) for name in expected} == expected


def test_the_tier_and_the_last_usage_of_many():
    first = {"prompt_tokens": 5, "completion_tokens": 1}
    last = {"prompt_tokens": 5, "completion_tokens": 2}
    top = {"service_tier": "priority"}
    exchange, _ = read(text("a", top={"usage": first, **top}), chunk({}, "stop", top={"usage": last, **top}), DONE)
    assert exchange.usage is not None
    assert (exchange.usage.output_tokens, exchange.usage.tier) == (2, "priority")
