"""Chunks that differ in their text alone are read by comparison: with the same result as by their JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.exchange import Exchange
from llmstream.core.repeats import MAX_USELESS, Repeats
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects import dialect

CHAT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]%b}\n\n'
MESSAGES = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"%b"}%b}\n\n'
)
FRAMES = {"chat": CHAT, "messages": MESSAGES}
NOISE = b',"obfuscation":"%b"'
OTHERS = {
    "chat": [
        b'data: {"choices":[{"index":0,"delta":{"reasoning":"r"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a"}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"id":"i","function":{"name":"n"}}]}}]}\n\n',
        b'data: {"error":{"message":"overloaded"}}\n\n',
    ],
    "messages": [
        b'data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":"a"}}\n\n',
        b'data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"i","name":"n"}}\n\n',
        b'event: ping\ndata: {"type":"ping"}\n\n',
        b'data: {"type":"message_stop"}\n\n',
    ],
}
COMMON = [b": a comment\n\n", b"\n", b"\r\n", b"data: [DONE]\n\n"]
# The insides of JSON strings: plain, escaped, halves of a character, what no JSON has, and words of the frames.
TEXTS = [
    *(b" the", b"a", b"", b"\xd0\xb6", b'\\"', b"\\n", b"\\ud83d", b"\\ude00", b"\xff", b"\n"),
    b"c",
    b"index",
    b"<think>",
]


def read(api: str, chunks: list[bytes], *, compares: bool) -> object:
    timing = Timing(0.0)
    exchange = Exchange(dialect(api).Decoder("p", "m"), Timeouts(), timing, 0.0, "url")
    if not compares:
        exchange._repeats = None
    exchange.head(200, {"content-type": "text/event-stream"})
    events = [exchange.feed(chunk, now) for now, chunk in enumerate(chunks, 1)]
    events.append(exchange.close(99))
    counts = exchange.characters, exchange.frame_count, timing.first, timing.last, exchange.is_cut(250, False)
    return [list(map(repr, each)) for each in events], counts, exchange.over, repr(exchange.failure), exchange.warning


@given(st.sampled_from(sorted(FRAMES)), st.data())
def test_comparison_changes_nothing(api, data):
    noise = st.sampled_from([b"", b"", NOISE % b"x", NOISE % b"", NOISE % b"\\u0061"])
    frame = st.builds(lambda text, more: FRAMES[api] % (text, more), st.sampled_from(TEXTS), noise)
    frames = data.draw(st.lists(frame | st.sampled_from(OTHERS[api] + COMMON), max_size=12))
    if data.draw(st.booleans()):
        whole = b"".join(frames)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
        frames = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read(api, frames, compares=True) == read(api, frames, compares=False)


@pytest.mark.parametrize("noises", [(b"", b""), (NOISE % b"abc", NOISE % b"x")])
@pytest.mark.parametrize("frame", FRAMES.values())
def test_the_text_of_a_chunk_like_the_last_one_is_read(frame, noises):
    repeats = Repeats()
    repeats.learn(frame % (b" one", noises[0]), " one")
    for text in (b" two", b" one", b"\xe2\x82\xac", b" {"):
        assert repeats.text(frame % (text, noises[1])) == text.decode()
    repeats.forget()
    assert repeats.text(frame % (b" two", noises[1])) == ""


@pytest.mark.parametrize(
    "chunk",
    [
        CHAT % (b'\\"', b""),
        CHAT % (b'a","b":"', b""),
        CHAT % (b"a\n", b""),
        CHAT % (b"\xff", b""),
        CHAT % (b"a", b',"more":1'),
        CHAT % (b"a", b"") * 2,
        (CHAT % (b"a", b""))[:-1],
        (CHAT % (b"a", b""))[1:],
    ],
)
def test_any_other_chunk_is_not_read(chunk):
    repeats = Repeats()
    repeats.learn(CHAT % (b" one", b""), " one")
    assert repeats.text(chunk) == ""


@pytest.mark.parametrize(
    ("chunk", "text"),
    [
        (CHAT % (b"index", b""), "index"),  # which of the two it is, is not certain
        (CHAT % (b"\\u0061", b',"x":"a"'), "a"),  # the text is escaped, and what looks like it is not the text
    ],
)
def test_a_text_that_cannot_be_located_is_not_learned(chunk, text):
    assert json.loads(chunk[6:])["choices"][0]["delta"]["content"] == text
    repeats = Repeats()
    repeats.learn(chunk, text)
    assert repeats.text(chunk) == ""


def test_chunks_that_never_repeat_are_learned_a_few_times_only():
    repeats = Repeats()
    for number in range(MAX_USELESS + 1):
        chunk = CHAT % (b" a", b',"sequence_number":%d' % number)
        assert repeats.text(chunk) == ""
        repeats.learn(chunk, " a")
    assert repeats.text(chunk) == ""
