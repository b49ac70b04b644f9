"""The record of one prompt: what map prints for it and keeps in the journal, and `gen --line` writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..core import report
from ..core.events import Event, Source, Text, ToolCall
from ..core.exchange import Exchange
from ..core.request import Request
from ..core.text import encode
from ..errors import Error, NotFound, spell
from ..providers.target import Target
from .numbers import loads_or_none, to_text

if TYPE_CHECKING:
    from ..core.stop.stops import Stops

Record = dict[str, Any]


class Answer(Protocol):
    """An answer that has ended: a Generation, or a line of a batch's results."""

    @property
    def exchange(self) -> Exchange: ...
    @property
    def stops(self) -> Stops | None: ...
    @property
    def failure(self) -> Error | None: ...
    @property
    def notes(self) -> list[str]: ...


class RecordBuilder:
    """Collects the events of the answers to one prompt.

    `limited`: their length is limited on purpose, so a cut at the limit is fine, unless they have to be JSON
    (`wants_json`). `target` is where the request goes, if the record is to name the model. `pieces` counts the texts so
    far, about one for each token.
    """

    def __init__(self, limited: bool, target: Target | None = None, wants_json: bool = False) -> None:
        self._limited, self._target, self._wants_json = limited, target, wants_json
        self._text = bytearray()  # a list would take many times the memory: the pieces are short
        self._calls: dict[int, list[str]] = {}  # by index: id, name, pieces of the arguments
        self._earlier_calls: list[dict[str, str]] = []  # of answers before the last one
        self._sources: list[dict[str, object]] = []
        self.pieces = 0

    def feed(self, events: list[Event]) -> None:
        """Adds events."""
        for event in events:
            if isinstance(event, Text):
                self.add_text(event.text)
            elif isinstance(event, ToolCall):
                call = self._calls.setdefault(event.index, [event.id, event.name])
                call.append(event.arguments)
            elif isinstance(event, Source):
                self._sources.append(_fields(event))

    def add_text(self, text: str) -> None:
        """Adds a piece of the text."""
        self._text += text.encode("utf-8", "surrogatepass")
        self.pieces += 1

    def begin_answer(self, after_pause: bool) -> None:
        """Begins another answer to the same prompt: the calls of all count, and the text of the last one.

        After a pause of the provider the text goes on.
        """
        self._earlier_calls += self._answer_calls()
        self._calls = {}
        if not after_pause:
            self._text, self._sources, self.pieces = bytearray(), [], 0

    def partial(self, has_text: bool = False) -> Record:
        """Returns the record of what has come so far; `has_text`: its text may be empty."""
        record: Record = {} if self._target is None else {"model": self._target.name}
        if has_text or self.pieces:
            record["text"] = self._text.decode("utf-8", "surrogatepass")
        if calls := [*self._earlier_calls, *self._answer_calls()]:
            record["tool_calls"] = calls
        if self._sources:
            record["sources"] = self._sources
        return record

    def _answer_calls(self) -> list[dict[str, str]]:
        return [{"id": id, "name": name, "arguments": "".join(pieces)} for id, name, *pieces in self._calls.values()]

    def record(self, answer: Answer, earlier: Sequence[Exchange] = ()) -> tuple[Record, Error | None]:
        """Returns the record of an answer that has ended, and why it has failed.

        `earlier` are the exchanges of the answers before, whose tokens count, too.
        """
        exchange, stops, failure = answer.exchange, answer.stops, answer.failure
        record = self.partial(has_text=failure is None)
        if failure is None:
            stopped = stops is not None and stops.early
            record["finish"] = "until" if stopped or exchange.finish is None else exchange.finish.reason
            usage = report.total_usage([*earlier, exchange])
            record["usage"] = None if usage is None else _fields(usage)
            if not stopped:
                is_cut = self._wants_json and report.is_cut_json(exchange, record["text"])
                failure = report.verdict(exchange.finish, self._limited, report.SET_LIMIT, is_cut)
            if failure is None and stops is not None and not stops.met:
                failure = NotFound("the answer ended before a condition was met")
        if notes := answer.notes:
            record["note"] = spell("; ".join(notes))
        return record, failure


def one_sentence(error: Error) -> str:
    """Returns an error's message and its hint, with options marked."""
    return " ".join(f"{error.message} {error.hint}".split())


def with_error(record: Record, error: Error) -> Record:
    """Returns a record, which may have an answer or a part of it, with the error that it ended by."""
    return {**record, "error": {"status": error.status, "message": spell(one_sentence(error))}}


def with_data(record: Record, request: Request) -> Record:
    """Returns a record whose answer is to be JSON with its value as `data`, None where the text is not JSON."""
    if "text" not in record or not request.wants_json:
        return record
    data = loads_or_none(record["text"])
    before = {"model": record["model"]} if "model" in record else {}
    return {**before, "text": record["text"], "data": data, **record}


def render(record: Record) -> bytes:
    """Returns the line of a record. Its Numbers, those of the input or of `data`, keep their digits."""
    return encode(f"{to_text(record)}\n")


def _fields(event: Event) -> dict[str, object]:
    """Returns what an event has beside its type."""
    return {name: value for name, value in event.as_dict().items() if name != "type"}
