"""The loop over epoll, and over poll where there is none."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Iterator

import pytest

from llmstream import stdio
from llmstream.errors import ReaderGone
from llmstream.net.loop import MIN_COMPACTED, READ, WRITE, Loop


@pytest.fixture(params=["epoll", "poll"])
def loop(request, monkeypatch) -> Iterator[Loop]:
    if request.param == "poll":
        monkeypatch.delattr(select, "epoll", raising=False)
    loop = Loop(watch_stdout=False)
    yield loop
    loop.close()


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    """Three pipes; those ends that a test has not closed are closed at its end."""
    pipes = [os.pipe() for _ in range(3)]
    yield pipes
    for fd in (fd for pipe in pipes for fd in pipe):
        with contextlib.suppress(OSError):
            os.close(fd)


def test_what_is_ready_is_called_until_it_is_unwatched(loop, pipes):
    (reader, writer), calls = pipes[0], []
    loop.watch(reader, READ, lambda mask: calls.append((os.read(reader, 9), mask & READ)))
    for data in (b"a", b"b"):
        os.write(writer, data)
        loop.wait()
    loop.unwatch(reader)
    loop.unwatch(reader)
    os.write(writer, b"c")
    loop.wait(0.0)
    assert calls == [(b"a", READ), (b"b", READ)]


def test_another_watch_takes_the_place_of_the_first(loop, pipes):
    (_, writer), calls = pipes[0], []
    loop.watch(writer, READ, lambda mask: calls.append("read"))
    loop.wait(0.0)
    loop.watch(writer, WRITE, lambda mask: calls.append("write"))
    loop.wait()
    assert calls == ["write"]


def test_who_was_unwatched_in_the_same_round_is_not_called(loop, pipes):
    calls = []
    for reader, writer in pipes[:2]:
        os.write(writer, b"x")
        loop.watch(reader, READ, lambda mask, reader=reader: [calls.append(reader), *map(loop.unwatch, other(reader))])

    def other(reader: int) -> list[int]:
        return [pipe[0] for pipe in pipes[:2] if pipe[0] != reader]

    loop.wait()
    assert len(calls) == 1


def test_readiness_of_a_closed_descriptor_is_not_reported_to_the_next_with_its_number(loop, pipes):
    calls, handled = [], []

    def close_the_other(mask: int) -> None:
        gone = next(reader for reader, _ in pipes[:2] if reader not in handled and len(handled) == 1)
        loop.unwatch(gone)
        os.dup2(pipes[2][0], gone)  # an empty pipe has its number
        loop.watch(gone, READ, calls.append)

    for reader, writer in pipes[:2]:
        os.write(writer, b"x")
        loop.watch(reader, READ, lambda mask, reader=reader: (handled.append(reader), close_the_other(mask)))
    loop.wait()
    assert len(handled) == 1
    assert calls == []
    loop.unwatch(handled[0])
    os.write(pipes[2][1], b"x")
    loop.wait()
    assert calls == [READ]


def test_a_number_that_was_closed_unannounced_can_be_watched_again(loop, pipes):
    calls = []
    reader = pipes[0][0]
    loop.watch(reader, READ, lambda mask: calls.append("old"))
    os.close(reader)
    os.dup2(pipes[1][0], reader)
    loop.watch(reader, READ, lambda mask: calls.append("new"))
    os.write(pipes[1][1], b"x")
    loop.wait()
    assert calls == ["new"]


def test_a_callback_that_raises_costs_the_others_nothing(loop, pipes):
    calls = []

    def fail(mask: int = 0) -> None:
        raise ZeroDivisionError

    def once(reader: int) -> None:
        calls.append(reader)
        loop.unwatch(reader)
        if len(calls) == 1:
            fail()

    for reader, writer in pipes:
        os.write(writer, b"x")
        loop.watch(reader, READ, lambda mask, reader=reader: once(reader))
    loop.call_at(0.0, fail)
    loop.call_at(1.0, lambda: calls.append("alarm"))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            loop.wait(0.0)
    loop.wait(0.0)
    assert sorted(calls[:3]) == sorted(reader for reader, _ in pipes)
    assert calls[3:] == ["alarm"]


def test_alarms_ring_once_and_in_order_and_not_when_cancelled(loop):
    calls = []
    now = loop.now()
    loop.call_at(now + 0.002, lambda: calls.append(3))
    loop.call_at(now, lambda: calls.append(1))
    loop.call_at(now, lambda: calls.append(2))
    loop.call_at(now + 0.001, lambda: calls.append("cancelled")).cancel()
    while len(calls) < 3:
        loop.wait()
    loop.wait(loop.now())
    assert calls == [1, 2, 3]


def test_the_alarm_comes_before_the_deadline_and_the_deadline_without_one(loop):
    calls = []
    due = loop.now() + 0.002
    loop.call_at(due, lambda: calls.append(1))
    assert loop.wait(due + 100) >= due
    assert calls == [1]
    deadline = loop.now() + 0.001
    assert loop.wait(deadline) >= deadline


def test_an_alarm_that_sets_another_leaves_room_for_the_descriptors(loop, pipes):
    (reader, writer), calls = pipes[0], []

    def again() -> None:
        calls.append("alarm")
        if len(calls) < 100:
            loop.call_at(0.0, again)

    loop.call_at(0.0, again)
    loop.wait()
    os.write(writer, b"x")
    loop.watch(reader, READ, lambda mask: calls.append("read"))
    loop.wait()
    assert calls[:3] == ["alarm", "read", "alarm"]


def test_cancelled_alarms_do_not_pile_up(loop):
    """A prompt leaves a time-out of minutes behind, and of prompts there may be any number."""
    live = [loop.call_at(loop.now() + 3600, lambda: None) for _ in range(10)]
    most = 0
    for _ in range(10_000):
        loop.call_at(loop.now() + 120, lambda: None).cancel()
        most = max(most, len(loop._alarms))
    assert most <= max(MIN_COMPACTED, 2 * len(live))
    calls = []
    loop.call_at(0.0, lambda: calls.append(1))
    loop.wait()
    assert calls == [1]


def test_cancelling_twice_or_after_it_rang_does_nothing(loop):
    calls = []
    alarm = loop.call_at(0.0, lambda: calls.append("rang"))
    loop.wait()
    alarm.cancel()
    other = loop.call_at(loop.now(), lambda: calls.append("cancelled"))
    other.cancel()
    other.cancel()
    loop.wait(0.0)
    assert calls == ["rang"]


def test_another_thread_ends_a_wait(loop):
    wake = loop.waker()
    for _ in range(3):
        thread = threading.Thread(target=wake)
        thread.start()
        loop.wait()
        thread.join()


@pytest.mark.parametrize("kind", ["epoll", "poll"])
def test_a_reader_who_leaves_is_reported_while_stdout_is_watched(kind, monkeypatch, pipes):
    if kind == "poll":
        monkeypatch.delattr(select, "epoll", raising=False)
    reader, writer = pipes[0]
    monkeypatch.setattr(stdio, "STDOUT", writer)
    loop = Loop()
    loop.wait(0.0)
    os.close(reader)
    with pytest.raises(ReaderGone):
        loop.wait()
    loop.unwatch_stdout()
    loop.unwatch_stdout()
    loop.wait(0.0)
    loop.close()


@pytest.mark.parametrize("kind", ["epoll", "poll"])
def test_nobody_can_leave_a_file(kind, monkeypatch, tmp_path):
    if kind == "poll":
        monkeypatch.delattr(select, "epoll", raising=False)
    with open(tmp_path / "out", "wb") as file:
        monkeypatch.setattr(stdio, "STDOUT", file.fileno())
        loop = Loop()
        loop.wait(0.0)
        loop.unwatch_stdout()
        loop.close()


class Stopped:
    """A poll that a stopped process comes back from: its time has passed, and nothing was looked at."""

    def __init__(self, poll: object) -> None:
        self._poll, self.first = poll, True

    def __getattr__(self, name: str) -> object:
        return getattr(self._poll, name)

    def poll(self, timeout: float | None = None) -> list:
        self.first, first = False, self.first
        return [] if first else self._poll.poll(timeout)


def test_data_comes_before_the_alarm_that_it_cancels(loop, pipes):
    (reader, writer), calls = pipes[0], []
    alarm = loop.call_at(loop.now() - 5, lambda: calls.append("alarm"))

    def on_data(mask: int) -> None:
        calls.append(os.read(reader, 9))
        alarm.cancel()

    loop.watch(reader, READ, on_data)
    os.write(writer, b"a")
    loop._poll = Stopped(loop._poll)
    loop.wait()
    loop.wait(0.0)
    assert calls == [b"a"]


def test_an_alarm_that_comes_due_while_data_is_handled_waits_for_another_look(loop, pipes):
    (reader, writer), calls = pipes[0], []
    due = loop.now() + 0.02
    alarm = loop.call_at(due, lambda: calls.append("alarm"))

    def on_data(mask: int) -> None:
        calls.append(os.read(reader, 1))
        while loop.now() <= due:  # as if the process were stopped here
            pass
        if len(calls) == 2:
            alarm.cancel()

    loop.watch(reader, READ, on_data)
    os.write(writer, b"ab")
    loop.wait()
    loop.wait()
    loop.wait(0.0)
    assert calls == [b"a", b"b"]
