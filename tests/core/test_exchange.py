"""An Exchange without a socket: time limits, bytes, bodies that are not streams. Streams are in tests/wire."""

from __future__ import annotations

import json

import pytest

from llmstream.core import exchange as module
from llmstream.core.events import Finish, Reasoning, Text, ToolCall, Usage
from llmstream.core.exchange import Exchange
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects import dialect
from llmstream.errors import Incomplete, Refused, Unavailable
from tests.support.loopback import DONE, chat_end, chat_text, frame

SSE = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}


def begin(api: str = "chat", timeouts: Timeouts | None = None, status: int = 200, headers: dict = SSE) -> Exchange:
    exchange = Exchange(
        dialect(api).Decoder("p", "m"), timeouts or Timeouts(), Timing(100.0), 100.0, "http://host/v1/x"
    )
    exchange.head(status, headers)
    return exchange


def text(events: list) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


# Time limits. The numbers are seconds of the caller's clock.


def test_first_token_timeout_counts_from_the_last_sign_of_life():
    exchange = begin(timeouts=Timeouts(first_token=5))
    assert exchange.deadline() == 105
    assert exchange.feed(b": wait\n\n", 104) == []
    assert exchange.deadline() == 109
    assert exchange.expire(108.9) == []
    exchange.expire(109)
    assert type(exchange.failure) is Unavailable
    assert "(first_token_timeout)" in str(exchange.failure)


def test_grace_counts_from_the_finish():
    exchange = begin()
    exchange.feed(chat_text("a"), 103)
    exchange.feed(chat_end(usage=False), 110)  # later than the grace after the text
    assert exchange.expire(110) == []
    assert exchange.deadline() == 112


def test_keep_alives_are_life():
    exchange = begin(timeouts=Timeouts(stall=5))
    exchange.feed(chat_text("a"), 103)
    assert exchange.deadline() == 108
    exchange.feed(b": wait\n\nevent: ping\ndata: {}\n\n", 107)
    assert exchange.deadline() == 112
    exchange.feed(chat_text("b"), 107.5)
    assert exchange.deadline() == 112.5
    exchange.expire(112.5)
    assert type(exchange.failure) is Incomplete
    assert "(stall_timeout)" in str(exchange.failure)
    assert "after 2 characters" in str(exchange.failure)


def test_stall_timeout_restarts_after_a_slow_reader():
    exchange = begin(timeouts=Timeouts(stall=5))
    exchange.feed(chat_text("a"), 101)
    exchange.resume(150)
    assert exchange.deadline() == 155


@pytest.mark.parametrize(("fed", "kind"), [(b"", Unavailable), (chat_text("a"), Incomplete)])
def test_total_timeout(fed, kind):
    exchange = begin(timeouts=Timeouts(total=7))
    exchange.feed(fed, 101)
    assert exchange.deadline() == 107
    exchange.expire(107)
    assert type(exchange.failure) is kind
    assert "(timeout)" in str(exchange.failure)


def test_no_limit_means_no_deadline():
    exchange = begin(timeouts=Timeouts(None, None, None))
    assert exchange.deadline() is None
    exchange.feed(chat_text("a"), 101)
    assert exchange.deadline() is None


def test_after_the_finish_reason_only_usage_is_awaited():
    exchange = begin()
    exchange.feed(chat_text("a") + chat_end(usage=False), 101)
    assert not exchange.over
    assert exchange.deadline() == 103
    assert exchange.expire(103) == [Finish("stop", "stop")]
    assert exchange.over
    assert exchange.failure is None


def test_a_finish_reason_in_every_chunk_ends_no_wait():
    """Such a gateway may pause for longer than the grace; the stall time-out is the measure."""

    def both(text: str) -> bytes:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
        return frame({"id": "c", "model": "m", "choices": [choice]})

    exchange = begin(timeouts=Timeouts(stall=30))
    exchange.feed(both("a"), 101)
    assert exchange.deadline() == 103
    exchange.feed(both("b"), 102)
    assert exchange.deadline() == 132
    assert text(exchange.feed(both("c"), 110)) == "c"
    assert exchange.feed(DONE, 111) == [Finish("stop", "stop")]


def test_a_socket_held_open_after_the_end_is_not_waited_for():
    exchange = begin()
    exchange.feed(chat_text("a") + chat_end() + DONE, 101)
    assert exchange.over


def test_time_to_first_token_and_rate():
    exchange = begin()
    exchange.feed(chat_text("a"), 101.5)
    exchange.feed(chat_text("b"), 102.5)
    exchange.feed(chat_end() + DONE, 109)
    assert exchange.timing.ttft == 1.5
    assert exchange.timing.rate(3) == 2
    assert exchange.characters == 2


# Connections that close before the head, and bodies that are not streams.


def test_connection_closed_before_the_head():
    exchange = Exchange(dialect("chat").Decoder("p", "m"), Timeouts(), Timing(0.0), 0.0, "http://host")
    exchange.close(1.0)
    assert type(exchange.failure) is Unavailable


UNSTREAMED = {
    "chat": {
        "id": "c", "model": "m", "object": "chat.completion",
        "choices": [{"index": 0, "message": {"content": "Hi", "reasoning_content": "Hm"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    },
    "responses": {
        "id": "r", "model": "m", "object": "response", "status": "completed", "error": None,
        "output": [
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    "messages": {
        "id": "m", "model": "m", "type": "message", "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hi"}],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
}  # fmt: skip


@pytest.mark.parametrize("api", UNSTREAMED)
def test_answer_that_is_not_streamed(api):
    """From a server that does not stream."""
    exchange = begin(api, headers=JSON)
    body = json.dumps(UNSTREAMED[api]).encode()
    events = exchange.feed(body[:50], 101) + exchange.feed(body[50:], 102) + exchange.close(103)
    assert text(events) == "Hi"
    assert [event.text for event in events if isinstance(event, Reasoning)] == ["Hm"]
    assert Usage(3, 2) in events
    assert exchange.finish.reason == "stop"
    assert exchange.failure is None


@pytest.mark.parametrize(
    ("api", "change", "kind"),
    [
        ("chat", {"choices": []}, Incomplete),
        ("chat", {"choices": [{"index": 0, "message": {"content": "H"}, "finish_reason": "error"}]}, Incomplete),
        ("responses", {"status": "failed", "error": {"code": "server_error", "message": "x"}}, Unavailable),
        ("responses", {"object": "list"}, Incomplete),
        ("messages", {"type": "completion"}, Incomplete),
        ("messages", {"type": "error", "error": {"type": "invalid_request_error", "message": "x"}}, Refused),
    ],
)
def test_invalid_answer_that_is_not_streamed(api, change, kind):
    exchange = begin(api, headers=JSON)
    exchange.feed(json.dumps(UNSTREAMED[api] | change).encode(), 101)
    exchange.close(102)
    assert isinstance(exchange.failure, kind)


@pytest.mark.parametrize("headers", [{"content-type": "text/html"}, {}, JSON], ids=["html", "none", "json"])
@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"", b"[]", b'"x"', b"[" * 60_000, b'{"choices"'])
def test_body_that_is_not_an_answer(headers, body):
    exchange = begin(headers=headers)
    assert exchange.feed(body, 101) + exchange.close(102) == []
    assert type(exchange.failure) is Incomplete
    assert "is the base URL that of an API?" in str(exchange.failure)


def test_body_that_is_not_an_answer_is_bounded():
    exchange = begin(headers={"content-type": "text/html"})
    exchange.feed(b"x" * module.MAX_ERROR_BYTES, 101)
    assert not exchange.over
    exchange.feed(b"x", 101)
    assert type(exchange.failure) is Incomplete


def test_answer_that_is_not_streamed_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100)
    exchange = begin(headers=JSON)
    exchange.feed(b" " * 100, 101)
    assert not exchange.over
    exchange.feed(b" ", 101)
    assert type(exchange.failure) is Incomplete


def test_an_event_without_end_is_bounded():
    exchange = begin()
    exchange._parser._limit = 1000
    assert text(exchange.feed(chat_text("a") + b"data: " + b"x" * 2000, 101)) == "a"
    exchange.feed(b"x", 102)
    assert type(exchange.failure) is Incomplete
    assert "larger than 1000 bytes" in str(exchange.failure)


def test_the_end_does_not_hide_an_event_that_is_too_large():
    exchange = begin()
    exchange._parser._limit = 1000
    exchange.feed(chat_text("a") + b"data: " + b"x" * 2000, 101)
    exchange.close(102)
    assert "larger than 1000 bytes" in str(exchange.failure)


# Bytes.


def test_invalid_utf_8_is_replaced_with_a_warning():
    exchange = begin()
    assert text(exchange.feed(chat_text("a?b").replace(b"?", b"\xff"), 101)) == "a\ufffdb"
    assert "invalid UTF-8" in exchange.warning


def test_half_a_character_at_a_cut_is_not_invalid_utf_8():
    exchange = begin()
    exchange.feed(chat_text("é")[:-20].partition("é".encode())[0] + "é".encode()[:1], 101)
    exchange.close(102)
    assert exchange.warning == ""
    assert type(exchange.failure) is Incomplete


def test_an_event_that_is_not_json():
    exchange = begin()
    assert text(exchange.feed(chat_text("a") + b"data: {oops\n\n" + chat_text("b"), 101)) == "a"
    assert type(exchange.failure) is Incomplete
    assert "event 2 of the stream is not JSON ({oops)" in str(exchange.failure)


@pytest.mark.parametrize("data", [b"null", b"", b"1", b"[]", b'"x"', b"true", b"{}"])
def test_events_without_content(data):
    exchange = begin()
    body = chat_text("a") + b"data: " + data + b"\n\n" + chat_text("b") + chat_end() + DONE
    assert text(exchange.feed(body, 101)) == "ab"
    assert exchange.failure is None


HALF = '"\\ud83c"'


def test_halves_of_characters_in_all_places():
    """All events can be encoded as UTF-8, wherever a provider puts half a character."""
    delta = '{"content":%s,"reasoning":%s,"tool_calls":[{"index":0,"id":%s,"function":{"name":%s,"arguments":%s}}]}'
    chunk = '{"id":%s,"model":%s,"choices":[{"index":0,"delta":' + delta + ',"finish_reason":%s}]}'
    exchange = begin()
    events = exchange.feed(frame(chunk.replace("%s", HALF)) + DONE, 101)
    assert Text("\ufffd") in events
    assert Reasoning("\ufffd") in events
    assert ToolCall(0, "", "", "\ufffd") in events
    assert json.dumps([event.as_dict() for event in events], ensure_ascii=False).encode()
