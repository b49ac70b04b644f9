"""Order: lines finished in any order come out in the order of the input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.batch.order import Order


def line(index: int) -> bytes:
    return b"%d\n" % index


@given(st.permutations(range(12)))
def test_any_permutation_gives_the_order_of_the_input(endings):
    order, out, done = Order(12), b"", set()
    for index in endings:
        out += order.put(index, line(index))
        done.add(index)
        in_order = next(i for i in range(13) if i not in done)
        assert out == b"".join(map(line, range(in_order)))  # every line in order, at once
        assert (order.next, len(order.pending)) == (in_order, len(done) - in_order)
    assert out == b"".join(map(line, range(12)))


@given(st.integers(1, 6), st.integers(1, 40), st.data())
def test_fewer_lines_than_the_window_are_pending_where_starts_obey_it(window, count, data):
    order, out, running, started = Order(window), b"", [], 0
    while started < count or running:
        while started < count and order.may_start(started):
            running.append(started)
            started += 1
        assert 0 < len(running) + len(order.pending) <= window
        index = running.pop(data.draw(st.integers(0, len(running) - 1)))
        out += order.put(index, line(index))
        assert len(order.pending) < window
    assert out == b"".join(map(line, range(count)))
    assert not order.pending


@pytest.mark.parametrize(("index", "may"), [(0, True), (2, True), (3, False), (99, False)])
def test_the_window_begins_at_the_next_line(index, may):
    assert Order(3).may_start(index) is may
    order = Order(3)
    for i in (1, 0):
        order.put(i, b"")
    assert order.may_start(index + 2) is may


def test_an_empty_line_counts_as_a_line():
    order = Order(3)
    assert [order.put(1, b""), order.put(2, b"c"), order.put(0, b"a"), order.next] == [b"", b"", b"ac", 3]


def test_the_rest_comes_where_lines_are_missing():
    order = Order(9)
    for index in (5, 0, 3):
        order.put(index, line(index))
    assert [order.rest(), order.rest()] == [line(3) + line(5), b""]


@pytest.mark.parametrize("index", [0, 2])
def test_a_line_that_is_put_twice_is_an_error(index):
    order = Order(3)
    order.put(0, b"a")
    order.put(2, b"c")
    with pytest.raises(AssertionError, match=f"line {index} is put twice"):
        order.put(index, b"x")
