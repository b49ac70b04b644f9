"""A generation in each of its states: what is taken, what strikes, and what is left when it is closed."""

from __future__ import annotations

import pytest

from llmstream.core.events import Finish, Reasoning, Start, Text
from llmstream.core.stop import until
from llmstream.core.stop.conditions import from_mapping
from llmstream.core.stop.stops import Stops
from llmstream.core.timing import Timeouts
from llmstream.errors import Incomplete, Refused, Unavailable
from llmstream.net.resume import of
from llmstream.providers.registry import OFFSET

from ..support.loopback import DONE, chat_end, chat_text, frame
from ..support.transport import TARGET, ScriptedTransport, started

BUSY = {"status": 503, "headers": {"content-type": "application/json", "retry-after": "7"}}


@pytest.fixture(params=[False, True], ids=["chunks", "on_chunk"])
def transport(request) -> ScriptedTransport:
    return ScriptedTransport(request.param)


def texts(generation) -> str:
    return "".join(event.text for event in generation.take() if isinstance(event, Text))


def stops(mode: str = "", **conditions: object) -> Stops:
    made, mode = from_mapping({**conditions, **({mode: True} if mode else {})})
    return Stops(made, mode)


def busy(transport: ScriptedTransport) -> None:
    """The last request fails, and asks to be sent again in 7 s."""
    transport.last.arrive(b"{}", **BUSY)
    transport.last.finish()


# Its states, one after the other.


def test_a_whole_answer(transport):
    generation = started(transport)
    transport.last.arrive(chat_text("Hello"))
    assert texts(generation) == "Hello"
    assert generation.take() == []
    transport.last.arrive(chat_end(usage=False))
    assert not generation.over  # a usage record may follow
    transport.last.arrive(chat_end() + DONE)
    assert generation.over
    assert generation.failure is None
    assert transport.last.closed
    assert [type(event) for event in generation.take()][-1] is Finish


WORDS = [chat_text(word) for word in ("a", "b", "c", "d")]
PREMATURE = chat_end(usage=False)  # a finish, behind which the text goes on


@pytest.mark.parametrize(
    "arrivals",
    [
        [[word] for word in WORDS],
        [WORDS],
        [WORDS[:1], WORDS[1:]],
        [WORDS[:1], WORDS[1:2], [*WORDS[2:], chat_end() + DONE]],
        [WORDS[:1], WORDS[1:2], [PREMATURE, *WORDS[2:]], [chat_text("e")]],
        [WORDS[:1], WORDS[1:2], [chat_text("x") + PREMATURE, *WORDS], WORDS],
        [WORDS[:1], WORDS[1:2], [chat_text("x" * 9)[:30]], [chat_text("x" * 9)[30:]], WORDS[2:]],
    ],
)
def test_each_text_comes_once_and_in_order_as_an_event_or_to_on_text(arrivals):
    """The owner takes the events when it is woken, or only after all chunks of an arrival."""

    def read(calls_on_chunk: bool, *, has_on_text: bool, has_wake: bool) -> list[tuple[str, bool]]:
        transport, got, wakes, states = ScriptedTransport(calls_on_chunk), [], [], []
        more = {"on_text": got.append} if has_on_text else {}
        generation = started(transport, wake=(lambda: wakes.append(1)) if has_wake else None, **more)
        for chunks in arrivals:
            transport.last.arrive(*chunks)
            assert wakes or not (has_wake and generation.has_news)
            wakes.clear()
            got.append(texts(generation))
            states.append(("".join(got), generation.over))
        if not generation.over:
            transport.last.ended = True  # which the owner learns with a last part
            transport.last.arrive(WORDS[0])
        got.append(texts(generation))
        return [*states, ("".join(got), generation.over)]

    expected = read(False, has_on_text=False, has_wake=False)
    assert expected[-1][0].startswith("ab")
    assert expected[-1][1]
    for has_on_text in (False, True):
        for has_wake in (False, True):
            assert read(True, has_on_text=has_on_text, has_wake=has_wake) == expected


def test_a_text_that_repeats_the_last_one_goes_to_on_text():
    transport, got = ScriptedTransport(calls_on_chunk=True), []
    generation = started(transport, on_text=got.append)
    for word in WORDS:
        transport.last.arrive(word)
        got.append(texts(generation))
    assert got == ["a", "b", "c", "", "d", ""]  # the first two as events


def test_the_alarm_of_a_flowing_answer_is_not_lost():
    transport = ScriptedTransport(calls_on_chunk=True)
    generation = started(transport, Timeouts(stall=60), wake=lambda: None)
    for word in WORDS:
        transport.time += 50
        transport.last.arrive(word)
    transport.until(transport.time + 59)
    assert not generation.over
    transport.until(transport.time + 2)
    assert isinstance(generation.failure, Incomplete)


def close_before_the_head(generation, transport): ...


def close_after_the_head(generation, transport):
    transport.last.arrive()


def close_amid_the_answer(generation, transport):
    transport.last.arrive(chat_text("Hello"))


def close_after_the_end_mark(generation, transport):
    transport.last.arrive(chat_text("Hello"), chat_end(usage=False))


def close_in_a_retry_wait(generation, transport):
    busy(transport)


def close_in_the_second_try(generation, transport):
    busy(transport)
    transport.until(7)


def close_while_paused(generation, transport):
    transport.last.arrive(chat_text("Hello"))
    generation.pause(True)


@pytest.mark.parametrize(
    "state",
    [
        close_before_the_head,
        close_after_the_head,
        close_amid_the_answer,
        close_after_the_end_mark,
        close_in_a_retry_wait,
        close_in_the_second_try,
        close_while_paused,
    ],
)
def test_closed_in_each_state(transport, state):
    """The connection is closed at once, and nothing is called, sent or left to ring afterwards."""
    woken = []
    generation = started(transport, wake=lambda: woken.append(1))
    state(generation, transport)
    before, sent = len(woken), len(transport.sent)
    generation.close()
    generation.close()
    generation.pause(True)
    generation.pause(False)
    assert generation.over
    assert generation.failure is None
    assert transport.last.closed
    transport.until(10_000)
    assert (len(woken), len(transport.sent)) == (before, sent)
    assert not [alarm for alarm in transport.alarms if alarm.due]


@pytest.mark.parametrize("wakes", [1, 2, 3])
def test_closed_from_within_wake(transport, wakes):
    woken = []

    def wake() -> None:
        woken.append(1)
        if len(woken) == wakes:
            generation.close()

    generation = started(transport, wake=wake)
    for chunk in (b"", chat_text("a"), chat_text("b"))[:wakes]:
        transport.last.arrive(*([chunk] if chunk else []))
    assert generation.over
    assert len(woken) == wakes
    assert not [alarm for alarm in transport.alarms if alarm.due]


# Time-outs.


def test_no_first_token(transport):
    generation = started(transport, Timeouts(first_token=120.0))
    transport.last.arrive()
    transport.until(119)
    assert not generation.over
    transport.until(120)
    assert isinstance(generation.failure, Unavailable)
    assert transport.last.closed


def test_the_first_token_has_its_time_in_each_try(transport):
    generation = started(transport, Timeouts(first_token=10.0))
    transport.until(9)
    busy(transport)
    transport.until(25)  # sent at 16
    assert not generation.over
    transport.until(26)
    assert isinstance(generation.failure, Unavailable)


@pytest.mark.parametrize("queued", [11.0, 100.0])
def test_a_try_that_waits_for_its_turn_has_its_time_from_when_it_is_sent(transport, queued):
    """As in `map`, where a provider's pace may hold it back for longer than a time-out."""
    times = []
    generation = started(transport, Timeouts(first_token=10.0, stall=10.0), on_retry=times.append)
    busy(transport)
    assert times == [7.0]
    transport.until(queued)
    assert not generation.over
    generation.send()
    transport.until(queued + 9)
    assert not generation.over
    transport.last.arrive(chat_text("Hello"))
    assert texts(generation) == "Hello"


def test_what_failed_can_be_read_when_another_try_is_planned(transport):
    """`map` tells its pace of it."""
    seen = []
    generation = started(transport, on_retry=lambda when: seen.append(generation.exchange.status))
    busy(transport)
    assert seen == [503]


def test_a_stall(transport):
    generation = started(transport, Timeouts(stall=60.0))
    transport.last.arrive(chat_text("Hello"))
    transport.until(50)
    transport.last.arrive(chat_text(", you"))
    transport.until(109)
    assert not generation.over
    transport.until(110)
    assert isinstance(generation.failure, Incomplete)
    assert texts(generation) == "Hello, you"


def test_a_usage_record_is_waited_for_and_not_for_long(transport):
    generation = started(transport, Timeouts(grace=2.0))
    transport.last.arrive(chat_text("Hello"), chat_end(usage=False))
    transport.until(2)
    assert generation.over
    assert generation.failure is None


def test_the_whole_has_its_limit_over_all_tries(transport):
    generation = started(transport, Timeouts(total=10.0))
    busy(transport)
    transport.until(7)
    transport.last.arrive(chat_text("Hello"))
    transport.until(10)
    assert str(generation.failure).startswith("not complete within 10 s (timeout)")
    assert transport.last.closed


def test_a_wait_beyond_the_limit_is_not_begun(transport):
    generation = started(transport, Timeouts(total=5.0))
    busy(transport)
    assert generation.over
    assert generation.failure.status == 4
    assert len(transport.sent) == 1


def test_the_limit_of_the_whole_strikes_while_it_waits_for_its_turn(transport):
    generation = started(transport, Timeouts(total=10.0), on_retry=lambda when: None)
    busy(transport)
    transport.until(10)
    assert str(generation.failure) == "not complete within 10 s (timeout)"


# A pause.


def test_a_pause_is_no_silence_of_the_provider(transport):
    generation = started(transport, Timeouts(first_token=10.0, stall=10.0))
    generation.pause(True)
    transport.until(100)
    generation.pause(False)
    transport.until(109)
    transport.last.arrive(chat_text("Hello"))
    generation.pause(True)
    assert transport.last.paused
    transport.until(200)
    assert not generation.over
    generation.pause(False)
    assert not transport.last.paused
    transport.until(209)
    assert not generation.over
    transport.until(210)
    assert isinstance(generation.failure, Incomplete)


def test_the_limit_of_the_whole_strikes_in_a_pause(transport):
    generation = started(transport, Timeouts(total=10.0))
    transport.last.arrive(chat_text("Hello"))
    generation.pause(True)
    transport.until(10)
    assert isinstance(generation.failure, Incomplete)
    assert texts(generation) == "Hello"


def test_a_pause_outlasts_a_retry_wait(transport):
    generation = started(transport, Timeouts(first_token=10.0))
    busy(transport)
    generation.pause(True)
    transport.until(7)
    assert len(transport.sent) == 2
    assert transport.last.paused
    transport.until(100)
    assert not generation.over
    generation.pause(False)
    assert not transport.last.paused


def test_a_pause_that_ends_in_a_retry_wait_starts_no_clock(transport):
    generation = started(transport, Timeouts(first_token=3.0))
    generation.pause(True)
    busy(transport)
    generation.pause(False)
    transport.until(9)
    assert not generation.over


# Conditions.


def test_a_condition_of_time_is_met_in_a_retry_wait(transport):
    generation = started(transport, stops=stops(seconds=3.0))
    busy(transport)
    transport.until(3)
    assert generation.over
    assert generation.stops.early
    assert len(transport.sent) == 1


def test_what_conditions_hold_back_is_delivered_when_the_answer_is_cut(transport):
    generation = started(transport, stops=stops("exclusive", fixed=["abc"]))
    transport.last.arrive(chat_text("xab"))
    assert texts(generation) == "x"
    transport.last.finish("reset")
    assert texts(generation) == "ab"
    assert isinstance(generation.failure, Incomplete)


def test_more_than_conditions_may_hold_ends_it(transport, monkeypatch):
    monkeypatch.setattr(until, "MAX_BUFFER", 4)
    woken = []
    generation = started(transport, stops=stops("exclusive", regex=["a.*b"]), wake=lambda: woken.append(1))
    transport.last.arrive(chat_text("aaaaaaaa"))
    assert generation.over
    assert isinstance(generation.failure, Incomplete)
    assert "leave out exclusive and only" in str(generation.failure)
    assert transport.last.closed
    assert woken


# Redirects.


def redirected(transport: ScriptedTransport, location: str) -> None:
    transport.last.arrive(status=307, headers={"location": location})


def test_a_redirect_is_followed_within_the_origin(transport):
    generation = started(transport)
    redirected(transport, "/v2/chat/completions")
    transport.until(0)
    assert transport.sent[0].closed
    assert [sent.request.url for sent in transport.sent] == [TARGET.url, "http://p/v2/chat/completions"]
    transport.last.arrive(chat_text("Hello"))
    assert texts(generation) == "Hello"


@pytest.mark.parametrize("location", ["", "http://q/v1", "https://p/v1", "//[", "http://[::1", "/\u00e9"])
def test_a_redirect_elsewhere_or_nowhere_is_an_answer(transport, location):
    generation = started(transport)
    redirected(transport, location)
    transport.last.finish()
    assert isinstance(generation.failure, Refused)
    assert len(transport.sent) == 1


# Going on after a cut.


def going_on(transport: ScriptedTransport, **more: object):
    target = TARGET._replace(row=TARGET.row._replace(resume=OFFSET))
    generation = started(transport, target=target, resume=of(target), **more)
    transport.last.arrive(chat_text("Hello"))
    transport.last.finish("reset")
    return generation


def test_the_rest_is_asked_for_and_nothing_comes_twice(transport):
    generation = going_on(transport)
    transport.until(1)
    assert transport.last.request.method == "GET"
    transport.last.arrive(chat_text(", you"), chat_end() + DONE)
    assert texts(generation) == "Hello, you"
    assert generation.failure is None
    assert transport.forgotten == []


def test_a_redirect_of_the_rest_does_not_begin_again(transport):
    generation = going_on(transport, retries=1)
    transport.until(1)
    redirected(transport, "/elsewhere")
    transport.last.finish()
    assert [sent.request.method for sent in transport.sent] == ["POST", "GET"]
    assert isinstance(generation.failure, Incomplete)


def test_a_generation_that_outlives_its_connection_is_cancelled(transport):
    generation = going_on(transport)
    generation.close()
    assert [request.method for request in transport.forgotten] == ["DELETE"]


def test_a_stall_is_a_cut_and_a_pause_is_none(transport):
    target = TARGET._replace(row=TARGET.row._replace(resume=OFFSET))
    generation = started(transport, Timeouts(stall=10.0), target=target, resume=of(target), stops=stops(seconds=50.0))
    transport.last.arrive(chat_text("Hello"))
    generation.pause(True)
    transport.until(30)
    transport.last.wake()
    assert len(transport.sent) == 1
    generation.pause(False)
    transport.until(45)
    assert len(transport.sent) == 2


def test_a_wait_for_the_rest_beyond_the_limit_is_not_begun(transport):
    generation = going_on(transport, timeouts=Timeouts(total=5.0))
    transport.until(1)
    transport.last.arrive(b"{}", **BUSY)
    transport.last.finish()
    assert isinstance(generation.failure, Incomplete)
    assert len(transport.sent) == 2


# Fields that a server refuses.


@pytest.mark.parametrize(
    ("api", "field"), [("chat", "stream_options"), ("responses", "store")], ids=["stream_options", "store"]
)
def test_a_field_that_an_answer_can_do_without_is_left_out_where_the_server_refuses_it(transport, api, field):
    started(transport, target=TARGET._replace(api=api))
    assert field in transport.last.request.body
    refusal = f'{{"error": {{"message": "json: unknown field {field}"}}}}'.encode()
    transport.last.arrive(refusal, status=400, headers={"content-type": "application/json"})
    transport.last.finish()
    transport.until(0)
    assert len(transport.sent) == 2
    assert field not in transport.last.request.body


THOUGHT = frame({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}}]})
OVERLOADED = frame({"error": {"message": "Busy", "type": "overloaded_error"}})


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("ends", ["error", "end", "silence"])
def test_a_failure_while_the_model_thinks_is_repeated_where_nothing_was_shown(transport, shown, ends):
    generation = started(transport, Timeouts(stall=30), shows_reasoning=shown)
    transport.last.arrive(THOUGHT)
    if ends == "error":
        transport.last.arrive(OVERLOADED)
    elif ends == "end":
        transport.last.finish()
    else:
        transport.until(30)
    if shown or ends == "silence":
        assert type(generation.failure) is (Incomplete if shown else Unavailable)
        return
    transport.until(transport.time + 1)
    transport.last.arrive(THOUGHT, chat_text("Hello"), chat_end(), DONE)
    assert generation.failure is None
    assert [type(event) for event in generation.take()].count(Reasoning) == 1
    assert len(transport.sent) == 2


def test_reasoning_that_is_not_shown_comes_with_the_first_text(transport):
    generation = started(transport, shows_reasoning=False)
    transport.last.arrive(THOUGHT)
    assert generation.take() == []
    transport.last.arrive(chat_text("Hello"))
    assert [type(event) for event in generation.take()] == [Start, Reasoning, Text]
