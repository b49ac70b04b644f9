"""Streams of every dialect are recognised and read, whatever their chunks."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmstream.core.events import Finish, Reasoning, Source, Text, ToolCall, Usage
from llmstream.core.framing import Framing
from llmstream.core.pieces import Piece
from llmstream.core.render import EventRenderer
from llmstream.core.sse import MAX_EVENT_BYTES
from llmstream.dialects.reader import StreamReader, Unknown
from llmstream.errors import Incomplete, Refused, Unavailable

from ..core.test_junk import paths, replaced
from ..support import eventstream, loopback
from ..support.chunks import chunkings


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def gemini(*texts: str) -> list[dict]:
    def chunk(text: str, **more: object) -> dict:
        content = {"parts": [{"text": text}], "role": "model"}
        return {"responseId": "r1", "candidates": [{"content": content, "index": 0, **more}]}

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


def gemini_cli(*records: dict) -> bytes:
    def at(record: dict) -> dict:
        return {"type": record["type"], "timestamp": "2026-01-02T03:04:05.000Z", **record}

    begin = [{"type": "init", "session_id": "s1", "model": "m"}, {"type": "message", "role": "user", "content": "Hi"}]
    stats = {"total_tokens": 9, "input_tokens": 3, "output_tokens": 2, "cached": 1}
    return lines(*map(at, [*begin, *records, {"type": "result", "status": "success", "stats": stats}]))


def spoken_event(words: str, **more: object) -> dict:
    return {"type": "message", "role": "assistant", "content": words, **more}


def opencode(*records: dict) -> bytes:
    return lines(*({"timestamp": 1, "sessionID": "ses_1", **record} for record in records))


def step(kind: str, **part: object) -> dict:
    return {"type": kind, "part": {"type": kind.replace("_", "-"), **part}}


def step_end(reason: str = "stop") -> dict:
    return step("step_finish", reason=reason, tokens={"input": 3, "output": 2, "reasoning": 1, "cache": {"read": 4}})


def cohere(*events: tuple[str, dict]) -> bytes:
    return b"".join(loopback.frame({"type": kind, **data}, kind) for kind, data in events)


def content(**words: str) -> tuple[str, dict]:
    return "content-delta", {"index": 0, "delta": {"message": {"content": words}}}


COHERE_BEGIN = ("message-start", {"id": "c1", "delta": {"message": {"role": "assistant"}}})
COHERE_END = (
    "message-end",
    {"delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}}}},
)


def interaction(*events: dict) -> bytes:
    return b"".join(loopback.frame(event, event["event_type"]) for event in events)


def delta_of(index: int, event: str = "step.delta", **fields: object) -> dict:
    return {"event_type": event, "index": index, "delta": fields}


def completed(event: str = "interaction.completed", status: str = "completed") -> dict:
    usage = {"total_input_tokens": 3, "total_output_tokens": 2, "total_thought_tokens": 1, "total_tokens": 6}
    return {"event_type": event, "interaction": {"id": "i1", "status": status, "usage": usage}}


INTERACTION_BEGIN = {"event_type": "interaction.created", "interaction": {"id": "i1", "model": "m"}}


def converse(*events: tuple[str, dict]) -> bytes:
    return b"".join(eventstream.event(kind, data) for kind, data in events)


def block(index: int, event: str = "Delta", **fields: object) -> tuple[str, dict]:
    return f"contentBlock{event}", {"contentBlockIndex": index, event.lower(): fields}


CONVERSE_BEGIN = ("messageStart", {"role": "assistant"})
CONVERSE_END = (
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "cacheReadInputTokens": 4}}),
)


def recording(body: bytes, *, status: int = 200, api: str = "chat", retry: bool = False) -> bytes:
    """What `gen --record` writes; with `retry` its first request was answered by an error."""
    head = {"recording": 1, "provider": "openai", "model": "m", "api": api}
    request = {"t": 0.0, "request": {"method": "POST", "url": "https://a.example/v1", "body": "{}"}}
    kind = {"content-type": "text/event-stream" if status == 200 else "application/json"}
    first = [request, {"t": 0.1, "status": 503, "headers": {}}, {"t": 0.2, "end": ""}] if retry else []
    half = len(body) // 2
    return lines(
        head,
        *first,
        request,
        {"t": 0.3, "status": status, "headers": kind},
        {"t": 0.4, "data": body[:half].decode()},
        {"t": 0.5, "base64": base64.b64encode(body[half:]).decode()},
        {"t": 0.6, "end": ""},
    )


HELLO = ("Hello, ", "wörld")
START = {"type": "start", "provider": "p", "model": "m", "id": "i"}
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
    "chat stream of serve": loopback.frame({"note": "retrying"}, "note")
    + b"".join(loopback.frame({"content": word}) for word in HELLO)
    + loopback.frame({"input_tokens": 3, "output_tokens": 2}, "usage")
    + loopback.frame({"reason": "stop", "provider_reason": "stop"}, "finish")
    + loopback.DONE,
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
    "gemini cli": gemini_cli(spoken_event("Hello, ", delta=True), spoken_event("wörld", delta=True)),
    "opencode": opencode(step("step_start"), step("text", text="Hello, wörld"), step_end(), {"type": "done"}),
    "cohere": cohere(COHERE_BEGIN, content(text="Hello, "), content(text="wörld"), COHERE_END) + loopback.DONE,
    "cohere, not streamed": lines(
        {
            "id": "c1",
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello, wörld"}]},
        }
    ),
    "interactions": interaction(
        INTERACTION_BEGIN,
        {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}},
        delta_of(0, type="text", text="Hello, "),
        delta_of(0, type="text", text="wörld"),
        completed(),
    ),
    "interactions, before 2026": interaction(
        {**INTERACTION_BEGIN, "event_type": "interaction.start"},
        {"event_type": "content.start", "index": 0, "content": {"type": "text"}},
        delta_of(0, "content.delta", type="text", text="Hello, wörld"),
        completed("interaction.complete"),
    ),
    "interactions, not streamed": lines(
        {
            "object": "interaction",
            "id": "i1",
            "status": "completed",
            "steps": [{"type": "model_output", "content": [{"type": "text", "text": "Hello, wörld"}]}],
        }
    ),
    "bedrock, messages": b"".join(eventstream.of_sse(loopback.messages(*HELLO))),
    "bedrock, nova": b"".join(
        eventstream.wrapped({kind: data})
        for kind, data in (CONVERSE_BEGIN, block(0, text="Hello, "), block(0, text="wörld"), *CONVERSE_END)
    ),
    "bedrock, converse": converse(CONVERSE_BEGIN, block(0, text="Hello, "), block(0, text="wörld"), *CONVERSE_END),
    "bedrock, converse, not streamed": lines(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hello, wörld"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 3, "outputTokens": 2},
        }
    ),
    "recording": recording(b"".join(loopback.chat(*HELLO))),
    "recording, with a retry": recording(b"".join(loopback.messages(*HELLO)), api="messages", retry=True),
    "responses, not streamed": lines(
        {"object": "response", "status": "completed", "output": [{"content": [{"text": "Hello, wörld"}]}]}
    ),
}


class Reading:
    """What a reader made of an input."""

    def __init__(self, pieces) -> None:
        self.reader = reader = StreamReader(2.0)
        self.answers, self.events, self.unknown = [], [], []  # the answers, the events of each, the unknown parts
        batches = [batch for piece in pieces if not reader.over for batch in reader.feed(piece, 0.0)]
        for answer, events, ends in batches if reader.over else batches + reader.close(0.0):
            if isinstance(answer, Unknown):
                self.unknown.append(f"{answer.place}: {answer.failure}")
                assert ends
                assert not events
                continue
            if answer not in self.answers:
                self.answers.append(answer)
                self.events.append([])
            self.events[-1] += events
            assert self.answers[-1] is answer
            assert not ends or answer.over
        assert reader.over
        assert all(answer.over for answer in self.answers)
        assert [answer.number for answer in self.answers] == list(range(1, reader.count + 1))

    @property
    def outcomes(self):
        """(text, failure's type or finish reason) of each answer, and the failure of the input."""
        parts = [
            (joined(events), type(answer.failure) if answer.failure else answer.finish.reason)
            for answer, events in zip(self.answers, self.events, strict=True)
        ]
        return parts, "; ".join(self.unknown) or (self.reader.failure and str(self.reader.failure))


def read(pieces):
    """The events of the only answer, its failure or that of the input, and the answer."""
    reading = Reading(pieces)
    assert len(reading.answers) < 2
    if not reading.answers:
        return [], reading.reader.failure, None
    assert not reading.unknown
    answer = reading.answers[0]
    return reading.events[0], answer.failure or reading.reader.failure, answer


def joined(events):
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.mark.parametrize("name", STREAMS)
def test_each_kind_is_recognised_at_every_cut(name):
    stream = STREAMS[name]
    for pieces in chunkings(stream) if len(stream) < 600 else ([stream], [bytes([byte]) for byte in stream]):
        events, failure, answer = read(pieces)
        assert (joined(events), failure) == ("Hello, wörld", None)
        assert answer.finish.reason == "stop"


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_cut_anywhere_is_never_whole(name):
    """But for what follows the end mark, and white space."""
    stream = STREAMS[name].strip(b"\n")
    ended = False
    for end in range(0, len(stream), 1 if len(stream) < 1000 else 7):
        events, failure, _ = read([stream[:end]])
        ended = ended or failure is None
        assert ended == (failure is None)
        assert "Hello, wörld".startswith(joined(events))
        if failure is None:
            assert joined(events) == "Hello, wörld"
        else:
            assert isinstance(failure, Incomplete | Unavailable)


def test_ollama_reasoning_calls_and_usage():
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    events, _, _ = read(
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
        START,
        {"type": "reasoning", "text": "hm"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "logprobs": [{"token": "b", "logprob": -0.5}]},
        {"type": "source", "url": "https://a.example", "title": "A", "start": 0, "end": 2},
        {"type": "source", "url": "https://b.example"},
        {"type": "tool_call", "index": 0, "id": "c", "name": "f", "arguments": "{}"},
        {"type": "usage", "input_tokens": 1, "output_tokens": 2, **details, "tier": "flex", "cost_usd": 0.5},
        {"type": "finish", "reason": "tool_calls", "provider_reason": "x", "explanation": "done"},
    ]
    events, _, _ = read([lines(*records)])
    assert [event.as_dict() for event in events] == records


def test_the_usage_and_the_price_of_claude_code():
    counts = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2}
    begin = {"type": "system", "subtype": "init", "session_id": "s1", "model": "m"}
    result = {"type": "result", "subtype": "success", "result": "a", "usage": counts, "total_cost_usd": 0.25}
    events, _, _ = read([lines(begin, assistant("m1", text("a")), result)])
    assert events[-2] == Usage(7, 2, 4, cost_usd=0.25)


def test_each_message_of_an_agent_begins_a_line():
    events, _, _ = read(
        [claude(assistant("m1", text("One.")), assistant("m2", text("Two.\n")), assistant("m3", text("3")))]
    )
    assert joined(events) == "One.\nTwo.\n3"
    events, _, _ = read([codex(item("agent_message", "One."), item("reasoning", "hm"), item("agent_message", "Two."))])
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
        (
            loopback.frame({"content": "a"}) + loopback.frame({"status": 5, "message": "cut off"}, "error"),
            Incomplete,
            "cut off",
        ),
        (lines(START, {"type": "text", "text": "a"}, {"type": "error", "status": 4, "message": "m"}), Incomplete, "m"),
        (
            lines(
                {"type": "system", "subtype": "init"},
                {"type": "result", "subtype": "error_max_turns", "is_error": True},
            ),
            Unavailable,
            "error_max_turns",
        ),
        (
            lines({"type": "thread.started", "thread_id": "t"}, {"type": "turn.failed", "error": {"message": "quota"}}),
            Unavailable,
            "the agent failed: quota",
        ),
        (b"<!DOCTYPE html><html>", Incomplete, "unrecognised stream: it begins with <!DOCTYPE"),
        (b"HTTP/2 200\r\nDate: x\r\n\r\n", Incomplete, "it begins with HTTP/2 200: run curl without -i"),
        (b"no colon here", Incomplete, "it begins with no colon here"),
        (b'{"weather": "fine"}', Incomplete, "unrecognised stream"),
        (b"", Incomplete, "the input is empty"),
        (b" \n", Incomplete, "the input is empty"),
        (lines(START) + b'{"type": "text" "text"}\n', Incomplete, "line 2"),
        (lines({"code": "invalid-argument", "error": "Incorrect API key."}), Refused, "Incorrect API key"),
        (lines({"error": "Unauthorized"}), Refused, "Unauthorized"),
        (b"event: error\ndata: upstream is down\n\n", Unavailable, "upstream is down"),
        (lines({"type": "start"}), Incomplete, "unrecognised stream"),
        (lines({"type": "text", "text": "a"}), Incomplete, "unrecognised stream"),
        (lines({"type": "message", "text": "a"}), Incomplete, "unrecognised stream"),
        (lines({"type": "result", "status": "success"}), Incomplete, "unrecognised stream"),
        (lines({"recording": 1, "provider": "p", "model": "m", "api": "telex"}), Incomplete, "unrecognised stream"),
        ("\ufeff{}".encode("utf-16-le"), Incomplete, "UTF-16"),
        ('{"a":1}'.encode("utf-16-le"), Incomplete, "UTF-16"),
        ('{"a":1}'.encode("utf-16-be"), Incomplete, "UTF-16"),
        (b": nothing but a comment\n\n", Incomplete, "nothing but a comment"),
        (recording(b'{"error": {"message": "bad key"}}', status=401), Refused, "bad key"),
        (recording(b"".join(loopback.chat("a")[:-1])), Incomplete, "breaks off"),
        (lines({"recording": 1, "provider": "p", "model": "m", "api": "chat"}), Unavailable, "recording ends"),
        (eventstream.exception("throttlingException", "slow down"), Unavailable, "slow down"),
        (eventstream.exception("validationException", "bad field"), Refused, "bad field"),
        (
            gemini_cli().replace(b'"success"', b'"error", "error": {"message": "no quota"}'),
            Unavailable,
            "the agent failed: no quota",
        ),
        (
            opencode({"type": "error", "error": {"name": "APIError", "data": {"message": "no"}}}),
            Unavailable,
            "the agent failed: no",
        ),
    ],
)
def test_errors_have_the_statuses_of_gen(stream, kind, message):
    for pieces in chunkings(stream):
        _, failure, _ = read(pieces)
        assert isinstance(failure, kind)
        assert message in str(failure)


def test_an_event_that_is_too_large_is_told():
    for begin in (b"data: ", b'{"a": "', b""):
        reader = StreamReader(2.0)
        reader.feed(begin, 0.0)
        for _ in range(MAX_EVENT_BYTES // 1_000_000 + 2):
            if not reader.over:
                reader.feed(b"x" * 1_000_000, 0.0)
        if not reader.over:
            reader.close(0.0)
        assert isinstance(reader.failure, Incomplete)


def test_the_end_of_the_connection_is_not_awaited():
    reader = StreamReader(2.0)
    batches = reader.feed(loopback.chat_text("a") + loopback.chat_end(usage=False), 10.0)
    assert (reader.over, reader.deadline()) == (False, 12.0)
    reader.expire(11.9)
    assert not reader.over
    reader.expire(12.0)
    assert (reader.over, batches[0].answer.failure) == (True, None)


def test_another_answer_is_waited_for_after_an_end_mark():
    reader = StreamReader(2.0)
    assert reader.deadline() is None
    answer = b"".join(loopback.messages("a"))
    reader.feed(answer, 10.0)
    assert (reader.over, reader.deadline()) == (False, 12.0)
    reader.feed(b": ping\n\n", 11.0)
    assert reader.deadline() == 12.0  # a comment is none
    reader.feed(answer[:40], 11.0)
    assert reader.deadline() is None  # an answer that begins has no limit
    reader.feed(answer[40:], 99.0)
    assert (reader.deadline(), reader.count) == (101.0, 2)
    assert reader.expire(101.0) == []
    assert (reader.over, reader.failure) == (True, None)


def renamed(stream: bytes) -> bytes:
    """The same stream with another id."""
    for id in (b'"c1"', b'"r1"', b'"m1"'):
        stream = stream.replace(id, b'"another"')
    return stream


@pytest.mark.parametrize("name", STREAMS)
def test_two_answers_of_a_kind(name):
    stream = STREAMS[name]
    for pieces in ([stream + stream], [stream, stream], [bytes([byte]) for byte in stream + stream]):
        assert Reading(pieces).outcomes == ([("Hello, wörld", "stop")] * 2, None)


@pytest.mark.parametrize("name", STREAMS)
def test_answers_of_all_kinds_one_after_the_other(name):
    separator = b"" if name.startswith("bedrock") and "not" not in name else b"\n"
    for other in ("chat", "messages", "events", "ollama, chat", "bedrock, converse", "recording", "chat, not streamed"):
        tail = b"" if other == "bedrock, converse" else b"\n"
        parts, failure = Reading([STREAMS[other] + tail + STREAMS[name] + separator + STREAMS[other]]).outcomes
        assert (parts, failure) == ([("Hello, wörld", "stop")] * 3, None), other


JUNK = (None, True, -1, 10**30, 0.5, "", "error", "\ud800", [], {}, [{}], {"a": 1})


def written(piece: Piece, data: bytes, binary: bool) -> bytes:
    """The bytes of a piece with other data."""
    if piece.is_json:
        return data + b"\n"
    if binary:
        return eventstream.event(piece.name, json.loads(data))
    return (b"event: " + piece.name.encode() + b"\n" if piece.name else b"") + b"data: " + data + b"\n\n"


@given(st.data())
@settings(max_examples=400)
def test_junk_in_place_of_any_field_is_no_bug(data):
    name = data.draw(st.sampled_from(sorted(STREAMS)))
    framing = Framing()
    pieces = framing.feed(STREAMS[name]) + framing.close()
    place = data.draw(st.integers(0, len(pieces) - 1))
    output = b""
    for number, piece in enumerate(pieces):
        text = piece.data
        if number == place and text != b"[DONE]":
            value = json.loads(text)
            path = data.draw(st.sampled_from(paths(value)))
            text = json.dumps(replaced(value, path, data.draw(st.sampled_from(JUNK)))).encode()
        output += written(piece, text, name == "bedrock, converse")
    reading = Reading([output])
    for events in reading.events:
        EventRenderer(None).feed(events, 0.0)


CUTS = {  # a stream whose end mark is missing
    "chat": b"".join(loopback.chat("a", "b")[:-1]),
    "responses": b"".join(loopback.responses("a", "b")[:-1]),
    "messages": b"".join(loopback.messages("a", "b")[:-2]),
    "events": lines(START, text("ab")),
    "claude": lines({"type": "system", "subtype": "init", "session_id": "s0"}, assistant("m", text("ab"))),
    "codex": lines({"type": "thread.started", "thread_id": "t0"}, item("agent_message", "ab")),
    "gemini cli": b"".join(gemini_cli(spoken_event("ab")).splitlines(keepends=True)[:-1]).replace(b"s1", b"s0"),
    "opencode": opencode(step("step_start"), step("text", text="ab")).replace(b"ses_1", b"ses_0"),
    "cohere": cohere(COHERE_BEGIN, content(text="ab")).replace(b"c1", b"c0"),
    "interactions": interaction(INTERACTION_BEGIN, delta_of(0, type="text", text="ab")).replace(b"i1", b"i0"),
    "bedrock, converse": converse(CONVERSE_BEGIN, block(0, text="ab")),
}


@pytest.mark.parametrize("name", CUTS)
def test_an_answer_that_is_cut_does_not_hide_the_next(name):
    cut = CUTS[name]
    whole = next(stream for key, stream in STREAMS.items() if key.startswith(name))
    both = renamed(cut) + whole
    for pieces in ([both], [renamed(cut), whole], [bytes([byte]) for byte in both]):
        parts, failure = Reading(pieces).outcomes
        assert (parts, failure) == ([("ab", Incomplete), ("Hello, wörld", "stop")], None)
    other = STREAMS["ollama, chat" if name != "bedrock, converse" else "messages"]
    parts, failure = Reading([cut + other]).outcomes
    assert (parts, failure) == ([("ab", Incomplete), ("Hello, wörld", "stop")], None)


def test_what_follows_a_finish_belongs_to_it():
    usage = loopback.frame({"id": "other", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    stream = loopback.chat_text("a") + loopback.chat_end(usage=False) + usage
    events, failure, _ = read([stream])
    assert (events[-2], failure) == (Usage(3, 2), None)
    after = loopback.frame({"type": "ping"}) + loopback.DONE + usage
    assert Reading([stream + loopback.DONE + after]).outcomes == ([("a", "stop")], None)
    other = renamed(stream + loopback.DONE)
    assert Reading([stream + other]).outcomes == ([("a", "stop"), ("a", "stop")], None)


def test_ids_that_vary_are_one_answer():
    def chunk(number: int, word: str, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": finish}
        return loopback.frame({"id": f"x{number}", "object": "chat.completion.chunk", "choices": [choice]})

    stream = b"".join(chunk(number, word) for number, word in enumerate("abc")) + chunk(9, "d", "stop")
    assert Reading([stream + loopback.DONE]).outcomes == ([("abcd", "stop")], None)


def late_id(id: str, word: str, created: int, finish: str | None = None) -> bytes:
    """A chunk whose first 64 bytes do not have its id."""
    choice = {"index": 0, "delta": {"content": word}, "finish_reason": finish}
    times = {"object": "chat.completion.chunk", "created": created, "model": "a/model-of-some-kind"}
    return loopback.frame({**times, "id": id, "choices": [choice]})


def test_ids_that_vary_behind_the_same_first_bytes_are_one_answer():
    words = [("run-1", "a", 7), ("run-2", "b", 7), ("run-3", "c", 8), ("run-4", "d", 8)]
    stream = b"".join(late_id(*word) for word in words) + late_id("run-5", "e", 8, "stop")
    assert Reading([stream + loopback.DONE]).outcomes == ([("abcde", "stop")], None)


def test_another_id_behind_the_same_first_bytes_is_another_answer():
    stream = late_id("run-1", "a", 7) + late_id("run-1", "b", 7) + late_id("run-2", "c", 7, "stop")
    assert Reading([stream + loopback.DONE]).outcomes == ([("ab", Incomplete), ("c", "stop")], None)


def test_another_beginning_with_the_same_first_bytes_is_another_answer():
    def created(id: str) -> bytes:
        response = {"object": "response", "created_at": 1, "status": "in_progress", "model": "m", "id": id}
        return loopback.frame({"type": "response.created", "sequence_number": 0, "response": response})

    text = {"type": "response.output_text.delta", "delta": "a"}
    end = {"type": "response.completed", "response": {"id": "run-2", "status": "completed"}}
    stream = created("run-1") + created("run-2") + loopback.frame(text) + loopback.frame(end)
    assert Reading([stream]).outcomes == ([("", Incomplete), ("a", "stop")], None)


def test_a_failed_answer_does_not_hide_the_next():
    overloaded = loopback.frame({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, "error")
    messages = b"".join(loopback.messages("a"))
    stream = b"".join(loopback.messages("x")[:3]) + overloaded + messages + overloaded + messages
    parts, failure = Reading([stream]).outcomes
    assert [outcome for _, outcome in parts] == [Incomplete, "stop", Unavailable, "stop"]
    assert failure is None
    errors = lines({"error": {"message": "bad key", "type": "authentication_error"}}, {"error": {"message": "busy"}})
    parts, failure = Reading([errors + STREAMS["chat"]]).outcomes
    assert (parts, failure) == ([("", Refused), ("", Unavailable), ("Hello, wörld", "stop")], None)


UNKNOWN = {  # a part of an unknown type, and how its excerpt reads
    b'{"weather": "fine"}\n': '{"weather":"fine"}',
    b"Some words on a line.\nand another\n": "Some words on a line.",
    b"[INFO] up\n": "[INFO] up",
    b"{see below}\n": "{see below}",
    b"[1, 2]\n": "[1, 2]",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n": "HTTP/1.1 200 OK: run curl without -i",
    b'data: {"weather": "fine"}\n\n': '{"weather": "fine"}',
}


@pytest.mark.parametrize("name", ["chat", "events", "ollama, chat", "gemini, compact array", "bedrock, converse"])
@pytest.mark.parametrize("part", UNKNOWN)
def test_an_unknown_part_is_told_by_its_place(name, part):
    answer, what = STREAMS[name], f"unrecognised: it begins with {UNKNOWN[part]}"
    if name.startswith("gemini"):
        answer += b"\n"
    parts = [("Hello, wörld", "stop")]
    for pieces in chunkings(part + answer, 60):
        assert Reading(pieces).outcomes == (parts, f"before answer 1: {what}")
    if not (name.startswith("gemini") and part.startswith(b"data:")):  # which is within the answer, as it has no end
        for pieces in chunkings(answer + part + answer, 60):
            assert Reading(pieces).outcomes == (parts * 2, f"after answer 1: {what}")
        for pieces in chunkings(answer + part, 60):
            assert Reading(pieces).outcomes == (parts, f"after answer 1: {what}")


def test_an_answer_that_is_cut_within_its_first_event_is_unknown():
    for stream in (STREAMS["ollama, chat"], STREAMS["messages"].partition(b"\n\n")[2]):
        first = stream.index(b"}\n")
        for end in range(9, first):
            parts, failure = Reading([stream + stream[:end]]).outcomes
            assert parts == [("Hello, wörld", "stop")]
            if stream[:end].partition(b"data: ")[2] or stream[:1] == b"{":
                assert failure.startswith("after answer 1: unrecognised: it begins with {")


def test_text_within_an_answer_is_left_out():
    for name in ("chat", "ollama, chat", "claude, partial", "gemini, events"):
        first, rest = STREAMS[name].rstrip().rsplit(b"\n", 1)
        for pieces in chunkings(first + b"\na warning of some tool\n" + rest + b"\n\n", 60):
            if name != "gemini, events" or b"STOP" not in first:
                assert Reading(pieces).outcomes == ([("Hello, wörld", "stop")], None)


def test_idle_events_around_answers_are_no_unknown_part():
    for idle in (
        b'data: {"type":"ping"}\n\n',
        b"event: ping\ndata: 1\n\n",
        b"data: [DONE]\n\n",
        b": idle\n\n",
        b"{}\n",
    ):
        for pieces in chunkings(idle + STREAMS["messages"] + idle + STREAMS["chat"] + idle, 60):
            assert Reading(pieces).outcomes == ([("Hello, wörld", "stop")] * 2, None)


def gemini_chunk(words: str, finish: str | None = None, id: str | None = None) -> dict:
    candidate = {"content": {"parts": [{"text": words}], "role": "model"}, "index": 0}
    candidate |= {"finishReason": finish} if finish else {}
    return {"candidates": [candidate]} | ({"responseId": id} if id else {})


def events_of(*chunks: dict) -> bytes:
    return b"".join(map(loopback.frame, chunks))


WHOLE_GEMINI = {id: [gemini_chunk("Hello, ", id=id), gemini_chunk("wörld", "STOP", id)] for id in (None, "r1")}
ONE = json.dumps(gemini_chunk("Hello, wörld", "STOP")).encode()
TWO_GEMINI = {
    "events": events_of(*WHOLE_GEMINI[None]) * 2,
    "events with an id": events_of(*WHOLE_GEMINI["r1"]) * 2,
    "arrays": json.dumps(WHOLE_GEMINI[None]).encode() * 2,
    "arrays in lines": json.dumps(WHOLE_GEMINI["r1"], indent=1).encode()
    + b"\n"
    + json.dumps(WHOLE_GEMINI["r1"]).encode(),
    "objects": ONE + ONE,
    "an object and an array": ONE + b"\n" + json.dumps(WHOLE_GEMINI[None]).encode(),
    "events and an object": events_of(*WHOLE_GEMINI[None]) + ONE,
    "an object and events": ONE + b"\n" + events_of(*WHOLE_GEMINI[None]),
}


@pytest.mark.parametrize("name", TWO_GEMINI)
def test_two_gemini_answers(name):
    for pieces in chunkings(TWO_GEMINI[name], 60):
        assert Reading(pieces).outcomes == ([("Hello, wörld", "stop")] * 2, None)


@pytest.mark.parametrize(
    "second",
    [events_of(gemini_chunk("Hello, wörld", "STOP")), ONE, b"[" + ONE + b"]"],
)
def test_a_gemini_answer_that_is_cut(second):
    chunk = json.dumps(gemini_chunk("ab")).encode()
    for first in (b"[" + chunk + b"\n,\n", b"[" + chunk + b"\n", b"data: " + chunk + b"\n\n", chunk + b"\n"):
        is_event = first[:1] == b"d"
        if is_event == (second[:1] == b"d") and second[:1] != b"[":
            continue  # nothing tells where the second one begins
        for pieces in chunkings(first + second, 60):
            assert Reading(pieces).outcomes == ([("ab", Incomplete), ("Hello, wörld", "stop")], None)


def test_gemini_chunks_that_are_one_answer():
    repeated = [gemini_chunk(word, "STOP") for word in "abc"]
    usage = {"usageMetadata": {"promptTokenCount": 3}}
    empty = gemini_chunk("", "STOP")
    for stream in (events_of(*repeated, usage), json.dumps(repeated).encode()):
        assert Reading([stream]).outcomes == ([("abc", "stop")], None)
    chunks = [gemini_chunk("ab"), gemini_chunk("c", "STOP"), empty, usage]
    for stream in (events_of(*chunks), json.dumps(chunks).encode(), lines(*chunks[:2], usage)):
        for pieces in chunkings(stream, 60):
            assert Reading(pieces).outcomes == ([("abc", "stop")], None)
    other = events_of(gemini_chunk("a", "STOP", "r1"), gemini_chunk("b", "STOP", "r2"))
    assert Reading([other]).outcomes == ([("a", "stop"), ("b", "stop")], None)


def chat_chunk(id: str, finish: str | None = None, **delta: str) -> dict:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": id, "object": "chat.completion.chunk", "choices": [choice]}


def test_a_chat_answer_that_is_cut_after_its_first_chunk():
    begin = chat_chunk("c2", role="assistant", content="")
    rest = [chat_chunk("c2", content="Hello, wörld"), chat_chunk("c2", "stop")]
    whole = {
        "id": "c2",
        "object": "chat.completion",
        "choices": [{"message": {"content": "Hello, wörld"}, "finish_reason": "stop"}],
    }
    for first in (chat_chunk("c1", role="assistant", content="a"), chat_chunk("c1", content="a")):
        for second in (events_of(begin, *rest) + loopback.DONE, lines(whole)):
            for cut in (events_of(first), lines(first)):
                for pieces in chunkings(cut + second, 60):
                    assert Reading(pieces).outcomes == ([("a", Incomplete), ("Hello, wörld", "stop")], None)


def test_ids_that_vary_beside_a_role_are_one_answer():
    chunks = [chat_chunk(f"c{number}", role="assistant", content=word) for number, word in enumerate("abc")]
    end = chat_chunk("c9", "stop", role="assistant", content="")
    assert Reading([events_of(*chunks, end) + loopback.DONE]).outcomes == ([("abc", "stop")], None)


def test_an_ollama_answer_that_is_cut_is_told_by_another_model():
    cut = lines({"model": "other", "response": "a", "done": False})
    for pieces in chunkings(cut + STREAMS["ollama, generate"], 60):
        assert Reading(pieces).outcomes == ([("a", Incomplete), ("Hello, wörld", "stop")], None)


@pytest.mark.parametrize("name", ["chat", "events", "gemini, array", "claude, whole messages"])
def test_marks_and_blanks_around_the_input(name):
    stream = STREAMS[name]
    for marked in (b"\xef\xbb\xbf" + stream, b"\r\n \n" + stream, stream.replace(b"\n", b"\r\n") + b"\r\n\n"):
        for pieces in ([marked], [bytes([byte]) for byte in marked]):
            assert Reading(pieces).outcomes == ([("Hello, wörld", "stop")], None)


def test_gemini_cli_and_opencode_begin_a_line_for_each_message():
    tool = {"type": "tool_use", "tool_name": "shell", "tool_id": "t", "parameters": {}}
    events, _, _ = read(
        [
            gemini_cli(
                spoken_event("On", delta=True), spoken_event("e.", delta=True), tool, spoken_event("Two.", delta=True)
            )
        ]
    )
    assert (joined(events), events[-2:]) == ("One.\nTwo.", [Usage(3, 6, 1), Finish("stop", "success")])
    records = [step("text", text="One."), step("reasoning", text="hm"), step_end("tool-calls")]
    end = [step("step_start"), step("text", text="Two."), step_end()]
    events, _, _ = read([opencode(*records, *end)])
    assert (joined(events), events[-2:]) == ("One.\nTwo.", [Usage(14, 6, 8, 2), Finish("stop", "stop")])
    _, failure, _ = read([opencode(*records)])
    assert isinstance(failure, Incomplete)


def test_cohere_thinking_calls_sources_and_endings():
    call = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}
    piece = {"function": {"arguments": "{}"}}
    page = {"type": "document", "id": "d", "document": {"url": "https://a.example", "title": "A"}}
    citation = {"start": 0, "end": 2, "text": "so", "sources": [page, {"type": "tool"}]}
    events, _, answer = read(
        [
            cohere(
                COHERE_BEGIN,
                content(thinking="hm"),
                ("tool-plan-delta", {"delta": {"message": {"tool_plan": "plan"}}}),
                content(text="so"),
                ("citation-start", {"index": 0, "delta": {"message": {"citations": citation}}}),
                ("tool-call-start", {"index": 0, "delta": {"message": {"tool_calls": call}}}),
                ("tool-call-delta", {"index": 0, "delta": {"message": {"tool_calls": piece}}}),
                ("message-end", {"delta": {"finish_reason": "TOOL_CALL"}}),
            )
        ]
    )
    assert events[1:-1] == [
        Reasoning("hm"),
        Reasoning("plan"),
        Text("so"),
        Source("https://a.example", "A", 0, 2),
        ToolCall(0, "t1", "f", ""),
        ToolCall(0, "", "", "{}"),
    ]
    assert answer.finish == Finish("tool_calls", "TOOL_CALL")
    for word, reason in (("MAX_TOKENS", "length"), ("TIMEOUT", "incomplete"), ("NEW", "unknown")):
        _, _, answer = read(
            [cohere(COHERE_BEGIN, content(text="a"), ("message-end", {"delta": {"finish_reason": word}}))]
        )
        assert answer.finish.reason == reason
    end = {"delta": {"finish_reason": "ERROR", "error": "out of luck"}}
    _, failure, _ = read([cohere(COHERE_BEGIN, ("message-end", end))])
    assert "out of luck" in str(failure)


def test_interactions_thoughts_calls_sources_and_endings():
    url = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 3}
    call = {"type": "function_call", "id": "c", "name": "f", "arguments": {}}
    events, _, answer = read(
        [
            interaction(
                INTERACTION_BEGIN,
                delta_of(0, type="thought_summary", content={"type": "text", "text": "hm"}),
                delta_of(1, type="text", text="Öl."),
                delta_of(1, type="text_annotation_delta", annotations=[url]),
                {"event_type": "step.start", "index": 2, "step": {"type": "google_search_call"}},
                delta_of(3, type="text", text="Two."),
                {"event_type": "step.start", "index": 4, "step": call},
                delta_of(4, type="arguments_delta", partial_arguments='{"a":1}'),
                completed(status="requires_action"),
            )
        ]
    )
    assert events[1:] == [
        Reasoning("hm"),
        Text("Öl."),
        Text("\nTwo."),
        ToolCall(0, "c", "f", ""),
        ToolCall(0, "", "", '{"a":1}'),
        Source("https://a.example", "A", 0, 2),
        Usage(3, 3, 0, 1),
        Finish("tool_calls", "requires_action"),
    ]
    for status, reason in (("incomplete", "incomplete"), ("cancelled", "incomplete"), ("new", "unknown")):
        _, _, answer = read(
            [interaction(INTERACTION_BEGIN, delta_of(0, type="text", text="a"), completed(status=status))]
        )
        assert answer.finish.reason == reason
    _, failure, _ = read([interaction(INTERACTION_BEGIN, completed(status="failed"))])
    assert isinstance(failure, Unavailable)


def test_converse_reasoning_calls_sources_and_endings():
    citation = {"title": "A", "location": {"web": {"url": "https://a.example"}}}
    events, _, answer = read(
        [
            converse(
                CONVERSE_BEGIN,
                block(0, reasoningContent={"text": "hm"}),
                block(1, text="so"),
                block(1, citation=citation),
                block(2, "Start", toolUse={"toolUseId": "t", "name": "f"}),
                block(2, toolUse={"input": '{"a":1}'}),
                ("contentBlockStop", {"contentBlockIndex": 2}),
                ("messageStop", {"stopReason": "tool_use"}),
                CONVERSE_END[1],
            )
        ]
    )
    assert events[1:] == [
        Reasoning("hm"),
        Text("so"),
        Source("https://a.example", "A"),
        ToolCall(0, "t", "f", ""),
        ToolCall(0, "", "", '{"a":1}'),
        Usage(7, 2, 4),
        Finish("tool_calls", "tool_use"),
    ]
    for word, reason in (("guardrail_intervened", "content_filter"), ("malformed_tool_use", "incomplete")):
        _, _, answer = read([converse(CONVERSE_BEGIN, block(0, text="a"), ("messageStop", {"stopReason": word}))])
        assert answer.finish.reason == reason
    broken = converse(CONVERSE_BEGIN, block(0, text="a")) + eventstream.exception("modelStreamErrorException", "oh")
    _, failure, _ = read([broken])
    assert "oh" in str(failure)
    assert isinstance(failure, Incomplete)


def test_a_damaged_event_stream_is_told():
    stream = bytearray(STREAMS["bedrock, converse"])
    for place in (9, len(stream) // 2, len(stream) - 1):
        damaged = stream[:]
        damaged[place] ^= 1
        for pieces in ([bytes(damaged)], [bytes([byte]) for byte in damaged]):
            _, failure, _ = read(pieces)
            assert "the event stream is damaged: a wrong checksum" in str(failure)
