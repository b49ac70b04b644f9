"""Chunks that differ in their text alone are read by comparison: with the same result as by their JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.exchange import Exchange
from llmstream.core.repeats import MAX_USELESS, Repeats
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects import dialect

from ..support.chunks import chunkings, cut
from ..support.transcripts import TRANSCRIPTS, Transcript

CHAT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]%b}\n\n'
MESSAGES = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"%b"}%b}\n\n'
)
RESPONSES = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"m","output_index":0,'
    b'"content_index":0,"delta":"%b","logprobs":[]%b}\n\n'
)
FRAMES = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
NOISE = b',"obfuscation":"%b"'
NUMBER = b',"sequence_number":%d'
NUMBERED = re.compile(rb'"sequence_number": ?\d+')
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
    "responses": [
        RESPONSES.replace(b'"m"', b'"n"') % (b"a", b""),
        RESPONSES.replace(b'"output_index":0', b'"output_index":1') % (b"a", NUMBER % 3),
        RESPONSES.replace(b"output_text", b"refusal") % (b"a", NUMBER % 5),
        RESPONSES.replace(b"output_text", b"reasoning_text") % (b"a", b""),
        RESPONSES % (b"a", b',"sequence_number":4.0'),
        RESPONSES % (b"a", b',"sequence_number":true'),
        RESPONSES % (b"a", b',"x":{"sequence_number":2}'),
        RESPONSES % (b"a", b',"sequence_number":2,"sequence_number":3'),
        b'data: {"type":"response.output_text.done","item_id":"m","content_index":0,"text":" thea"}\n\n',
        b'data: {"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"n"}}\n\n',
        b'data: {"type":"response.completed","response":{"output":[{"type":"message","id":"m",%b}]}}\n\n'
        % b'"content":[{"type":"output_text","text":" the the and more"}]',
    ],
}
COMMON = [b": a comment\n\n", b"\n", b"\r\n", b"data: [DONE]\n\n"]
# The insides of JSON strings: plain, escaped, halves of a character, what no JSON has, and words of the frames.
TEXTS = [
    *(b" the", b"a", b"", b"\xd0\xb6", b'\\"', b"\\n", b"a\\\\", b"\\ud83d", b"\\ude00", b"\xff", b"\n"),
    *(b"c", b"index", b"<think>", b"\\u0061", b"\\x", b'\\"}', b"sequence_number"),
]


def read(exchange: Exchange, chunks: Iterable[bytes], *, compares: bool) -> object:
    if not compares:
        exchange._repeats = None
    steps = [(exchange.feed(chunk, now), exchange.position) for now, chunk in enumerate(chunks, 1)]
    steps.append((exchange.close(99), exchange.position))
    timing = exchange.timing
    counts = exchange.characters, exchange.frame_count, timing.first, timing.last, exchange.is_cut(250, False)
    events = [(list(map(repr, each)), position) for each, position in steps]
    return events, counts, exchange.over, repr(exchange.failure), exchange.warning


def new_exchange(api: str) -> Exchange:
    exchange = Exchange(dialect(api).Decoder("p", "m"), Timeouts(), Timing(0.0), 0.0, "url")
    exchange.head(200, {"content-type": "text/event-stream"})
    return exchange


def same(make: partial[Exchange], chunks: list[bytes]) -> None:
    """Compares the two ways to read the chunks."""
    assert read(make(), chunks, compares=True) == read(make(), chunks, compares=False)


@given(st.sampled_from(sorted(FRAMES)), st.data())
def test_comparison_changes_nothing(api, data):
    noise = st.sampled_from([b"", b"", b"", NOISE % b"x", NOISE % b"", NOISE % b"\\u0061", NOISE % b"\xff"])
    number = st.sampled_from([b"", *(NUMBER % n for n in range(7))]) if api == "responses" else st.just(b"")
    more = st.permutations((0, 1)).flatmap(lambda order: st.tuples(*[(number, noise)[i] for i in order]).map(b"".join))
    frame = st.builds(lambda text, more: FRAMES[api] % (text, more), st.sampled_from(TEXTS), more)
    frames = data.draw(st.lists(frame | st.sampled_from(OTHERS[api] + COMMON), max_size=12))
    if data.draw(st.booleans()):  # most servers count on
        count = iter(range(1, 99))
        frames = [NUMBERED.sub(lambda _: b'"sequence_number":%d' % next(count), each) for each in frames]
    if data.draw(st.booleans()):
        frames = cut(b"".join(frames), data.draw(st.lists(st.integers(0, 10_000), max_size=6)))
    same(partial(new_exchange, api), frames)


TOKENS = [RESPONSES % (text, b"") for text in (b" one", b" two", b" and", b" six\\n")]
TEXT_DONE = b'data: {"type":"response.output_text.done","item_id":"m","content_index":0,"text":"%b"}\n\n'
OTHER_ITEM = RESPONSES.replace(b'"m"', b'"n"').replace(b"0", b"1") % (b"a", b"")
NESTED = b',"x":{"sequence_number":%d}'


@pytest.mark.parametrize(
    ("api", "frames"),
    [
        ("responses", [*TOKENS, TEXT_DONE % b" one two and six\\nand more"]),
        ("responses", [*TOKENS[:3], TEXT_DONE % b" one two foo and more"]),
        ("responses", [*TOKENS[:3], OTHER_ITEM]),
        ("responses", [*TOKENS, OTHER_ITEM]),
        ("responses", [RESPONSES % (b" a", NUMBER % n) for n in (1, 2, 3, 3, 2, 4, 5, 7, 8, 8, 0, 0, 9, 10)]),
        ("responses", [RESPONSES % (b" a", NUMBER % n) for n in (0, 0, 0, 1, 1, 1, 2)]),
        (
            "responses",
            [RESPONSES % (b" a", more) for more in (NUMBER % 1, *(NESTED % n for n in (1, 2, 3)), NUMBER % 2)],
        ),
        ("responses", [RESPONSES % (b" a", m) for m in (b"", *(NESTED % n + NUMBER % 3 for n in (3, 4, 5)))]),
        ("responses", [RESPONSES % (b" a", b',"sequence_number":%b' % n) for n in (b"true", b"true", b"2.0", b"3.0")]),
        (
            "messages",
            [MESSAGES % (b" a\\n", b"")] * 2
            + [MESSAGES % (b" a", b""), OTHERS["messages"][1], MESSAGES % (b" b", b"")],
        ),
        (
            "messages",
            [MESSAGES % (b" a", b"")] * 2
            + [MESSAGES % (b" a\\n", b""), OTHERS["messages"][1], MESSAGES % (b" b", b"")],
        ),
    ],
)
def test_what_follows_is_read_alike(api, frames):
    same(partial(new_exchange, api), frames)


STREAMS = [each for each in TRANSCRIPTS if each.is_sse and each.http == 200]


def frames_of(body: bytes) -> list[bytes]:
    """Cuts a body behind each event."""
    return re.findall(rb"(?s).+?(?:\r\n\r\n|\n\n|\r\r|\Z)", body)


@pytest.mark.parametrize("transcript", STREAMS, ids=repr)
def test_every_recorded_stream_is_read_as_without_comparison(transcript: Transcript):
    same(transcript.exchange, frames_of(transcript.body))
    for chunks in chunkings(transcript.body, 50):
        same(transcript.exchange, chunks)


@given(st.sampled_from(STREAMS), st.data())
def test_recorded_streams_with_events_that_come_again(transcript, data):
    """Each event may come many times, with other texts and further numbers, in chunks of any size."""
    frames: list[bytes] = []
    for frame in frames_of(transcript.body):
        times = data.draw(st.sampled_from([1, 1, 2, 3]))
        text = data.draw(st.sampled_from(TEXTS))
        frames += [frame, *[re.sub(rb'("(?:content|text|delta)": ?)"[^"\\]*"', rb'\1"%b"' % _raw(text), frame)] * times]
    if data.draw(st.booleans()):
        count = iter(range(1, 9999))
        frames = [NUMBERED.sub(lambda _: b'"sequence_number":%d' % next(count), each) for each in frames]
    if data.draw(st.booleans()):
        frames = cut(b"".join(frames), data.draw(st.lists(st.integers(0, 100_000), max_size=6)))
    same(transcript.exchange, frames)


def _raw(text: bytes) -> bytes:
    """Returns text as the replacement of a regular expression."""
    return text.replace(b"\\", b"\\\\")


@pytest.mark.parametrize("noises", [(b"", b""), (NOISE % b"abc", NOISE % b"x")])
@pytest.mark.parametrize("frame", FRAMES.values())
def test_the_text_of_a_chunk_like_the_last_one_is_read(frame, noises):
    repeats = Repeats()
    repeats.learn(frame % (b" one", noises[0]), " one", -1)
    for text in (b" two", b" one", b"\xe2\x82\xac", b" {", b"\\n", b'\\"}'):
        assert repeats.text(frame % (text, noises[1])) == json.loads(b'"%b"' % text)
    repeats.forget()
    assert repeats.text(frame % (b" two", noises[1])) == ""


@pytest.mark.parametrize("before_text", [False, True])
@pytest.mark.parametrize("noise", [b"", NOISE % b"abc"])
def test_the_next_number_is_expected(before_text, noise):
    def chunk(text: bytes, number: int) -> bytes:
        if before_text:
            return (RESPONSES % (text, noise)).replace(b',"item_id"', NUMBER % number + b',"item_id"')
        return RESPONSES % (text, noise + NUMBER % number)

    repeats = Repeats()
    repeats.learn(chunk(b" one", 8), " one", 8)
    for number in (9, 10, 11):
        assert repeats.text(chunk(b"", number)) == ""
        assert repeats.text(chunk(b" two", number + 1)) == ""
        assert repeats.text(chunk(b" two", number)) == " two"


@pytest.mark.parametrize(
    "chunk",
    [
        CHAT % (b"\\x", b""),
        CHAT % (b"\\u0061", b""),
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
    repeats.learn(CHAT % (b" one", b""), " one", -1)
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
    repeats.learn(chunk, text, -1)
    assert repeats.text(chunk) == ""


@pytest.mark.parametrize("more", [NUMBER % 3, NUMBER % 4 * 2, b',"x":{"sequence_number":[4]}', b""])
def test_a_number_that_cannot_be_located_is_not_learned(more):
    repeats = Repeats()
    repeats.learn(RESPONSES % (b"a", more), "a", 4)
    assert repeats.text(RESPONSES % (b"a", more)) == ""


@pytest.mark.parametrize("api", sorted(FRAMES))
def test_a_stream_of_the_usual_form_is_parsed_at_its_beginning_only(api, monkeypatch):
    """Otherwise all tests that compare would pass with a comparison that never applies."""
    exchange = new_exchange(api)
    fed = []
    monkeypatch.setattr(exchange._decoder, "feed", partial(_count, exchange._decoder.feed, fed))
    for number in range(1, 30):
        more = NUMBER % number if api == "responses" else b""
        exchange.feed(FRAMES[api] % (b"\\n" if number % 7 == 0 else b" word%d" % number, more + NOISE % b"x"), 1.0)
    assert exchange.frame_count == 29
    assert len(fed) <= 2


def _count(feed, fed: list[object], *args):
    fed.append(args)
    return feed(*args)


def test_chunks_that_never_repeat_are_learned_a_few_times_only():
    repeats = Repeats()
    for number in range(MAX_USELESS + 1):
        chunk = CHAT % (b" a", b',"created":%d' % number)
        assert repeats.text(chunk) == ""
        repeats.learn(chunk, " a", -1)
    assert repeats.text(chunk) == ""
