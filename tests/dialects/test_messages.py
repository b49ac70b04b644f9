"""Anthropic Messages: what the transcripts do not compare, and what depends on the model's name."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from anthropic.types import Model

from llmstream.core import report
from llmstream.core.events import Event, Finish, Source, Text, ToolCall, Usage
from llmstream.core.exchange import Exchange
from llmstream.core.request import Prefill, Request
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects import claude, messages
from llmstream.errors import UNLIMITED, UsageError

START = {"type": "message_start", "message": {"id": "msg_1", "type": "message", "model": "m", "usage": {}}}
STOP = {"type": "message_stop"}


def exchange(content_type: str = "text/event-stream") -> Exchange:
    found = Exchange(messages.Decoder("p", "m"), Timeouts(), Timing(0.0), 0.0, "http://host/path")
    found.head(200, {"content-type": content_type})
    return found


def read(found: Exchange, *frames: dict[str, Any]) -> list[Event]:
    """Reads frames, once as they are and once cut at every byte, which gives the same events."""
    body = b"".join(b"data: %s\n\n" % json.dumps(frame).encode() for frame in frames)
    again = exchange()
    pieces = [event for i in range(len(body)) for event in again.feed(body[i : i + 1], 1.0)] + again.close(2.0)
    events = found.feed(body, 1.0) + found.close(2.0)
    assert events == pieces
    return events


def block(index: int, type: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": type, **fields}}


def delta(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def end(reason: str | None = "end_turn", usage: dict[str, Any] | None = None, **details: Any) -> dict[str, Any]:
    fields = {"stop_reason": reason, **({"stop_details": details} if details else {})}
    return {"type": "message_delta", "delta": fields, "usage": usage or {}}


def sources(events: list[Event]) -> list[Source]:
    return [event for event in events if isinstance(event, Source)]


def usage(*frames: dict[str, Any]) -> Usage:
    found = exchange()
    read(found, *frames)
    assert found.usage is not None
    return found.usage


# Endings.


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"category": "bio", "explanation": "Not this."}, "Not this. (category bio)"),
        ({"category": None, "explanation": "Not this."}, "Not this."),
        ({"category": "bio", "explanation": None}, "category bio"),
        ({"category": 5, "explanation": []}, ""),
    ],
)
def test_a_refusal_is_explained(details, expected):
    found = exchange()
    events = read(found, START, end("refusal", **{"type": "refusal", **details}), STOP)
    assert events[-1] == Finish("refusal", "refusal", expected)
    error = report.verdict(found.finish, limited=False)
    assert error is not None
    assert error.status == 3
    assert str(error) == "the model refused (finish reason refusal)" + (f": {expected}" if expected else "")


@pytest.mark.parametrize("reason", ["pause_turn", "compaction"])
def test_a_paused_answer_says_what_to_do(reason):
    found = exchange()
    read(found, START, delta(0, text="One"), end(reason), STOP)
    error = report.verdict(found.finish, limited=False)
    assert error is not None
    assert error.status == 5
    assert "waits for the conversation to be sent back" in str(error)


@pytest.mark.parametrize("text", ["", "One"])
def test_a_second_answer_in_one_body_is_not_read(text):
    second = {"type": "message_start", "message": {"id": "msg_2"}}
    found = exchange()
    events = read(found, START, delta(0, text=text), second, delta(0, text="Two"), end(), STOP)
    assert "".join(event.text for event in events if isinstance(event, Text)) == text
    assert found.failure is not None
    assert (found.failure.status, found.failure.max_retries) == (5, UNLIMITED)  # a retry comes before output only


@pytest.mark.parametrize("id", ["msg_1", "", None])
def test_a_repeated_start_changes_nothing(id):
    again = {"type": "message_start", "message": {"id": id}}
    events = read(exchange(), START, again, delta(0, text="One"), again, delta(0, text=", two"), end(), STOP)
    assert [event.type for event in events] == ["start", "text", "text", "usage", "finish"]


@pytest.mark.parametrize("in_pieces", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_calls_that_all_have_the_index_0(in_pieces, ends):
    frames = []
    for id in ("a", "b"):
        frames.append(block(0, "tool_use", id=id, name=f"f{id}", input={} if in_pieces else {"of": id}))
        frames += [delta(0, partial_json=f'{{"of": "{id}"}}')] if in_pieces else []
        frames += [{"type": "content_block_stop", "index": 0}] if ends else []
    of_server = [block(0, "server_tool_use", id="s", name="web_search"), delta(0, partial_json="{}")]
    events = read(exchange(), START, *frames, *of_server, end("tool_use"), STOP)
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert [(call.id, call.name) for call in calls if call.name] == [("a", "fa"), ("b", "fb")]
    for index, id in enumerate("ab"):
        assert "".join(call.arguments for call in calls if call.index == index) == f'{{"of": "{id}"}}'


def test_a_call_that_begins_twice_is_one():
    begin = block(0, "tool_use", id="a", name="f", input={})
    events = read(exchange(), START, begin, begin, delta(0, partial_json='{"x": 1}'), end("tool_use"), STOP)
    assert [event for event in events if isinstance(event, ToolCall)] == [
        ToolCall(0, "a", "f", ""),
        ToolCall(0, "", "", '{"x": 1}'),
    ]


def test_the_content_of_a_whole_answer_may_be_a_text():
    found = exchange("application/json")
    answer = {"type": "message", "content": "One", "stop_reason": "end_turn"}
    events = found.feed(json.dumps(answer).encode(), 1.0) + found.close(1.0)
    assert [event.text for event in events if isinstance(event, Text)] == ["One"]


def test_tool_calls_that_did_not_come_are_noted():
    found = exchange()
    read(found, START, delta(1, partial_json="{}"), end("tool_use"), STOP)
    assert found.warning == "the finish reason is tool calls, but the answer has no tool call"


def test_calls_without_a_stop_reason_are_calls():
    events = read(exchange(), START, block(0, "tool_use", id="a", name="f", input={}), STOP)
    assert events[-1] == Finish("tool_calls", "")


def test_a_message_stop_alone_is_no_answer():
    found = exchange()
    read(found, START, end(None), STOP)
    assert found.failure is not None
    assert found.failure.status == 5


def test_the_input_of_a_call_is_kept_where_the_stream_is_cut():
    events = read(exchange(), START, block(0, "tool_use", id="a", name="f", input={"x": 1}))
    assert [event.arguments for event in events if event.type == "tool_call"] == ["", '{"x": 1}']


def test_a_file_alone_is_noted():
    found = exchange()
    read(found, START, block(0, "container_upload", file_id="file_1"), end(), STOP)
    assert found.warning == "the answer has no text, but a file"


FALLBACK = {"from": {"model": "claude-a"}, "to": {"model": "claude-b"}, "trigger": {"type": "refusal"}}


@pytest.mark.parametrize(
    "frames",
    [
        [block(1, "fallback", **FALLBACK), delta(2, text="kal."), end()],
        [delta(0, text="kal."), end(usage={"iterations": [{"type": "fallback_message", "model": "claude-b"}]})],
    ],
)
def test_another_model_goes_on_with_the_text(frames):
    found = exchange()
    events = read(found, START, block(0, "text", text=""), delta(0, text="Bai"), *frames, STOP)
    assert "".join(event.text for event in events if isinstance(event, Text)) == "Baikal."
    assert found.warning == "the model declined: claude-b answered"
    assert found.model == "claude-b"  # whose price counts


# Sources.

PAGE = {"type": "web_search_result_location", "url": "https://lakes.test/a", "title": "Lakes", "cited_text": "x"}
SEARCH = block(
    0, "web_search_tool_result", content=[{"type": "web_search_result", "url": "https://b.test", "title": "B"}]
)


@pytest.mark.parametrize(
    ("citation", "expected"),
    [
        (PAGE, Source("https://lakes.test/a", "Lakes")),
        (PAGE | {"title": None}, Source("https://lakes.test/a")),
        (
            {"type": "char_location", "document_title": "a.txt", "start_char_index": 3, "end_char_index": 9},
            Source("", "a.txt"),
        ),
        ({"type": "page_location", "document_title": "a.pdf", "start_page_number": 2}, Source("", "a.pdf")),
        ({"type": "search_result_location", "source": "https://c.test", "title": "C"}, Source("https://c.test", "C")),
    ],
)
def test_a_citation_is_a_source_without_a_place(citation, expected):
    """The offsets are those of the document."""
    cited = delta(0, type="citations_delta", citation=citation)
    assert sources(read(exchange(), START, delta(0, text="Deep."), cited, end(), STOP)) == [expected]


@pytest.mark.parametrize("citation", [None, "x", [], {}, {"type": "char_location", "document_title": None}])
def test_a_citation_that_names_nothing_is_no_source(citation):
    cited = delta(0, type="citations_delta", citation=citation)
    assert sources(read(exchange(), START, delta(0, text="Deep."), cited, end(), STOP)) == []


def test_a_source_counts_once_in_a_block_and_again_in_another():
    whole = block(0, "text", text="Deep", citations=[PAGE, PAGE])
    again = delta(0, type="citations_delta", citation=PAGE)
    other = block(1, "text", text=".", citations=[PAGE])
    assert len(sources(read(exchange(), START, whole, again, other, end(), STOP))) == 2


def test_search_results_are_sources_of_an_answer_that_cites_none():
    assert sources(read(exchange(), START, SEARCH, delta(1, text="Deep."), end(), STOP)) == [
        Source("https://b.test", "B")
    ]
    cited = delta(1, type="citations_delta", citation=PAGE)
    found = sources(read(exchange(), START, SEARCH, delta(1, text="Deep."), cited, end(), STOP))
    assert [source.url for source in found] == ["https://lakes.test/a"]
    assert sources(read(exchange(), START, SEARCH, end("pause_turn"), STOP)) == []


def test_sources_of_a_whole_answer():
    found = exchange("application/json")
    content = [{"type": "text", "text": "Deep.", "citations": [PAGE]}]
    body = {"type": "message", "content": content, "stop_reason": "end_turn"}
    assert sources(found.feed(json.dumps(body).encode(), 1.0) + found.close(2.0)) == [
        Source("https://lakes.test/a", "Lakes")
    ]


# Usage.


def test_usage_of_every_kind():
    counts = {
        "input_tokens": 10,
        "output_tokens": 1,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
        "service_tier": "priority",
    }
    start = {"type": "message_start", "message": {"id": "msg_1", "usage": counts}}
    last = {
        "output_tokens": 30,
        "output_tokens_details": {"thinking_tokens": 11},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    }
    found = usage(start, delta(0, text="x"), end(usage=last), STOP)
    assert found == Usage(37, 30, 20, 11, 7, 4, 2, tier="priority")


@pytest.mark.parametrize(
    ("counts", "tier"),
    [
        ({}, ""),
        ({"service_tier": "standard", "speed": "standard"}, "standard"),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({"service_tier": None, "speed": None}, ""),
    ],
)
def test_the_tier_is_that_of_the_service_or_the_speed(counts, tier):
    assert usage(START, delta(0, text="x"), end(usage={"output_tokens": 3, **counts}), STOP).tier == tier


def test_steps_that_a_later_record_lacks_do_not_lower_a_count():
    start = {"type": "message_start", "message": {"usage": {"iterations": [{"input_tokens": 5, "output_tokens": 1}]}}}
    found = usage(start, delta(0, text="x"), end(usage={"output_tokens": 30}), STOP)
    assert (found.input_tokens, found.output_tokens) == (5, 30)


# The request.


def body(model: str, **options: Any) -> dict[str, Any]:
    return messages.body(Request(model, "Hello", **options), {})


@pytest.mark.parametrize("model", get_args(get_args(Model)[0]))
def test_every_model_of_the_sdk_has_a_row(model):
    assert claude.features(model).thinking


@pytest.mark.parametrize(
    ("model", "efforts"),
    [
        ("claude-haiku-4-5-20251001", "none low medium high xhigh max"),
        ("claude-sonnet-4-6", "none low medium high max"),
        ("us.anthropic.claude-opus-4-6-v1", "none low medium high max"),
        ("claude-opus-4-8", "none low medium high xhigh max"),
        ("claude-mythos-preview", "low medium high max"),
        ("claude-opus-5", "none low medium high xhigh max"),
        ("claude-sonnet-5-5", "none low medium high xhigh max"),
        ("claude-opus-5-5", "low medium high xhigh max"),
        ("anthropic/claude-opus-5.5", "low medium high xhigh max"),
        ("claude-fable-5-2", "low medium high xhigh max"),
        ("claude-mythos-5", "low medium high xhigh max"),
    ],
)
def test_efforts_depend_on_the_model(model, efforts):
    for effort in claude.EFFORTS:
        if effort in efforts.split():
            body(model, effort=effort)
            continue
        with pytest.raises(UsageError) as failed:
            body(model, effort=effort)
        assert str(failed.value) == f"{model} has no effort={effort}: use one of {', '.join(efforts.split())}"


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-haiku-4-5", {"type": "disabled"}),
        ("claude-opus-4-7", None),
        ("claude-sonnet-5", {"type": "disabled"}),
        ("claude-sonnet-5-5", {"type": "between_tools"}),
        ("claude-haiku-5-5", {"type": "disabled"}),
        ("someone/else", {"type": "disabled"}),
    ],
)
def test_thinking_is_turned_off_as_the_model_takes_it(model, thinking):
    assert body(model, effort="none").get("thinking") == thinking


@pytest.mark.parametrize("option", ["temperature", "top_p"])
def test_sampling_parameters_are_for_models_that_take_them(option):
    for model in ("claude-haiku-4-5", "claude-opus-4-6", "someone/else"):
        assert body(model, same_names={option: 0.5})[option] == 0.5
    for model in ("claude-opus-4-7", "claude-sonnet-5", "claude-haiku-5-5", "claude-mythos-preview"):
        with pytest.raises(UsageError) as failed:
            body(model, same_names={option: 0.5})
        assert str(failed.value) == f"{model} has no {option}: leave it out"
        assert body(model, same_names={option: 1.0})[option] == 1.0


def test_the_version_is_the_one_that_has_the_fields_of_the_body():
    assert messages.headers("k", {"model": "m"}) == ["anthropic-version: 2026-10-21", "x-api-key: k"]
    for name in ("temperature", "top_p", "top_k"):
        assert messages.headers("", {name: 1}) == ["anthropic-version: 2023-06-01"]


SUMMARIZED = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("model", "options", "thinking"),
    [
        ("claude-sonnet-5-5", {}, SUMMARIZED),
        ("claude-opus-4-6", {}, SUMMARIZED),
        ("claude-opus-5-5", {"effort": "low"}, SUMMARIZED),
        ("claude-sonnet-5-5", {"effort": "none"}, {"type": "between_tools"}),
        ("claude-opus-4-6", {"same_names": {"temperature": 0.5}}, None),
        ("claude-haiku-4-5", {}, None),
        ("claude-haiku-4-5", {"effort": "low"}, {"type": "enabled", "budget_tokens": 2048}),
        ("claude-haiku-4-5", {"prefill": Prefill("1.")}, None),
        ("someone/else", {}, None),
        ("someone/else", {"effort": "low"}, {"type": "adaptive"}),
    ],
)
def test_reasoning_that_is_wanted_is_asked_for(model, options, thinking):
    assert body(model, reasoning=True, **options).get("thinking") == thinking


def test_a_prefill_excludes_thinking():
    with pytest.raises(UsageError, match="prefill does not work while the model thinks"):
        body("claude-haiku-4-5", effort="low", prefill=Prefill("1."))
