"""Native items: what a provider wants back is collected, kept in a conversation, and sent to that provider alone."""

from __future__ import annotations

import json

import pytest

from llmstream.core.decoder import Decoder
from llmstream.core.events import ToolCall
from llmstream.core.exchange import Exchange
from llmstream.core.request import Message, Request
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects import dialect
from llmstream.dialects.native import COLLECTORS
from llmstream.providers.target import Target
from llmstream.request.answer import AnswerBuilder
from llmstream.request.conversation import as_item, converse

from ..support.loopback import DONE, chat_end, frame
from ..support.sdk_types import unlike


def event(kind: str, **data: object) -> bytes:
    return frame({"type": kind, **data}, kind)


def block(index: int, start: dict, *deltas: dict) -> list[bytes]:
    begin = event("content_block_start", index=index, content_block=start)
    pieces = [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return [begin, *pieces, event("content_block_stop", index=index)]


MESSAGES = [
    event("message_start", message={"id": "m", "model": "m", "usage": {"input_tokens": 1}}),
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "thinking_delta", "thinking": "m."},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    *block(1, {"type": "redacted_thinking", "data": "b3BhcXVl"}),
    *block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "I look."}),
    *block(
        3,
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"city":'},
        {"type": "input_json_delta", "partial_json": '"Kiel"}'},
    ),
    event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 5}),
    event("message_stop"),
]
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
CALLED = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": '{"city":"Kiel"}'}
SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
}
RESPONSES = [
    event("response.created", response={"id": "r", "model": "m"}),
    *(event("response.output_item.done", item=item, output_index=i) for i, item in enumerate((THOUGHT, SAID, CALLED))),
    event("response.completed", response={"id": "r", "model": "m", "status": "completed", "output": []}),
]
SIGNED = {"google": {"thought_signature": "c2ln"}}


def chunk(**delta: object) -> bytes:
    return frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]})


CALL = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"city":"Kiel"}'}}
CHAT = [
    chunk(reasoning_content="Hm"),
    chunk(reasoning_content="m."),
    chunk(content="I look."),
    chunk(tool_calls=[CALL | {"extra_content": SIGNED}]),
    chat_end("tool_calls") + DONE,
]
DETAILS = [
    chunk(reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "H", "format": "f", "signature": None}]),
    chunk(reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "m", "signature": "c2ln"}]),
    chunk(reasoning_details=[{"type": "reasoning.encrypted", "index": 1, "data": "x", "id": "r"}]),
    chunk(content="I look."),
    chunk(tool_calls=[CALL]),
    chat_end("tool_calls") + DONE,
]
OLLAMA = [
    {"message": {"thinking": "Hmm."}},
    {"message": {"content": "I look."}},
    {"message": {"tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": {"city": "Kiel"}}}]}},
    {"done": True, "done_reason": "stop"},
]
ANSWERS = {
    "messages": MESSAGES,
    "responses": RESPONSES,
    "chat": CHAT,
    "details": DETAILS,
    "ollama": [json.dumps(line).encode() + b"\n" for line in OLLAMA],
}
NATIVE = {
    "messages": [
        {"type": "thinking", "thinking": "Hmm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Kiel"}},
    ],
    "responses": [THOUGHT, SAID, CALLED],
    "chat": [{"reasoning_content": "Hmm.", "tool_calls": [{"id": "c1", "extra_content": SIGNED}]}],
    "details": [
        {
            "reasoning_details": [
                {"type": "reasoning.text", "index": 0, "text": "Hm", "format": "f", "signature": "c2ln"},
                {"type": "reasoning.encrypted", "index": 1, "data": "x", "id": "r"},
            ]
        }
    ],
    "ollama": [{"thinking": "Hmm."}],
}


def api_of(name: str) -> str:
    return "chat" if name == "details" else name


def target(name: str, model: str = "m") -> Target:
    return Target("p", model, api_of(name), "http://host/", "")


def answer(name: str, data: bytes, content_type: str = "") -> dict:
    """Returns the line of an answer in a conversation."""
    api = api_of(name)
    decoder: Decoder = dialect(api).Decoder("p", "m")
    exchange = Exchange(decoder, Timeouts(), Timing(0.0), 0.0, "", collector=COLLECTORS[api]())
    exchange.head(200, {"content-type": content_type or decoder.content_types[0]})
    builder = AnswerBuilder()
    builder.feed(exchange.feed(data, 0.0) + exchange.close(0.0))
    assert exchange.failure is None
    return as_item(builder.message(exchange), target(name))


def body(name: str, line: dict, model: str = "m") -> dict:
    items = [{"role": "user", "content": "Weather?"}, line, {"role": "tool", "tool_call_id": "c1", "content": "cold"}]
    request = converse(Request("m", "", native=True), items, "FILE", target(name, model))
    return dialect(api_of(name)).body(request, {})


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_provider_wants_back_is_kept_and_sent_unchanged(name):
    line = json.loads(json.dumps(answer(name, b"".join(ANSWERS[name]))))
    assert line["content"] == "I look."
    assert [call["function"]["name"] for call in line["tool_calls"]] == ["weather"]
    assert line["native"] == {"api": api_of(name), "provider": "p", "model": "m", "items": NATIVE[name]}
    sent = body(name, line)
    turns = sent.get("messages") or sent["input"]
    if name == "messages":
        assert turns[1] == {"role": "assistant", "content": NATIVE[name]}
    elif name == "responses":
        assert turns[1:4] == NATIVE[name]
        assert sent["include"] == ["reasoning.encrypted_content"]
    elif name == "chat":
        assert turns[1]["reasoning_content"] == "Hmm."
        assert turns[1]["tool_calls"][0]["extra_content"] == SIGNED
    else:
        assert {**turns[1], **NATIVE[name][0]} == turns[1]
    if api_of(name) != "chat":  # whose extensions no SDK's type has
        assert unlike(name, sent) == []


@pytest.mark.parametrize("name", ANSWERS)
def test_another_model_gets_text_and_calls_alone(name):
    sent = body(name, answer(name, b"".join(ANSWERS[name])), "another")
    assert unlike(api_of(name), sent) == []
    text = json.dumps(sent)
    assert "I look." in text and "Kiel" in text
    assert not any(word in text for word in ("c2ln", "gAAA", "Hm"))


@pytest.mark.parametrize("name", ["messages", "responses"])
@pytest.mark.parametrize("edit", ["content", "arguments"])
def test_a_turn_that_the_user_has_edited_is_sent_as_edited(name, edit):
    line = answer(name, b"".join(ANSWERS[name]))
    if edit == "content":
        line["content"] = "I LOOK."
    else:
        line["tool_calls"][0]["function"]["arguments"] = '{"city": "Bonn"}'
    text = json.dumps(body(name, line))
    assert ("I LOOK." if edit == "content" else "Bonn") in text
    assert "gAAA" not in text and "c2ln" not in text


def test_an_answer_in_one_piece():
    data = json.dumps({"type": "message", "content": NATIVE["messages"], "stop_reason": "tool_use"}).encode()
    assert answer("messages", data, "application/json")["native"]["items"] == NATIVE["messages"]
    data = json.dumps({"object": "response", "status": "completed", "output": NATIVE["responses"]}).encode()
    assert answer("responses", data, "application/json")["native"]["items"] == NATIVE["responses"]


def test_reasoning_that_only_the_provider_has_stored_is_left_out():
    frames = [RESPONSES[0], event("response.output_item.done", item={**THOUGHT, "encrypted_content": None})]
    assert "native" not in answer("responses", b"".join([*frames, *RESPONSES[2:]]))


def test_results_of_one_turn_are_one_message_in_messages():
    calls = [{"id": id, "function": {"name": "f", "arguments": "{}"}} for id in "ab"]
    results = [{"role": "tool", "tool_call_id": id, "content": id, "is_error": id == "b"} for id in "ab"]
    items = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    sent = dialect("messages").body(converse(Request("m", ""), items, "FILE"), {})
    assert unlike("messages", sent) == []
    blocks = sent["messages"][-1]["content"]
    assert [(block["tool_use_id"], block.get("is_error", False)) for block in blocks] == [("a", False), ("b", True)]


def test_a_call_without_an_id_gets_one():
    builder = AnswerBuilder()
    builder.feed([ToolCall(0, "", "f", "")])
    call = builder.message(Exchange(dialect("chat").Decoder("p", "m"), Timeouts(), Timing(0.0), 0.0, "")).calls[0]
    assert call.id.startswith("call_") and call.arguments == "{}"


@pytest.mark.parametrize(
    ("api", "silent", "search"),
    [
        (
            "messages",
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "server_tool_use", "id": "s"},
        ),
        ("responses", THOUGHT, {"type": "web_search_call", "id": "s"}),
    ],
)
def test_an_answer_that_says_nothing_is_left_out_where_the_api_refuses_it(api, silent, search):
    def sent(content: str, *native: dict) -> list:
        turn = Message("assistant", content, native=native)
        body = dialect(api).body(Request("m", "Go on", messages=(Message("user", "Hi"), turn)), {})
        return [turn.get("content", turn) for turn in body["messages" if api == "messages" else "input"]]

    assert sent("") == sent(" \n") == sent("", silent) == ["Hi", "Go on"]
    assert len(sent("", silent, search)) >= 3


def test_a_cache_mark_needs_a_turn_that_is_sent():
    request = Request("m", "Go on", system="Be brief.", cache=True, messages=(Message("assistant", ""),))
    body = dialect("messages").body(request, {})
    assert body["messages"] == [{"role": "user", "content": "Go on"}]
