"""The record of a generation and the line for people."""

from __future__ import annotations

import pytest

from llmstream.core import report
from llmstream.core.decoder import Decoder
from llmstream.core.events import Finish, Usage
from llmstream.core.exchange import Exchange
from llmstream.core.timing import Timeouts, Timing


def record(usage: Usage | None, model: str = "", cost: float | None = None) -> dict[str, object]:
    """Returns the record of an answer that took two seconds."""
    decoder = Decoder("p", "m")
    decoder.usage, decoder.finish = usage, Finish("stop", "stop")
    exchange = Exchange(decoder, Timeouts(), Timing(0.0), 0.0, "")
    exchange._tally.model = model
    return report.record("p", "m", exchange, 2.0, status=0, cost=cost)


@pytest.mark.parametrize(
    ("usage", "cost", "line"),
    [
        (Usage(3, 2), None, "3 tokens in, 2 out"),
        (Usage(9, 7, 4, 5, 3, 2, 1), None, "9 tokens in (4 cached, 3 into the cache), 7 out (5 reasoning), 1 search"),
        (Usage(3, 2, searches=2, tier="priority"), 0.5, "3 tokens in, 2 out, 2 searches, priority tier, $0.5000"),
        (Usage(3, 2, tier="default"), 0.0, "3 tokens in, 2 out, $0"),
        (Usage(3, 2, tier="STANDARD"), None, "3 tokens in, 2 out"),
        (Usage(-3, -2), None, "0 tokens in, 0 out"),
        (None, 0.25, "0 characters (the provider reported no token counts), $0.2500"),
    ],
)
def test_the_line_shows_what_is_not_usual(usage, cost, line):
    assert report.line(record(usage, cost=cost)) == f"p/m: {line}, 2.00 s in all, stop"


def test_the_record_has_what_was_asked_and_what_answered():
    data = record(Usage(3, 2, tier="flex"), "m-2026-10-01")
    assert (data["model"], data["answered_by"], data["tier"]) == ("m", "m-2026-10-01", "flex")
    data = record(None)
    assert (data["answered_by"], data["tier"], data["input_tokens"]) == (None, None, None)
