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
from llmstream.net.loop import MAX_CANCELLED, READ, WRITE, Loop


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
    (reader, writer), told = pipes[0], []
    loop.watch(reader, READ, lambda mask: told.append((os.read(reader, 9), mask & READ)))
    for data in (b"a", b"b"):
        os.write(writer, data)
        loop.wait()
    loop.unwatch(reader)
    loop.unwatch(reader)
    os.write(writer, b"c")
    loop.wait(0.0)
    assert told == [(b"a", READ), (b"b", READ)]


def test_another_watch_takes_the_place_of_the_first(loop, pipes):
    (_, writer), told = pipes[0], []
    loop.watch(writer, READ, lambda mask: told.append("read"))
    loop.wait(0.0)
    loop.watch(writer, WRITE, lambda mask: told.append("write"))
    loop.wait()
    assert told == ["write"]


def test_who_was_unwatched_in_the_same_round_is_not_called(loop, pipes):
    told = []
    for reader, writer in pipes[:2]:
        os.write(writer, b"x")
        loop.watch(reader, READ, lambda mask, reader=reader: [told.append(reader), *map(loop.unwatch, other(reader))])

    def other(reader: int) -> list[int]:
        return [pipe[0] for pipe in pipes[:2] if pipe[0] != reader]

    loop.wait()
    assert len(told) == 1


def test_readiness_of_a_closed_descriptor_is_not_reported_to_the_next_with_its_number(loop, pipes):
    told, taken = [], []

    def close_the_other(mask: int) -> None:
        gone = next(reader for reader, _ in pipes[:2] if reader not in taken and len(taken) == 1)
        loop.unwatch(gone)
        os.dup2(pipes[2][0], gone)  # an empty pipe has its number
        loop.watch(gone, READ, told.append)

    for reader, writer in pipes[:2]:
        os.write(writer, b"x")
        loop.watch(reader, READ, lambda mask, reader=reader: (taken.append(reader), close_the_other(mask)))
    loop.wait()
    assert len(taken) == 1
    assert told == []
    loop.unwatch(taken[0])
    os.write(pipes[2][1], b"x")
    loop.wait()
    assert told == [READ]


def test_a_number_that_was_closed_unannounced_can_be_watched_again(loop, pipes):
    told = []
    reader = pipes[0][0]
    loop.watch(reader, READ, lambda mask: told.append("old"))
    os.close(reader)
    os.dup2(pipes[1][0], reader)
    loop.watch(reader, READ, lambda mask: told.append("new"))
    os.write(pipes[1][1], b"x")
    loop.wait()
    assert told == ["new"]


def test_a_callback_that_raises_costs_the_others_nothing(loop, pipes):
    told = []

    def fail(mask: int = 0) -> None:
        raise ZeroDivisionError

    def once(reader: int) -> None:
        told.append(reader)
        loop.unwatch(reader)
        if len(told) == 1:
            fail()

    for reader, writer in pipes:
        os.write(writer, b"x")
        loop.watch(reader, READ, lambda mask, reader=reader: once(reader))
    loop.call_at(0.0, fail)
    loop.call_at(1.0, lambda: told.append("alarm"))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            loop.wait(0.0)
    loop.wait(0.0)
    assert sorted(told[:3]) == sorted(reader for reader, _ in pipes)
    assert told[3:] == ["alarm"]


def test_alarms_ring_once_and_in_order_and_not_when_cancelled(loop):
    told = []
    now = loop.now()
    loop.call_at(now + 0.002, lambda: told.append(3))
    loop.call_at(now, lambda: told.append(1))
    loop.call_at(now, lambda: told.append(2))
    loop.call_at(now + 0.001, lambda: told.append("cancelled")).cancel()
    while len(told) < 3:
        loop.wait()
    loop.wait(loop.now())
    assert told == [1, 2, 3]


def test_the_alarm_comes_before_the_deadline_and_the_deadline_without_one(loop):
    told = []
    due = loop.now() + 0.002
    loop.call_at(due, lambda: told.append(1))
    assert loop.wait(due + 100) >= due
    assert told == [1]
    deadline = loop.now() + 0.001
    assert loop.wait(deadline) >= deadline


def test_an_alarm_that_sets_another_leaves_room_for_the_descriptors(loop, pipes):
    (reader, writer), told = pipes[0], []

    def again() -> None:
        told.append("alarm")
        if len(told) < 100:
            loop.call_at(0.0, again)

    loop.call_at(0.0, again)
    loop.wait()
    os.write(writer, b"x")
    loop.watch(reader, READ, lambda mask: told.append("read"))
    loop.wait()
    assert told[:3] == ["alarm", "read", "alarm"]


def test_cancelled_alarms_do_not_pile_up(loop):
    """A prompt leaves a time-out of minutes behind, and of prompts there may be any number."""
    kept = [loop.call_at(loop.now() + 3600, lambda: None) for _ in range(10)]
    most = 0
    for _ in range(10_000):
        loop.call_at(loop.now() + 120, lambda: None).cancel()
        most = max(most, len(loop._alarms))
    assert most <= 2 * (len(kept) + MAX_CANCELLED)
    told = []
    loop.call_at(0.0, lambda: told.append(1))
    loop.wait()
    assert told == [1]
    assert loop.cancelled_alarms <= len(loop._alarms) - len(kept)


def test_cancelling_twice_or_after_it_rang_counts_for_nothing(loop):
    alarm = loop.call_at(0.0, lambda: None)
    loop.wait()
    alarm.cancel()
    other = loop.call_at(loop.now() + 60, lambda: None)
    other.cancel()
    other.cancel()
    assert loop.cancelled_alarms == 1
    loop.wait(0.0)
    assert loop.cancelled_alarms == 0


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
