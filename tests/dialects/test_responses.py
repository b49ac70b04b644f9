"""Responses: whichever events carry an answer, its meaning is the same."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmstream.core import decoder, report
from llmstream.core.events import Event, Reasoning, ScoredText, Source, Text
from llmstream.core.exchange import Exchange
from llmstream.core.request import Request
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects import dialect, responses
from llmstream.errors import Incomplete, Refused, Unavailable

from ..support.loopback import frame
from ..support.transcripts import meaning, read

Json = dict[str, Any]


def exchange(content_type: str = "text/event-stream") -> Exchange:
    exchange = Exchange(dialect("responses").Decoder("p", "m"), Timeouts(), Timing(0.0), 0.0, "http://host/path")
    exchange.head(200, {"content-type": content_type})
    return exchange


def stream(*events: Json) -> tuple[Exchange, list[Event]]:
    """Reads a stream of events, each of which has its `type`, which begins with "response."."""
    reader = exchange()
    return reader, read(reader, [b"".join(frame({**event, "type": f"response.{event['type']}"}) for event in events)])


def whole(output: list[Json], **fields: Any) -> tuple[Exchange, list[Event]]:
    """Reads an answer that is not streamed."""
    reader = exchange("application/json")
    answer = {"object": "response", "status": "completed", "output": output, **fields}
    return reader, read(reader, [json.dumps(answer).encode()])


def end(output: list[Json] = [], status: str = "completed", **fields: Any) -> Json:  # noqa: B006 - never changed
    return {"type": status, "response": {"status": status, "output": output, **fields}}


def message(*texts: str, id: str = "msg_a", **fields: Any) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "id": id, "role": "assistant", "content": content, **fields}


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def reasoning(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Reasoning))


def sources(events: list[Event]) -> list[Json]:
    return [event.as_dict() for event in events if isinstance(event, Source)]


# The same answer, by whichever events.

CITATION = {
    "type": "url_citation",
    "url": "https://example.org/rhine",
    "title": "Rhine",
    "start_index": 0,
    "end_index": 4,
}
OUTPUT: list[Json] = [
    {
        "type": "reasoning",
        "id": "rs_a",
        "summary": [{"type": "summary_text", "text": "Two rivers."}, {"type": "summary_text", "text": "Which one? 🌊"}],
    },
    message("Let me look.", id="msg_a", phase="commentary"),
    {"type": "function_call", "id": "fc_a", "call_id": "call_a", "name": "length", "arguments": '{"river":"Rhine"}'},
    {"type": "custom_tool_call", "id": "ct_a", "call_id": "call_b", "name": "query", "input": "SELECT '{' FROM rivers"},
    {"type": "function_call", "id": "fc_b", "call_id": "call_c", "name": "length", "arguments": ""},
    message("It is ", "the Rhine.", id="msg_b", phase="final_answer"),
    message("It flows north.", id="msg_c"),
    {"type": "reasoning", "id": "rs_b", "summary": [], "content": [{"type": "reasoning_text", "text": "Done."}]},
]
OUTPUT[5]["content"][1]["annotations"] = [CITATION]
MEANING = {
    "text": "It is the Rhine.\nIt flows north.",
    "reasoning": "Two rivers.\nWhich one? 🌊\nLet me look.\nDone.",
    "sources": [[CITATION["url"], "Rhine", 0, 4]],
    "calls": [
        ["call_a", "length", '{"river":"Rhine"}'],
        ["call_b", "query", "SELECT '{' FROM rivers"],
        ["call_c", "length", "{}"],
    ],
    "finish": ["tool_calls", "completed"],
    "usage": [1, 2, 0, 0],
    "status": 0,
}
KINDS = {"output_text": "output_text", "summary_text": "reasoning_summary_text", "reasoning_text": "reasoning_text"}
CALLS = {
    "function_call": ("function_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
}
CARRIERS = ("delta", "done", "part", "item", "answer")


def pieces(text: str) -> Iterator[str]:
    return (text[i : i + 5] for i in range(0, len(text), 5))


def events_of(item: Json, place: Json, carriers: tuple[str, ...]) -> Iterator[Json]:
    """Yields the events of one item, with its texts in some of them only."""
    empty = {name: [] if isinstance(value, list) else value for name, value in item.items()}
    if item["type"] in CALLS:
        name, field = CALLS[item["type"]]
        yield {"type": "output_item.added", **place, "item": item | {field: ""}}
        if "delta" in carriers:
            yield from ({"type": f"{name}.delta", **place, "delta": piece} for piece in pieces(item[field]))
        if "done" in carriers:
            yield {"type": f"{name}.done", **place, field: item[field]}
    else:
        yield {"type": "output_item.added", **place, "item": empty}
        field = "summary" if item.get("summary") else "content"
        for index, part in enumerate(item[field]):
            yield from part_events(part, place | {f"{field}_index": index}, carriers)
    yield {"type": "output_item.done", **place, "item": item if "item" in carriers else empty | {"arguments": ""}}


def part_events(part: Json, place: Json, carriers: tuple[str, ...]) -> Iterator[Json]:
    kind = KINDS[part["type"]]
    frame_kind = "reasoning_summary_part" if part["type"] == "summary_text" else "content_part"
    yield {"type": f"{frame_kind}.added", **place, "part": part | {"text": "", "annotations": []}}
    if "delta" in carriers:
        for piece in pieces(part["text"]):
            yield {"type": f"{kind}.delta", **place, "delta": piece, "logprobs": []}
        for annotation in part.get("annotations", ()):
            yield {"type": f"{kind}.annotation.added", **place, "annotation_index": 0, "annotation": annotation}
    if "done" in carriers:
        yield {"type": f"{kind}.done", **place, "text": part["text"]}
    if "part" in carriers:
        yield {"type": f"{frame_kind}.done", **place, "part": part}


def without_texts(item: Json) -> Json:
    return {
        name: [] if isinstance(value, list) else "" if name in ("arguments", "input") else value
        for name, value in item.items()
    }


def script(carriers: tuple[str, ...], places: str) -> list[Json]:
    """Returns the events of the answer; `places` says how they name their items."""
    events: list[Json] = [{"type": "created", "response": {"id": "resp_a", "model": "m", "output": []}}]
    fresh = itertools.count()
    for index, item in enumerate(OUTPUT):
        own = item if places != "changing ids" else item | {"id": f"new_{next(fresh)}"}
        for event in events_of(own, {"item_id": own["id"], "output_index": index}, carriers):
            if places == "index":
                del event["item_id"]
            elif places == "id":
                del event["output_index"]
            elif places == "changing ids":
                event["item_id"] = f"new_{next(fresh)}"
                if "item" in event:
                    event["item"] = event["item"] | {"id": f"new_{next(fresh)}"}
            elif places == "one index":
                event["output_index"] = 0
            events.append(event)
    output = OUTPUT if "answer" in carriers else []
    return [*events, end(output, usage={"input_tokens": 1, "output_tokens": 2})]


SUBSETS = [subset for count in range(1, 6) for subset in itertools.combinations(CARRIERS, count)]
# Calls have no parts: their arguments need another event.
SUBSETS = [subset for subset in SUBSETS if subset != ("part",)]


@pytest.mark.parametrize("places", ["both", "index", "id", "changing ids", "one index"])
@pytest.mark.parametrize("carriers", SUBSETS, ids="+".join)
def test_each_text_counts_once_whichever_events_carry_it(carriers, places):
    reader, events = stream(*script(carriers, places))
    found = meaning(reader, events)
    assert found == MEANING | {"sources": found["sources"]}
    assert found["sources"] == ([] if carriers == ("done",) else MEANING["sources"])  # which has none
    assert reader.warning == ""


def test_an_answer_that_is_not_streamed_means_the_same():
    reader, events = whole(OUTPUT, usage={"input_tokens": 1, "output_tokens": 2})
    assert meaning(reader, events) == MEANING


def test_a_text_whose_end_comes_only_in_done():
    place = {"item_id": "a", "output_index": 0, "content_index": 0}
    delta = {"type": "output_text.delta", **place, "delta": "The Rh"}
    assert text(stream(delta, {"type": "output_text.done", **place, "text": "The Rhine."}, end())[1]) == "The Rhine."


@pytest.mark.parametrize("done", ["The Aare is longer.", "The", "The Rh", ""])
def test_a_complete_text_that_does_not_continue_the_pieces_is_left_out(done):
    place = {"item_id": "a", "output_index": 0, "content_index": 0}
    delta = {"type": "output_text.delta", **place, "delta": "The Rh"}
    assert text(stream(delta, {"type": "output_text.done", **place, "text": done}, end())[1]) == "The Rh"


def test_events_that_name_no_item():
    """As of a small server that sends deltas alone, and all of it at the end."""
    thought = {"type": "reasoning_text.delta", "delta": "Hm."}
    deltas = [{"type": "output_text.delta", "delta": piece} for piece in ("The ", "Aare.")]
    output = [
        {"type": "reasoning", "id": "x", "content": [{"type": "reasoning_text", "text": "Hm."}]},
        message("The Aare."),
    ]
    _, events = stream(
        thought, *deltas, {"type": "output_item.done", "output_index": 1, "item": output[1]}, end(output)
    )
    assert (text(events), reasoning(events)) == ("The Aare.", "Hm.")


def test_a_terminal_output_without_its_reasoning():
    """Its places are others then than those of the stream."""
    deltas = [
        {"type": "reasoning_text.delta", "item_id": "r1", "output_index": 0, "delta": "Hm."},
        {"type": "output_text.delta", "item_id": "m1", "output_index": 1, "delta": "The Aare."},
    ]
    assert text(stream(*deltas, end([message("The Aare.", id="other")]))[1]) == "The Aare."


def test_reasoning_that_a_server_has_in_both_fields_is_passed_on_once():
    item = {"type": "reasoning", "id": "r", "summary": [{"text": "Hm."}], "content": [{"text": "Hm."}]}
    delta = {"type": "reasoning_text.delta", "item_id": "r", "output_index": 0, "delta": "Hm."}
    assert (
        reasoning(stream(delta, {"type": "output_item.done", "output_index": 0, "item": item}, end([item]))[1]) == "Hm."
    )
    assert reasoning(whole([item, message("Yes.")])[1]) == "Hm."


def test_a_refusal_after_a_text_is_set_apart():
    item = message("I see.")
    item["content"].append({"type": "refusal", "refusal": "I can't say."})
    reader, events = whole([item])
    assert text(events) == "I see.\nI can't say."
    assert reader.finish.reason == "refusal"


# Calls.


@pytest.mark.parametrize(
    ("item", "name", "arguments"),
    [
        ({"type": "local_shell_call", "action": {"command": ["ls"]}}, "local_shell", '{"command": ["ls"]}'),
        ({"type": "shell_call", "action": {"commands": ["ls"]}}, "shell", '{"commands": ["ls"]}'),
        ({"type": "shell_call", "action": {}, "environment": {"type": "local"}}, "shell", "{}"),
        ({"type": "apply_patch_call", "operation": {"path": "a"}}, "apply_patch", '{"path": "a"}'),
        ({"type": "computer_call", "action": {"type": "wait"}}, "computer", '{"type": "wait"}'),
        ({"type": "computer_call", "actions": [{"type": "wait"}]}, "computer", '{"actions": [{"type": "wait"}]}'),
        ({"type": "tool_search_call", "execution": "client", "arguments": {"q": 1}}, "tool_search", '{"q": 1}'),
        ({"type": "mcp_approval_request", "name": "drop", "arguments": '{"t":1}'}, "drop", '{"t":1}'),
    ],
)
def test_calls_that_wait_for_the_client(item, name, arguments):
    item = {"id": "i", **item} if item["type"].startswith("mcp") else {"id": "x", "call_id": "i", **item}
    added = {"type": "output_item.added", "output_index": 0, "item": {**item, "action": {}, "operation": {}}}
    done = {"type": "output_item.done", "output_index": 0, "item": item}
    for reader, events in (
        stream(added, done, end()),
        stream(end([item])),
        stream(added, done, end([item])),
        whole([item]),
    ):
        found = meaning(reader, events)
        assert [call[:2] for call in found["calls"]] == [["i", name]]
        assert json.loads(found["calls"][0][2]) == json.loads(arguments)
        assert found["finish"] == ["tool_calls", "completed"]


@pytest.mark.parametrize(
    "items",
    [
        [{"type": "shell_call", "call_id": "i", "action": {}, "environment": {"type": "container_reference"}}],
        [{"type": "shell_call", "call_id": "i", "action": {}}, {"type": "shell_call_output", "call_id": "i"}],
        [{"type": "apply_patch_call", "call_id": "i"}, {"type": "apply_patch_call_output", "call_id": "i"}],
        [{"type": "tool_search_call", "call_id": "i", "execution": "server", "arguments": {}}],
        [{"type": "custom_tool_call", "call_id": "i", "name": "x_keyword_search", "input": "{}"}],
        [{"type": "mcp_call", "id": "i", "name": "f", "arguments": "{}"}],
        [{"type": "code_interpreter_call", "id": "i", "code": "1"}, {"type": "file_search_call", "id": "j"}],
        [{"type": "program", "id": "i", "call_id": "c"}, {"type": "program_output", "call_id": "c"}, {"type": "later"}],
    ],
)
def test_calls_that_the_server_runs_are_no_calls(items):
    done = [{"type": "output_item.done", "output_index": i, "item": item} for i, item in enumerate(items)]
    for reader, events in (stream(*done, end([*items, message("Yes.")])), whole([*items, message("Yes.")])):
        found = meaning(reader, events)
        assert (found["text"], found["calls"], found["finish"]) == ("Yes.", [], ["stop", "completed"])


@pytest.mark.parametrize("first", ["", "{}"])
def test_a_call_that_begins_twice_is_one(first):
    call = {"type": "function_call", "id": "x", "call_id": "c", "name": "f", "arguments": first}
    begin = {"type": "output_item.added", "item": call}
    arguments = {"type": "function_call_arguments.done", "item_id": "x", "arguments": "{}"}
    found, events = stream(begin, begin, arguments, end())
    assert meaning(found, events)["calls"] == [["c", "f", "{}"]]


def test_another_answer_in_the_same_body_is_not_read():
    def begin(id: str) -> Json:
        return {"type": "created", "response": {"id": id}}

    def delta(text: str) -> Json:
        return {"type": "output_text.delta", "delta": text}

    found, events = stream(begin("r1"), begin("r1"), delta("One"), begin("r2"), delta("Two"), end())
    assert text(events) == "One"
    assert found.failure is not None
    assert found.failure.status == 5


def test_arguments_of_xai_s_own_tools_go_to_no_other_call():
    added = [
        {"type": "output_item.added", "output_index": 0, "item": OUTPUT[2] | {"arguments": ""}},
        {"type": "output_item.added", "output_index": 1, "item": {"type": "custom_tool_call", "name": "x_user_search"}},
    ]
    pieces = [
        {"type": "custom_tool_call_input.delta", "output_index": 1, "delta": "{}"},
        {"type": "function_call_arguments.delta", "output_index": 0, "delta": "[]"},
    ]
    reader, events = stream(*added, *pieces, end())
    assert meaning(reader, events)["calls"] == [["call_a", "length", "[]"]]


def test_arguments_too_long_to_be_kept_are_passed_on_once(monkeypatch):
    monkeypatch.setattr(decoder, "MAX_CHECKED_SIZE", 10)
    reader, events = stream(*script(CARRIERS, "both"))
    assert meaning(reader, events)["calls"] == MEANING["calls"]


def test_arguments_as_an_object():
    """As some servers send them."""
    reader, events = whole([{"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}}])
    assert json.loads(meaning(reader, events)["calls"][0][2]) == {"a": 1}


# What an answer has that is not passed on.


@pytest.mark.parametrize(
    ("output", "note"),
    [
        ([{"type": "image_generation_call", "result": "iVBOR"}], "an image"),
        ([message(content=[{"type": "output_audio", "data": "UklG"}])], "sound"),
        ([message("One moment.", phase="commentary")], "commentary"),
        ([{"type": "image_generation_call", "status": "failed", "result": None}], ""),
        ([{"type": "image_generation_call", "result": "iVBOR"}, message("Here.")], ""),
    ],
)
def test_a_note_on_what_was_dropped(output, note):
    for reader, _ in (whole(output), stream(end(output))):
        assert reader.warning == (f"the answer has no text, but {note}" if note else "")
        assert reader.failure is None


def test_sound_and_its_transcript():
    sound = {"type": "audio.delta", "delta": "UklG"}
    words = [{"type": "audio.transcript.delta", "delta": piece} for piece in ("The ", "Aare")]
    reader, events = stream(sound, *words, sound, {"type": "audio.transcript.done"}, end())
    assert (text(events), reader.warning) == ("The Aare", "")
    assert stream(sound, end())[0].warning == "the answer has no text, but sound"
    assert text(whole([message(content=[{"type": "output_audio", "transcript": "The Aare"}])])[1]) == "The Aare"


# Endings.


@pytest.mark.parametrize(
    ("status", "fields", "reason", "kind"),
    [
        ("completed", {}, "stop", None),
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "length", Incomplete),
        ("incomplete", {"incomplete_details": {"reason": "max_messages"}}, "length", Incomplete),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "content_filter", Refused),
        ("incomplete", {"incomplete_details": {"reason": "steered"}}, "incomplete", Incomplete),
        ("incomplete", {"incomplete_details": {"reason": "weather"}}, "unknown", Incomplete),
        ("incomplete", {"incomplete_details": None}, "length", Incomplete),
        ("incomplete", {}, "length", Incomplete),
        ("cancelled", {}, "incomplete", Incomplete),
    ],
)
def test_endings(status, fields, reason, kind):
    delta = {"type": "output_text.delta", "output_index": 0, "delta": "The"}
    late = {"type": "completed", "response": {"status": status, **fields}}  # as some servers end every answer
    for reader, events in (
        stream(delta, end([], status, **fields)),
        stream(delta, late),
        whole([message("The")], status=status, **fields),
    ):
        assert text(events) == "The"
        assert reader.finish.reason == reason
        assert reader.failure is None
        verdict = report.verdict(reader.finish, False)
        assert type(verdict) is (kind or type(None))


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_whole_answer_that_is_not_ready_is_not_whole(status):
    for output in ([], [message("The")]):
        reader, _ = whole(output, status=status)
        assert type(report.verdict(reader.finish, False)) is Incomplete


def test_perplexity_s_requires_action():
    reader, _ = whole([OUTPUT[2]], status="requires_action")
    assert reader.finish.reason == "tool_calls"


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        ({"code": "server_error", "message": "No."}, Unavailable, "No. (server_error)"),
        ({"code": "bio_policy", "message": "No."}, Refused, "No. (bio_policy)"),
        (
            {
                "code": "misalignment_policy_violation",
                "message": "No.",
                "misalignment": {"detailed_explanation": "It would send files out."},
            },
            Refused,
            "No. It would send files out. (misalignment_policy_violation)",
        ),
        (None, Unavailable, "the provider ended the answer with an error"),
    ],
)
def test_failures(error, kind, says):
    for reader, events in (
        stream(end([message("The")], "failed", error=error)),
        whole([message("The")], status="failed", error=error),
    ):
        assert text(events) == ""
        assert isinstance(reader.failure, kind)
        assert says in str(reader.failure)


# Sources, prices, scores.

RESULTS = [{"id": 1, "url": "https://a.example", "title": "A"}, {"id": 2, "url": "https://b.example", "title": "B"}]


def test_citations_are_passed_on_once():
    annotations = [
        CITATION,
        CITATION,
        CITATION | {"start_index": 9, "end_index": 12},
        {
            "type": "url_citation",
            "url": "https://c.example",
            "title": "https://c.example",
            "start_index": 0,
            "end_index": 0,
        },
        {"type": "file_citation", "file_id": "f", "filename": "rivers.pdf", "index": 7},
        {"type": "file_path", "file_id": "f", "index": 0},
    ]
    item = message("The Rhine")
    item["content"][0]["annotations"] = annotations
    done = {"type": "output_item.done", "output_index": 0, "item": item}
    search = {
        "type": "web_search_call",
        "id": "w",
        "action": {"type": "search", "sources": [{"url": "https://d.example"}]},
    }
    _, events = stream({"type": "output_item.done", "output_index": 1, "item": search}, done, end([search, item]))
    assert sources(events) == [
        {"type": "source", "url": CITATION["url"], "title": "Rhine", "start": 0, "end": 4},
        {"type": "source", "url": CITATION["url"], "title": "Rhine", "start": 9, "end": 12},
        {"type": "source", "url": "https://c.example"},
        {"type": "source", "title": "rivers.pdf", "start": 7},
    ]


def test_search_results_are_sources_where_nothing_is_cited():
    found = {"type": "search_results", "results": RESULTS}
    expected = [{"type": "source", "url": r["url"], "title": r["title"]} for r in RESULTS]
    step = {"type": "reasoning.search_results", "results": RESULTS[:1], "thought": "Rivers."}
    for _, events in (
        stream(end([found, message("The Aare [1].")])),
        stream(step, {"type": "output_item.done", "item": found}, end([message("The Aare [1].")])),
        whole([message("The Aare [1].")], search_results=RESULTS, citations=["https://a.example"]),
    ):
        assert sources(events) == expected
    assert sources(whole([found])[1]) == []
    item = message("The Rhine")
    item["content"][0]["annotations"] = [CITATION]
    assert [source["url"] for source in sources(whole([found, item])[1])] == [CITATION["url"]]


def test_a_cut_answer_keeps_the_results_of_its_search():
    found = {"type": "output_item.done", "item": {"type": "search_results", "results": RESULTS}}
    reader, events = stream(found, {"type": "output_text.delta", "output_index": 1, "delta": "The"})
    assert type(reader.failure) is Incomplete
    assert len(sources(events)) == 2


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost_in_usd_ticks": 37_756_000}, 0.0037756),
        ({"cost_in_usd_ticks": 0}, 0.0),
        ({"cost": {"currency": "USD", "total_cost": 0.25}}, 0.25),
        ({"cost": {"currency": "EUR", "total_cost": 0.25}}, None),
        ({"cost": 0.5}, 0.5),
        ({"cost": "much"}, None),
        ({}, None),
    ],
)
def test_prices_that_the_provider_states(usage, cost):
    assert stream(end(usage=usage))[0].usage.cost_usd == cost


@pytest.mark.parametrize(
    ("usage", "output"),
    [
        (
            {
                "input_tokens": 5,
                "output_tokens": 7,
                "total_tokens": 12,
                "output_tokens_details": {"reasoning_tokens": 4},
            },
            7,
        ),
        (
            {
                "input_tokens": 5,
                "output_tokens": 7,
                "total_tokens": 16,
                "output_tokens_details": {"reasoning_tokens": 4},
            },
            11,
        ),
    ],
)
def test_reasoning_that_is_counted_beside_the_output(usage, output):
    assert stream(end(usage=usage))[0].usage.output_tokens == output


def test_tokens_of_the_cache_and_the_tier():
    details = {
        "cached_tokens": 3,
        "cache_write_tokens": 5,
        "cache_write_tokens_details": {"ttl_12h_tokens": 4, "ttl_30m_tokens": 1},
    }
    usage = stream(end(usage={"input_tokens": 9, "input_tokens_details": details}, service_tier="flex"))[0].usage
    assert (usage.cached_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens, usage.tier) == (3, 5, 4, "flex")
    details = {"cache_read_input_tokens": 3, "cache_creation_input_tokens": 5}  # Perplexity
    usage = stream(end(usage={"input_tokens": 9, "input_tokens_details": details}))[0].usage
    assert (usage.cached_tokens, usage.cache_write_tokens) == (3, 5)


SEARCH = {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}


@pytest.mark.parametrize(
    ("output", "fields", "usage", "count"),
    [
        ([{**SEARCH, "id": "a"}, {**SEARCH, "id": "b"}], {}, {}, 2),
        (
            [{**SEARCH, "id": "a", "action": {"type": "open_page"}}, {**SEARCH, "id": "b", "status": "failed"}],
            {},
            {},
            0,
        ),
        ([{**SEARCH, "id": "a"}], {"tool_usage": {"web_search": {"num_requests": 3}}}, {}, 3),
        ([{**SEARCH, "id": "a"}], {"tool_usage": {"web_search": {"num_requests": 0}}}, {}, 0),
        ([], {}, {"server_side_tool_usage_details": {"web_search_calls": 1, "x_search_calls": 2}}, 3),
        ([], {}, {"tool_calls_details": {"search_web": {"invocation": 4}}}, 4),
    ],
)
def test_searches(output, fields, usage, count):
    done = [{"type": "output_item.done", "output_index": i, "item": item} for i, item in enumerate(output)]
    assert stream(*done, end(output, usage=usage, **fields))[0].usage.searches == count


def test_log_probabilities():
    score = {"token": "The", "logprob": -0.1}
    place = {"item_id": "msg_a", "output_index": 0, "content_index": 0}
    delta = {"type": "output_text.delta", **place, "delta": "The", "logprobs": [score]}
    item = message()
    item["content"] = [{"type": "output_text", "text": "The", "logprobs": [score]}]
    for _, events in (stream(delta, end()), stream(end([item])), whole([item])):
        assert ScoredText("The", [score]) in events
    assert [type(event) for event in stream({**delta, "logprobs": []}, end())[1] if isinstance(event, Text)] == [Text]


# The body.


def test_no_answer_is_stored_unless_the_user_asks():
    assert responses.body(Request("m", "Hi"), {})["store"] is False
    assert "store" not in responses.body(Request("m", "Hi"), {"store": ""})


# Any JSON.

ODD = [None, True, -1, 2**70, 1.5, "", "x", [], [1, [2]], {}, {"id": []}, {"type": {}}]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_values_of_any_kind_do_no_harm(odd):
    """Each field of each event may be anything."""
    for place, event in enumerate(events := script(CARRIERS, "both")):
        for name in event:
            if name != "type":
                reader, _ = stream(*events[:place], event | {name: odd}, *events[place + 1 :])
                assert reader.over


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_items_of_any_kind_do_no_harm(odd):
    for place, item in enumerate(OUTPUT):
        for name in item:
            output = [*OUTPUT[:place], item | {name: odd}, *OUTPUT[place + 1 :]]
            for reader, _ in (
                stream(end(output)),
                whole(output),
                stream(*script(("delta",), "both")[:-1], end(output)),
            ):
                assert reader.over
