"""Splitting input, cut anywhere, compared with `bytes.split`."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.batch.record_splitter import MAX_RECORD_BYTES, RecordSplitter
from llmstream.errors import Incomplete

from ..core.json.test_linear import calls
from ..support.chunks import chunkings, cut

LIMIT = 16


def outcome(chunks: list[bytes], separator: bytes = b"\n", limit: int = MAX_RECORD_BYTES) -> tuple[list[bytes], bool]:
    """Returns the records, and whether one was too long."""
    records, complete = RecordSplitter(separator, limit), []
    try:
        for chunk in chunks:
            complete += records.feed(chunk)
        complete += records.close()
    except Incomplete:
        return complete, True
    return complete, False


CASES = [
    (b"", []),
    (b"\n", [b""]),
    (b"a", [b"a"]),
    (b"a\n", [b"a"]),
    (b"a\nb", [b"a", b"b"]),
    (b"a\n\nb\n", [b"a", b"", b"b"]),
    (b"a\r\nb\r\n", [b"a", b"b"]),
    (b"a\rb\r\r\nc", [b"a\rb\r", b"c"]),
    (b"a\r", [b"a\r"]),  # no newline follows
    (b"\r\n", [b""]),
    (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [b"a", b"\xef\xbb\xbfb"]),
    (b"\xef\xbb\xbf", []),
    (b"\xef\xbb\xbf\r\na", [b"", b"a"]),
    (b"\xef\xbb", [b"\xef\xbb"]),
    (b"a\0b\nc", [b"a\0b", b"c"]),
    ("é\u2028☺\x85\n\xa0".encode(), ["é\u2028☺\x85".encode(), "\xa0".encode()]),
]
NUL_CASES = [
    (b"a\0b", [b"a", b"b"]),
    (b"a\r\n\0b\r\0", [b"a\r\n", b"b\r"]),
    (b"\0\0", [b"", b""]),
    (b"\xef\xbb\xbfa\nb\0", [b"a\nb"]),
]


@pytest.mark.parametrize(
    ("body", "separator", "want"),
    [(body, sep, want) for sep, t in ((b"\n", CASES), (b"\0", NUL_CASES)) for body, want in t],
)
def test_records(body, separator, want):
    for chunks in chunkings(body):
        assert outcome(chunks, separator) == (want, False), chunks


@given(
    st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\0", b"\xef\xbb\xbf", b"\xff"]), max_size=30).map(b"".join),
    st.lists(st.integers(0, 100), max_size=8),
    st.sampled_from([b"\n", b"\0"]),
)
def test_any_input_cut_anywhere(body, places, separator):
    want = body.removeprefix(b"\xef\xbb\xbf").split(separator)
    last = want.pop()
    want = [record.removesuffix(b"\r") if separator == b"\n" else record for record in want] + [last][: bool(last)]
    assert outcome(cut(body, places), separator) == (want, False)


def test_a_record_is_returned_with_its_separator():
    records = RecordSplitter()
    assert [records.feed(chunk) for chunk in (b"a", b"b\n", b"c\nd\ne", b"")] == [[], [b"ab"], [b"c", b"d"], []]
    assert records.close() == [b"e"]


@pytest.mark.parametrize("before", [b"", b"a\nb\r\n"], ids=["first", "third"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\nc\n"], ids=["no newline", "last", "not last"])
@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf"], ids=["no BOM", "BOM"])
def test_a_record_at_the_limit(before, after, over, head):
    body = before + head + b"x" * (LIMIT + over - len(head)) + after
    for chunks in chunkings(body):
        records, failed = outcome(chunks, limit=LIMIT)
        assert failed is bool(over)
        assert records == outcome([before if over else body])[0]


def test_complete_records_come_before_the_error_of_a_longer_one():
    records = RecordSplitter(limit=LIMIT)
    assert records.feed(b"a\n" + b"x" * 17 + b"\nb\n") == [b"a"]
    for call in (lambda: records.feed(b"c\n"), records.close):
        with pytest.raises(Incomplete, match="longer than 16 bytes"):
            call()


def test_the_buffer_holds_no_more_than_the_limit():
    records = RecordSplitter(limit=LIMIT)
    for size in (LIMIT, 1):
        with contextlib.suppress(Incomplete):
            records.feed(b"x" * size)
        assert len(records._partial) == (LIMIT if size == LIMIT else 0)


def test_a_record_of_single_bytes_is_not_copied_for_each():
    """Counts calls; the buffer grows in place."""
    work = [calls(RecordSplitter().feed, [b"x"] * n + [b"\n"]) for n in (5000, 10000)]
    assert work[1] <= 2.1 * work[0]
    records = RecordSplitter()
    buffer = records._partial
    for _ in range(1000):
        records.feed(b"x")
    assert records._partial is buffer
    assert len(buffer) == 1000
