"""The copy up to a condition: bytes in, bytes out, the same for every cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.stop import until as core
from llmstream.core.stop.code_block import CodeBlock
from llmstream.core.stop.condition import EXCLUSIVE, INCLUSIVE, ONLY, QUIET
from llmstream.core.stop.counts import Bytes, Characters, Fixed, Idle, Lines, Timed, Words
from llmstream.core.stop.json_value import JsonValue
from llmstream.core.stop.search import Search
from llmstream.core.stop.until import Until
from llmstream.errors import Incomplete

from ...support.chunks import chunkings, cut

MODES = (INCLUSIVE, EXCLUSIVE, ONLY, QUIET)


def copied(pieces, conditions, mode=INCLUSIVE):
    copy = Until(conditions, mode)
    out = [copy.feed(piece) for piece in pieces] + [copy.close()]
    return b"".join(out), copy.met


@pytest.mark.parametrize(
    ("make", "text", "outputs"),
    [
        (lambda: Search("[0-9]+"), "on 1234 go", ("on 1234", "on ", "1234", "")),
        (lambda: Fixed("sep", 2), "a sep b sep c", ("a sep b sep", "a sep b ", "sep", "")),
        (lambda: CodeBlock(1), "a\n```\nx\n```\nb", ("a\n```\nx\n```\n", "a\n", "```\nx\n```\n", "")),
        (lambda: CodeBlock(1), "> ```\n> x\n\nb", ("> ```\n> x\n", "", "> ```\n> x\n", "")),
        (lambda: JsonValue(1), 'a {b} {"c": [1]}.', ('a {b} {"c": [1]}', "a {b} ", '{"c": [1]}', "")),
        (lambda: JsonValue(2), '{"a":"]}"}\n[2, 3] ', ('{"a":"]}"}\n[2, 3]', '{"a":"]}"}\n', "[2, 3]", "")),
        (lambda: Lines(2), "a\nb\nc\n", ("a\nb\n", "a\n", "b\n", "")),
        (lambda: Lines(2), "a\nb", ("a\nb", "a\n", "b", "")),
        (lambda: Words(2), " wörd\ttwo three", (" wörd\ttwo", " wörd\t", "two", "")),
        (lambda: Characters(3), "aéö!", ("aéö", "aé", "ö", "")),
        (lambda: Bytes(3), "abcd", ("abc", "ab", "c", "")),
    ],
)
def test_modes_at_every_cut(make, text, outputs):
    for mode, want in zip(MODES, outputs, strict=True):
        for pieces in chunkings(text.encode()):
            assert copied(pieces, [make()], mode) == (want.encode(), True), (mode, pieces)


@pytest.mark.parametrize("make", [lambda: Search("^a+"), lambda: CodeBlock(1), lambda: Characters(4), lambda: Lines(1)])
def test_a_byte_order_mark_is_copied_but_no_text(make):
    text = "```\n\r```\n" if isinstance(make(), CodeBlock) else "aaab\n"
    for mode in MODES:
        for pieces in chunkings(("\ufeff" + text).encode()):
            out, met = copied([text.encode()], [make()], mode)
            mark = "\ufeff".encode() if mode in (INCLUSIVE, EXCLUSIVE) else b""
            assert copied(pieces, [make()], mode) == (mark + out, met) == (mark + out, True), (mode, pieces)


@pytest.mark.parametrize("size", range(1, 6))
def test_a_byte_order_mark_counts_as_bytes(size):
    data = "\ufeffab".encode()
    for pieces in chunkings(data):
        assert copied(pieces, [Bytes(size)]) == (data[:size], True)


@pytest.mark.parametrize(("mode", "rest"), [*zip(MODES, (True, True, False, False), strict=True)])
def test_output_when_no_condition_is_met(mode, rest):
    data = "never met é \xff EN".encode()
    for pieces in chunkings(data):
        assert copied(pieces, [Fixed("END", 1), Bytes(1000), Search("END")], mode) == (data if rest else b"", False)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_any_bytes_pass_through(data, places):
    assert copied(cut(data, places), [Search("no such text"), Words(1000)]) == (data, False)


CONDITIONS = [
    lambda: Search("b+"),
    lambda: Search("a.*b"),
    lambda: Search("a(?=..b)"),
    lambda: Search("ab|b", count=2),
    lambda: Search("a[^b]*", window=3),
    lambda: Fixed("ab", 1),
    lambda: Fixed("bab", 1),
    lambda: CodeBlock(1),
    lambda: CodeBlock(2),
    lambda: JsonValue(1),
    lambda: JsonValue(2),
    lambda: Lines(2),
    lambda: Words(2),
    lambda: Characters(7),
    lambda: Bytes(5),
]


@given(
    st.lists(
        st.sampled_from([*"aabb \né", "```\n", "\n```\n", "> ```\n", "- ```\n", "> ", "  ", *'{}[]":,1', '{"a":']),
        max_size=20,
    )
    .map("".join)
    .map(str.encode),
    st.lists(st.integers(0, 100), max_size=6),
    st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=3),
    st.sampled_from(MODES),
)
def test_several_conditions_end_at_the_same_one_for_every_cut(data, places, makes, mode):
    singly = [data[i : i + 1] for i in range(len(data))]
    want = copied(singly, [make() for make in makes], mode)
    assert copied(cut(data, places), [make() for make in makes], mode) == want


def test_the_first_that_is_certain_wins_though_another_began_before():
    assert copied([b"a then m\n"], [Search("a.*z"), Fixed("m", 1)]) == (b"a then m", True)


def test_bytes_may_end_within_a_character():
    assert copied(["é".encode()], [Bytes(1)]) == (b"\xc3", True)
    assert copied(["aé".encode()], [Bytes(2)], EXCLUSIVE) == (b"a", True)
    assert copied(["aé".encode()], [Bytes(2)], ONLY) == (b"\xc3", True)


def test_text_that_is_certain_is_returned_at_once():
    copy = Until([Fixed("END", 1)])
    assert [copy.feed(piece) for piece in (b"a", b" E", b"N", b"D!")] == [b"a", b" E", b"N", b"D"]
    copy = Until([Fixed("END", 1)], EXCLUSIVE)
    assert [copy.feed(piece) for piece in (b"a", b" E", b"Nx", b"ED")] == [b"a", b" ", b"ENx", b"ED"]
    assert copy.close() == b""


def test_times_end_the_copy_with_all_that_came():
    copy = Until([Timed(2.0)])
    copy.begin(10.0)
    assert (copy.deadline(), copy.feed(b"caf\xc3", 11.0), copy.expire(11.9)) == (12.0, b"caf", b"")
    assert (copy.expire(12.0), copy.met) == (b"\xc3", True)
    copy = Until([Timed(2.0)])
    copy.begin(10.0)
    assert (copy.feed(b"too late", 12.0), copy.met) == (b"", True)


def test_idle_counts_from_the_first_arrival():
    copy = Until([Idle(1.0), Search("x+")], EXCLUSIVE)
    copy.begin(0.0)
    assert copy.deadline() is None
    assert copy.feed(b"axx", 100.0) == b"a"
    assert copy.feed(b"", 100.5) == b""
    assert (copy.deadline(), copy.expire(101.5), copy.met) == (101.5, b"xx", True)


def test_the_buffer_is_bounded(monkeypatch):
    monkeypatch.setattr(core, "MAX_BUFFER", 1000)
    copy = Until([Lines(1)], ONLY)
    assert copy.feed(b"x" * 1000) == b""
    with pytest.raises(Incomplete, match="longer than 1000"):
        copy.feed(b"x")


@pytest.mark.parametrize("mode", (INCLUSIVE, QUIET))
def test_other_modes_buffer_no_more_than_a_window(mode):
    copy = Until([Search("a[^z]*z", window=100), Lines(2)], mode)
    for _ in range(100):
        copy.feed(b"a" * 100)
        assert copy._buffer.end - copy._buffer.start <= 100
