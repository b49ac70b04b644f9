"""Answers that the provider pauses, as one answer in Python."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

import llmstream
from llmstream import Event, Finish, Incomplete, Start, Text, Usage
from llmstream.errors import Error

from ..support.loopback import HOLD, Provider, frame, head, messages, reply
from ..support.pauses import END, QUESTION, TOOLS, event, paused, turn
from ..support.sdk_types import unlike
from ..support.streams import DRIVERS, remove_configuration, run


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    remove_configuration(monkeypatch)


def options(provider: Provider, **more: Any) -> dict[str, Any]:
    place = {"model": "anthropic/claude-opus-5-5", "base_url": provider.url, "api_key": "sk-ant-test"}
    return {**place, "options": {"tools": TOOLS}, "max_retry_wait": 0.01, **more}


def read(driver: str, provider: Provider, **more: Any) -> tuple[Any, list[Event], Error | None]:
    """Returns the stream, its events and the error that ended it."""
    events: list[Event] = []
    begin: Any = llmstream.stream if driver == "thread" else llmstream.astream
    stream = begin("Go", **options(provider, **more))

    async def read_async() -> None:
        async for event in stream:
            events.append(event)

    try:
        if driver == "thread":
            for event in stream:
                events.append(event)
        else:
            run(driver, read_async())
    except Error as error:
        return stream, events, error
    return stream, events, None


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_parts_of_an_answer_are_one_answer(driver):
    finishes: list[Finish] = []
    with Provider(paused("First ", "container_1"), paused("second "), END) as provider:
        stream, events, error = read(driver, provider, on_finish=finishes.append)
    assert (error, text(events)) == (None, "First second the Rhine.")
    assert [type(event) for event in events if not isinstance(event, Text)] == [Start, Usage, Finish]
    assert [finish.reason for finish in finishes] == ["stop"]
    assert (stream.usage.input_tokens, stream.usage.output_tokens) == (9, 6)
    assert next(event for event in events if isinstance(event, Usage)).output_tokens == 6
    assert stream.timing.started <= stream.timing.first <= stream.timing.last
    bodies = [request.json for request in provider.requests]
    assert [unlike("messages", body) for body in bodies] == [[], [], []]
    assert bodies[2]["messages"] == [QUESTION, turn("First "), turn("second ")]
    assert [body.get("container") for body in bodies] == [None, "container_1", "container_1"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_part_that_is_larger_than_the_buffer(driver):
    long = "x" * 500_000
    with Provider(paused(long), END) as provider:
        _, events, error = read(driver, provider)
    assert (error, text(events)) == (None, long + "the Rhine.")


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("turns", [1, 3])
def test_parts_have_a_limit(driver, turns):
    with Provider(paused("Hm. ")) as provider:
        stream, events, error = read(driver, provider, max_turns=turns)
    assert isinstance(error, Incomplete)
    assert f"the provider still pauses the answer after {turns} turn" in str(error)
    assert str(error).endswith(": raise max_turns")
    assert (text(events), len(provider.requests)) == ("Hm. " * turns, turns)
    assert stream.usage.output_tokens == 2 * turns


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_later_part_is_retried_and_asked_of_no_other_model(driver):
    busy = reply("503 Service Unavailable", b"{}")
    with Provider(paused("First "), busy, END) as provider:
        _, events, error = read(driver, provider)
    assert (error, text(events), len(provider.requests)) == (None, "First the Rhine.", 3)
    with Provider(paused("First "), busy) as provider:
        models = ["anthropic/claude-opus-5-5", "anthropic/claude-opus-4-8"]
        _, events, error = read(driver, provider, model=models, retries=1)
    assert isinstance(error, Incomplete)
    assert (text(events), len(provider.requests)) == ("First ", 3)
    assert {request.json["model"] for request in provider.requests} == {"claude-opus-5-5"}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_pause_with_nothing_to_send_back_ends_the_answer(driver):
    empty = [
        head(),
        event("message_start", message={"id": "m", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}),
        event("message_delta", delta={"stop_reason": "pause_turn"}, usage={"output_tokens": 2}),
        event("message_stop"),
    ]
    with Provider(empty) as provider:
        stream, events, error = read(driver, provider)
    assert (error, len(provider.requests)) == (None, 1)
    assert [type(event) for event in events] == [Start, Usage, Finish]
    assert stream.finish.reason == "paused"


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_stop_condition_ends_the_answer_in_a_later_part(driver):
    with Provider(paused("First "), [head(), *messages("the Rhine, the Elbe.")]) as provider:
        stream, events, error = read(driver, provider, until={"fixed": ["Rhine"]})
    assert (error, text(events), stream.met, stream.finish.reason) == (None, "First the Rhine", True, "until")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_stop_condition_is_for_all_parts_of_an_answer(driver):
    with Provider(paused("First "), END) as provider:
        stream, events, error = read(driver, provider, until={"fixed": ["First the"]})
    assert (error, text(events), stream.met) == (None, "First the", True)


def test_a_stream_is_closed_in_a_later_part():
    begun = messages("the ")[:3]
    with Provider(paused("First "), [head(), *begun, HOLD]) as provider:
        stream = llmstream.stream("Go", **options(provider))
        pieces = stream.text
        assert [next(pieces), next(pieces)] == ["First ", "the "]
        closer = threading.Thread(target=stream.close)
        closer.start()
        with contextlib.suppress(StopIteration):
            next(pieces)
        closer.join()
        assert (stream.finish.reason, len(provider.requests)) == ("cancelled", 2)


def test_other_providers_are_asked_as_before():
    finish = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "pause_turn"}]})
    answer = [head(), frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hm."}}]}), finish]
    with Provider([*answer, b"data: [DONE]\n\n"]) as provider:
        place = {"model": "openai/m", "base_url": f"{provider.url}/v1", "api_key": "k"}
        with llmstream.stream("Go", **place, options={"tools": TOOLS}) as stream:
            assert stream.read() == "Hm."
    assert (stream.finish.reason, len(provider.requests)) == ("paused", 1)
