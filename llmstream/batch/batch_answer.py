"""Reads the answer to a request of a batch, which is one that is not streamed."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..config.prices import BATCH
from ..core.exchange import Exchange
from ..core.json_codec import to_json
from ..core.text import encode
from ..core.timing import Timeouts, Timing
from ..dialects import dialect
from ..errors import Error
from ..providers.target import Target
from .batch_api import Result
from .record_builder import Record, RecordBuilder
from .totals import Totals

LIMITED_JSON = "json"  # in the journal, of a request with a limit whose answer has to be JSON


class Answer(NamedTuple):
    """An answer of a batch, as RecordBuilder wants it."""

    exchange: Exchange
    failure: Error | None
    notes: list[str]
    stops: None = None


def read(
    result: Result, target: Target, entry: dict[str, Any], limited: bool | str, totals: Totals
) -> tuple[Record, Error | None]:
    """Returns the record of a result that has an answer, and why it has failed; counts its tokens.

    `target` is one at the provider, `entry` has the members of the batch in the journal. `limited`: the length is
    limited on purpose; LIMITED_JSON where the answer has to be JSON, too.
    """
    decoder = dialect(entry["api"]).Decoder(target.provider, entry["model"])
    exchange = Exchange(decoder, Timeouts(), Timing(0.0), 0.0, f"batch request {result.id}")
    exchange.head(result.status, {"content-type": "application/json"})
    builder = RecordBuilder(bool(limited), wants_json=limited == LIMITED_JSON)
    builder.feed(exchange.feed(encode(to_json(result.body)), 0.0) + exchange.close(0.0))
    exchange.timing.first = exchange.timing.last = None  # of an answer that is not streamed
    failure = exchange.failure
    if failure:
        failure = target.secrets.hide_in_error(failure, target.naming(failure))
    totals.add_generation(target.provider, entry["model"], exchange, BATCH)
    return builder.record(Answer(exchange, failure, [exchange.warning] if exchange.warning else []))
