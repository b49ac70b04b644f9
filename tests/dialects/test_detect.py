"""Streams of every dialect are recognised and read, whatever their chunks."""

from __future__ import annotations

import json

import pytest

from llmstream.core.events import Finish, Reasoning, Text, ToolCall, Usage
from llmstream.dialects.detect import MAX_HEAD_BYTES, StreamReader
from llmstream.errors import Incomplete, Refused, Unavailable

from ..support import loopback
from ..support.chunks import chunkings


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def gemini(*texts: str) -> list[dict]:
    def chunk(text: str, **more: object) -> dict:
        return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}]}

    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1}
    return [*map(chunk, texts[:-1]), {**chunk(texts[-1], finishReason="STOP"), "usageMetadata": usage}]


def claude(*records: dict) -> bytes:
    begin = {"type": "system", "subtype": "init", "session_id": "s1", "model": "m", "tools": ["Bash"]}
    usage = {"input_tokens": 3, "output_tokens": 2}
    end = {"type": "result", "subtype": "success", "is_error": False, "result": "Hello, wörld", "usage": usage}
    return lines(begin, *records, end)


def assistant(message: str, *content: dict, **more: object) -> dict:
    return {"type": "assistant", "message": {"id": message, "role": "assistant", "content": [*content]}, **more}


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def delta(words: str) -> dict:
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}}
    return {"type": "stream_event", "event": event}


def codex(*records: dict) -> bytes:
    usage = {"input_tokens": 3, "cached_input_tokens": 1, "output_tokens": 2}
    begin = [{"type": "thread.started", "thread_id": "t1"}, {"type": "turn.started"}]
    return lines(*begin, *records, {"type": "turn.completed", "usage": usage})


def item(kind: str, words: str, event: str = "item.completed", name: str = "item_1") -> dict:
    return {"type": event, "item": {"id": name, "type": kind, "text": words}}


HELLO = ("Hello, ", "wörld")
RETRY = {"type": "system", "subtype": "api_retry", "attempt": 1, "error": "rate_limit"}
STREAMS = {
    "chat": b": comment\n\n" + b"".join(loopback.chat(*HELLO)),
    "chat, crlf": b"".join(loopback.chat(*HELLO)).replace(b"\n", b"\r\n"),
    "responses": b"".join(loopback.responses(*HELLO)),
    "messages": b'event: ping\ndata: {"type": "ping"}\n\n' + b"".join(loopback.messages(*HELLO)),
    "gemini, events": b"".join(map(loopback.frame, gemini(*HELLO))),
    "gemini, array": json.dumps(gemini(*HELLO), indent=2).encode(),
    "gemini, compact array": json.dumps(gemini(*HELLO)).encode(),
    "ollama, chat": lines(
        *({"model": "m", "message": {"role": "assistant", "content": word}, "done": False} for word in HELLO),
        {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 2},
    ),
    "ollama, generate": lines(
        *({"model": "m", "response": word, "done": False} for word in HELLO),
        {"model": "m", "response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 3},
    ),
    "events": lines(
        {"type": "start", "provider": "p", "model": "m", "id": "i"},
        *({"type": "text", "text": word} for word in HELLO),
        {"type": "usage", "input_tokens": 3, "output_tokens": 2, "cached_tokens": 0, "reasoning_tokens": 0},
        {"type": "finish", "reason": "stop", "provider_reason": "end"},
    ),
    "claude, whole messages": claude(RETRY, assistant("m1", text("Hello, wörld"))),
    "claude, block by block": claude(assistant("m1", text("Hello, ")), assistant("m1", text("wörld"))),
    "claude, more and more": claude(assistant("m1", text("Hello, ")), assistant("m1", text("Hello, wörld"))),
    "claude, partial": claude(
        {"type": "stream_event", "event": {"type": "message_start", "message": {"id": "m1"}}},
        delta("Hello, "),
        delta("wörld"),
        assistant("m1", text("Hello, wörld")),
    ),
    "claude, result only": claude(),
    "claude, with another agent": claude(
        assistant("m0", text("Psst"), parent_tool_use_id="t1"), assistant("m1", text("Hello, wörld"))
    ),
    "codex": codex({"type": "error", "message": "retrying"}, item("agent_message", "Hello, wörld")),
    "codex, updates": codex(
        item("agent_message", "Hello", "item.started"),
        item("agent_message", "Hello, w", "item.updated"),
        item("agent_message", "Hello, wörld"),
    ),
    "chat, not streamed": json.dumps(
        {"object": "chat.completion", "choices": [{"message": {"content": "Hello, wörld"}, "finish_reason": "stop"}]},
        indent=1,
    ).encode(),
    "messages, not streamed": lines(
        {"type": "message", "content": [{"type": "text", "text": "Hello, wörld"}], "stop_reason": "end_turn"}
    ),
    "responses, not streamed": lines(
        {"object": "response", "status": "completed", "output": [{"content": [{"text": "Hello, wörld"}]}]}
    ),
}


def read(pieces):
    reader = StreamReader(2.0)
    events = []
    for piece in pieces:
        events += reader.feed(piece, 0.0)
    if not reader.over:
        events += reader.close(0.0)
    assert reader.over
    return events, reader


def joined(events):
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.mark.parametrize("name", STREAMS)
def test_each_kind_is_recognised_at_every_cut(name):
    stream = STREAMS[name]
    for pieces in chunkings(stream) if len(stream) < 600 else ([stream], [bytes([byte]) for byte in stream]):
        events, reader = read(pieces)
        assert (joined(events), reader.failure) == ("Hello, wörld", None)
        assert reader.exchange.finish.reason == "stop"


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_cut_anywhere_is_never_whole(name):
    """But for what follows the end mark, and white space."""
    stream = STREAMS[name].strip()
    ended = False
    for end in range(len(stream)):
        events, reader = read([stream[:end]])
        ended = ended or reader.failure is None
        assert ended == (reader.failure is None)
        assert "Hello, wörld".startswith(joined(events))
        if reader.failure is None:
            assert joined(events) == "Hello, wörld"
        else:
            assert isinstance(reader.failure, Incomplete)


def test_gemini_reasoning_calls_and_usage():
    call = {"functionCall": {"name": "f", "args": {"a": 1}}}
    parts = [{"text": "hm", "thought": True}, {"text": "so"}, call]
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1, "cachedContentTokenCount": 1}
    chunk = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": usage}
    events, _ = read([loopback.frame(chunk)])
    assert events[1:] == [
        Reasoning("hm"),
        Text("so"),
        ToolCall(0, "", "f", '{"a": 1}'),
        Usage(3, 3, 1, 1),
        Finish("tool_calls", "STOP"),
    ]


def test_gemini_finish_reasons():
    for chunk, reason in (
        ({"promptFeedback": {"blockReason": "SAFETY"}}, Finish("content_filter", "SAFETY")),
        ({"candidates": [{"finishReason": "MAX_TOKENS"}]}, Finish("length", "MAX_TOKENS")),
        ({"candidates": [{"finishReason": "NEW_WORD"}]}, Finish("unknown", "NEW_WORD")),
    ):
        assert read([loopback.frame(chunk)])[1].exchange.finish == reason


def test_ollama_reasoning_calls_and_usage():
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    events, _ = read(
        [
            lines(
                {"model": "m", "message": {"thinking": "hm", "content": "", "tool_calls": [call]}, "done": False},
                {"model": "m", "done": True, "done_reason": "length", "prompt_eval_count": 3, "eval_count": 2},
            )
        ]
    )
    assert events[1:] == [Reasoning("hm"), ToolCall(0, "", "f", '{"a": 1}'), Usage(3, 2), Finish("length", "length")]


def test_events_of_gen_are_read_back():
    details = {"cached_tokens": 3, "reasoning_tokens": 4, "cache_write_tokens": 5}
    records = [
        {"type": "start", "provider": "p", "model": "m", "id": "i"},
        {"type": "reasoning", "text": "hm"},
        {"type": "tool_call", "index": 0, "id": "c", "name": "f", "arguments": "{}"},
        {"type": "usage", "input_tokens": 1, "output_tokens": 2, **details},
        {"type": "finish", "reason": "tool_calls", "provider_reason": "x"},
    ]
    events, _ = read([lines(*records)])
    assert [event.as_dict() for event in events] == records


def test_each_message_of_an_agent_begins_a_line():
    events, _ = read(
        [claude(assistant("m1", text("One.")), assistant("m2", text("Two.\n")), assistant("m3", text("3")))]
    )
    assert joined(events) == "One.\nTwo.\n3"
    events, _ = read([codex(item("agent_message", "One."), item("reasoning", "hm"), item("agent_message", "Two."))])
    assert joined(events) == "One.\nTwo."


@pytest.mark.parametrize(
    ("stream", "kind", "message"),
    [
        (lines({"error": {"message": "bad key", "type": "authentication_error"}}), Refused, "bad key"),
        (b'{\n "error": {\n  "message": "slow down",\n  "code": 429\n }\n}', Unavailable, "slow down"),
        (json.dumps([{"error": {"code": 400, "message": "no"}}]).encode(), Refused, "no"),
        (lines({"error": "model not found"}), Refused, "model not found"),
        (
            loopback.frame({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
            Unavailable,
            "busy",
        ),
        (lines({"type": "error", "status": 3, "message": "said no"}), Refused, "said no"),
        (lines({"type": "text", "text": "a"}, {"type": "error", "status": 4, "message": "m"}), Incomplete, "m"),
        (
            lines({"type": "system"}, {"type": "result", "subtype": "error_max_turns", "is_error": True}),
            Unavailable,
            "error_max_turns",
        ),
        (
            lines({"type": "thread.started"}, {"type": "turn.failed", "error": {"message": "quota"}}),
            Unavailable,
            "the agent gave up: quota",
        ),
        (b"<!DOCTYPE html><html>", Incomplete, "unrecognised stream: it begins with <!DOCTYPE"),
        (b"no colon here", Incomplete, "it begins with no colon here"),
        (b'{"weather": "fine"}', Incomplete, "unrecognised stream"),
        (b"", Incomplete, "the input is empty"),
        (b" \n", Incomplete, "the input is empty"),
        (lines({"type": "text", "text": "a"}) + b'{"type": "text" "text"}\n', Incomplete, "line 2"),
    ],
)
def test_errors_have_the_statuses_of_gen(stream, kind, message):
    for pieces in chunkings(stream):
        _, reader = read(pieces)
        assert type(reader.failure) is kind
        assert message in str(reader.failure)


def test_head_without_a_sign_is_bounded():
    reader = StreamReader(2.0)
    for _ in range(MAX_HEAD_BYTES // 100_000 + 2):
        reader.feed(b": comment" + b"x" * 99_990 + b"\n", 0.0)
    assert isinstance(reader.failure, Incomplete)


def test_end_of_the_connection_is_not_awaited():
    reader = StreamReader(2.0)
    reader.feed(loopback.chat_text("a") + loopback.chat_end(usage=False), 10.0)
    assert (reader.over, reader.deadline()) == (False, 12.0)
    reader.expire(12.0)
    assert (reader.over, reader.failure) == (True, None)
