"""Every transcript has the same meaning whatever its chunks, and a cut one is never complete."""

from __future__ import annotations

import pytest

from llmstream.dialects import APIS

from ..support.transcripts import TRANSCRIPTS, Transcript, meaning, read, starts

STREAMS = [transcript for transcript in TRANSCRIPTS if transcript.is_stream]
LF, CRLF, CR = b"\n", b"\r\n", b"\r"

each = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=repr)
each_sse = pytest.mark.parametrize("transcript", [t for t in STREAMS if t.is_sse], ids=repr)
each_stream = pytest.mark.parametrize("transcript", STREAMS, ids=repr)


def check(transcript: Transcript, *chunks: bytes) -> None:
    exchange = transcript.exchange()
    events = read(exchange, chunks)
    assert meaning(exchange, events) == transcript.meaning
    assert exchange.over
    assert exchange.warning == ""
    assert transcript.says in str(exchange.failure or "")


@each
def test_whole(transcript):
    check(transcript, transcript.body)


@each
def test_byte_by_byte(transcript):
    check(transcript, *(transcript.body[i : i + 1] for i in range(len(transcript.body))))


@pytest.mark.slow
@each
def test_in_two_pieces(transcript):
    for cut in range(1, len(transcript.body)):
        check(transcript, transcript.body[:cut], transcript.body[cut:])


@each_stream
@pytest.mark.parametrize("ending", [CRLF, CR], ids=["crlf", "cr"])
def test_other_line_ends(transcript, ending):
    if ending == CR and not transcript.is_sse:  # a blank within JSON
        return
    body = transcript.body.replace(CRLF, LF).replace(LF, ending)
    check(transcript, body)
    check(transcript, *(body[i : i + 1] for i in range(len(body))))


@each_stream
def test_a_byte_order_mark(transcript):
    check(transcript, b"\xef\xbb\xbf" + transcript.body)
    check(transcript, b"\xef", b"\xbb", b"\xbf" + transcript.body)


@each_sse
def test_comments_and_unknown_fields_in_between(transcript):
    check(transcript, transcript.body.replace(b"\n\n", b"\n\n: wait\n\nid: 7\nretry: 100\n\nevent: x\n\n"))


@pytest.mark.parametrize("transcript", [t for t in STREAMS if t.is_complete and t.body.endswith(b"\n")], ids=repr)
def test_bytes_after_the_end_are_ignored(transcript):
    """After the end mark only a usage record counts."""
    exchange = transcript.exchange()
    events = exchange.feed(transcript.body, 1.0)
    events += exchange.expire(1.0 + 2.0)  # the grace for a usage record, where none came
    assert exchange.over
    assert exchange.feed(transcript.body, 3.5) == []
    assert exchange.close(4.0, "reset") == []
    assert meaning(exchange, events) == transcript.meaning


@pytest.mark.parametrize("transcript", [t for t in STREAMS if t.is_complete], ids=repr)
def test_cut_anywhere(transcript):
    """A prefix of the bytes gives a prefix of the text, and is complete only if it includes the end mark."""
    expected = transcript.meaning
    for cut in range(1, len(transcript.body)):
        exchange = transcript.exchange()
        found = meaning(exchange, read(exchange, [transcript.body[:cut]]))
        assert expected["text"].startswith(found["text"])
        assert expected["reasoning"].startswith(found["reasoning"])
        assert expected["sources"][: len(found["sources"])] == found["sources"]
        assert found["status"] in (0, 5)
        assert (found["finish"] is None) == (found["status"] == 5)
        if found["status"] == 0 and not transcript.premature:
            late = {"usage": None, "sources": []}  # both may follow the end mark
            assert found | late == expected | late


@pytest.mark.parametrize("transcript", [t for t in STREAMS if t.is_complete], ids=repr)
def test_reset_loses_no_text(transcript):
    """A reset after the end mark does not matter; before it the text so far is kept."""
    last = transcript.body.rstrip().rfind(b"\n\n" if transcript.is_sse else b"\n") + 1  # before the last event
    for cut in (last, len(transcript.body) - 2):
        exchange = transcript.exchange()
        events = exchange.feed(transcript.body[:cut], 1.0)
        events += exchange.close(2.0, "Connection reset by peer")
        found = meaning(exchange, events)
        assert transcript.meaning["text"].startswith(found["text"])
        if exchange.failure:
            assert found["status"] == 5
            assert "Connection reset by peer" in str(exchange.failure)
        elif not transcript.premature:
            assert found["text"] == transcript.meaning["text"]


@each_stream
def test_an_answer_starts_once(transcript):
    exchange = transcript.exchange()
    found = starts(read(exchange, [transcript.body]))
    if transcript.is_complete:
        assert len(found) == 1
    if transcript.model:
        assert found[0].model == transcript.model


@pytest.mark.parametrize("api", APIS)
def test_each_dialect_has_all_its_outcomes(api):
    """The transcripts have text, reasoning, calls, usage, limits, refusals, errors of both kinds and cuts."""
    meanings = [transcript.meaning for transcript in TRANSCRIPTS if transcript.api == api]
    assert all(any(found[part] for found in meanings) for part in ("text", "reasoning", "calls", "usage"))
    assert {found["status"] for found in meanings} >= {0, 3, 4, 5}
    reasons = {"stop", "length", "tool_calls"} | ({"refusal"} if api != "ollama" else set())
    assert {found["finish"][0] for found in meanings if found["finish"]} >= reasons
