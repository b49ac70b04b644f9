"""A model may think for many minutes: what comes meanwhile is life, and silence is told at the right second.

The clock is the test's. Each dialect thinks for ten minutes, with a frame each ten seconds.
"""

from __future__ import annotations

import json

import pytest

from llmstream.core.events import Text
from llmstream.core.timing import Timeouts
from llmstream.errors import Incomplete, Unavailable

from ..support.loopback import chat, frame, messages, responses
from ..support.transport import TARGET, ScriptedTransport, started

MINUTES_S = 600


def line(**fields: object) -> bytes:
    return json.dumps({"model": "m", **fields}).encode() + b"\n"


def ollama(*texts: str) -> list[bytes]:
    lines = [line(message={"role": "assistant", "content": text}, done=False) for text in texts]
    return [*lines, line(message={"role": "assistant", "content": ""}, done=True, done_reason="stop")]


ANSWERS = {"chat": chat, "responses": responses, "messages": messages, "ollama": ollama}
BEGINNINGS = {"chat": 0, "responses": 1, "messages": 2, "ollama": 0}  # frames before the first text
HEADERS = {api: {"content-type": "application/x-ndjson" if api == "ollama" else "text/event-stream"} for api in ANSWERS}
CHUNK = {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}}]}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}
SIGNATURE = {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}}
ITEM = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}}
COMMENT, PING = b": keep-alive\n\n", frame({"type": "ping"}, "ping")
LIFE = {  # what servers send while a model thinks and shows nothing of it
    "chat": [COMMENT, frame(CHUNK), frame(CHUNK | {"choices": []}), b": OPENROUTER PROCESSING\n\n", b"data: \n\n"],
    "responses": [
        frame({"type": "response.in_progress", "response": {"id": "r1", "status": "in_progress"}}),
        frame(ITEM),
        frame({"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}}),
        COMMENT,
        frame({"type": "keepalive", "sequence_number": 3}),
    ],
    "messages": [PING, frame(BLOCK), frame(SIGNATURE), COMMENT, frame({"type": "new_kind"})],
    "ollama": [line(message={"role": "assistant", "content": ""}, done=False), b"\n"],
}
BLOCKS = {frame(BLOCK), frame(ITEM)}  # they begin a block, and so a line of the text

each = pytest.mark.parametrize("api", LIFE)


@pytest.fixture
def transport() -> ScriptedTransport:
    return ScriptedTransport()


def texts(generation) -> str:
    return "".join(event.text for event in generation.take() if isinstance(event, Text))


def arrive(transport: ScriptedTransport, api: str, data: bytes) -> None:
    transport.last.arrive(data, headers=HEADERS[api])


def think(transport: ScriptedTransport, api: str, kinds: list[bytes]) -> None:
    """Ten minutes in which these frames come, one each ten seconds."""
    for at in range(10, MINUTES_S + 1, 10):
        transport.until(transport.time + 10)
        arrive(transport, api, kinds[at // 10 % len(kinds)])


@each
@pytest.mark.parametrize("alone", [False, True], ids=["all kinds", "one kind"])
def test_an_answer_after_ten_minutes_of_thinking_is_whole(transport, api, alone):
    for kind in LIFE[api] if alone else [None]:
        generation = started(transport, Timeouts(first_token=60, stall=30), target=TARGET._replace(api=api))
        frames = ANSWERS[api]("Aare", " and Reuss")
        before, text = frames[: BEGINNINGS[api]], frames[BEGINNINGS[api] :]
        arrive(transport, api, b"".join(before))
        think(transport, api, [kind] if kind else LIFE[api])
        arrive(transport, api, text[0])
        think(transport, api, [frame for frame in ([kind] if kind else LIFE[api]) if frame not in BLOCKS] or [COMMENT])
        arrive(transport, api, b"".join(text[1:]))
        transport.until(transport.time + 2)  # the grace for a usage record
        assert texts(generation) == "Aare and Reuss"
        assert generation.over
        assert generation.failure is None


@each
def test_silence_before_the_first_output_is_told_at_its_second(transport, api):
    generation = started(transport, target=TARGET._replace(api=api))
    transport.until(500)
    arrive(transport, api, LIFE[api][0])  # also the head of the response
    transport.until(500 + 599.9)
    assert not generation.over
    transport.until(500 + 600)
    assert type(generation.failure) is Unavailable
    assert "600 s (first_token_timeout)" in str(generation.failure)


@each
def test_silence_within_the_answer_is_told_at_its_second(transport, api):
    generation = started(transport, target=TARGET._replace(api=api))
    frames = ANSWERS[api]("Aare", " and Reuss")
    arrive(transport, api, b"".join(frames[: BEGINNINGS[api] + 1]))
    transport.until(250)
    arrive(transport, api, LIFE[api][0])
    transport.until(250 + 299.9)
    assert not generation.over
    transport.until(250 + 300)
    assert type(generation.failure) is Incomplete
    assert "300 s (stall_timeout)" in str(generation.failure)
    assert texts(generation) == "Aare"


def test_a_head_that_does_not_come_is_silence(transport):
    generation = started(transport)
    transport.until(599.9)
    assert not generation.over
    transport.until(600)
    assert type(generation.failure) is Unavailable


@each
def test_single_bytes_are_life(transport, api):
    """A frame that trickles in takes longer than the time-out."""
    generation = started(transport, Timeouts(first_token=5, stall=5), target=TARGET._replace(api=api))
    for byte in b"".join(ANSWERS[api]("Aare")):
        transport.until(transport.time + 4)
        if generation.over:
            break
        arrive(transport, api, bytes([byte]))
    assert texts(generation) == "Aare"
    assert generation.failure is None


def test_the_whole_answer_has_its_own_limit(transport):
    generation = started(transport, Timeouts(total=60))
    for _ in range(5):
        transport.until(transport.time + 10)
        transport.last.arrive(COMMENT)
    transport.until(60)
    assert type(generation.failure) is Unavailable
    assert "60 s (timeout)" in str(generation.failure)


def test_keep_alives_after_the_finish_do_not_prolong_the_wait(transport):
    generation = started(transport)
    transport.last.arrive(b"".join(chat("Aare")).replace(frame("[DONE]"), b""))
    for _ in range(4):
        transport.until(transport.time + 0.5)
        if not generation.over:
            transport.last.arrive(COMMENT + PING)
    assert generation.over
    assert generation.failure is None
