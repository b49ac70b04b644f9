"""Junk in place of a provider's fields: nothing is raised, and all events can be encoded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmstream.core.events import Finish
from llmstream.errors import Error
from tests.support.loopback import DIALECTS, DONE, chat_end, frame
from tests.support.transcripts import TRANSCRIPTS

from .test_exchange import JSON, SSE, begin

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["error", "0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def split_frames(body: bytes) -> list[tuple[bytes, bytes]]:
    """Returns the bytes before each frame's data, and the data."""
    frames = body.replace(b"\r\n", b"\n").split(b"\n\n")
    return [(before, data.strip()) for before, name, data in (part.partition(b"data:") for part in frames) if name]


def paths(value: object, at: tuple = ()) -> list[tuple]:
    """Returns the paths of all values within a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] + [path for key, child in inner for path in paths(child, (*at, key))]


def replaced(value: object, path: tuple, junk: object) -> object:
    if not path:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], junk)
    return copy


GOOD = [t for t in TRANSCRIPTS if t.is_stream and t.is_complete]


@given(st.data())
@settings(max_examples=400)
def test_junk_in_place_of_any_field(data):
    transcript = data.draw(st.sampled_from(GOOD))
    body = b""
    for before, payload in split_frames(transcript.body):
        body += before + b"data: "
        if payload.startswith(b"{") and data.draw(st.booleans()):
            value = json.loads(payload)
            path = data.draw(st.sampled_from(paths(value)))
            body += json.dumps(replaced(value, path, data.draw(JUNK))).encode()
        else:
            body += payload
        body += b"\n\n"
    exchange = transcript.exchange()
    events = exchange.feed(body, 1.0) + exchange.close(2.0)
    assert exchange.over
    assert exchange.failure is None or isinstance(exchange.failure, Error)
    assert (exchange.failure is None) == isinstance(events[-1] if events else None, Finish)
    assert json.dumps([event.as_dict() for event in events], ensure_ascii=False).encode()


@given(st.sampled_from(sorted(DIALECTS)), JUNK)
@settings(max_examples=200)
def test_junk_instead_of_an_answer(api, junk):
    exchange = begin(api, headers=JSON)
    exchange.feed(json.dumps(junk).encode(), 101)
    exchange.close(102)
    assert isinstance(exchange.failure, Error)


@given(st.sampled_from(sorted(DIALECTS)), st.binary(max_size=200), st.sampled_from([200, 400, 404, 429, 500]))
@settings(max_examples=200)
def test_random_bytes(api, body, status):
    for headers in (SSE, JSON):
        exchange = begin(api, status=status, headers=headers)
        exchange.feed(body, 101)
        exchange.close(102)
        assert isinstance(exchange.failure, Error)


@pytest.mark.parametrize("depth", [200, 900, 940, 960, 980, 990, 1000, 5000])
def test_deep_nesting(depth):
    exchange = begin()
    call = '{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"function":{"name":"f","arguments":%s}}]}}]}'
    exchange.feed(frame(call % ("[" * depth + "]" * depth)) + chat_end() + DONE, 101)
    exchange.close(102)
    assert exchange.over
