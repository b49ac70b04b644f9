"""The record of one prompt: what map prints for it and keeps in the journal."""

from __future__ import annotations

from typing import Any

from ..core import report
from ..core.events import Event, Text, ToolCall
from ..errors import Error, NotFound, spell
from ..net.generation import Generation
from .rows import Row

Record = dict[str, Any]


class RecordBuilder:
    """Collects the events of one prompt. `limited`: its length is limited on purpose, so a cut at the limit is fine.

    `pieces` counts the texts so far, about one for each token. `failure` is the message of the record's error.
    """

    def __init__(self, limited: bool) -> None:
        self._limited = limited
        self._text = bytearray()  # a list would take many times the memory: the pieces are short
        self._calls: dict[int, list[str]] = {}  # by index: id, name, pieces of the arguments
        self.pieces = 0
        self.failure = ""  # with its options marked

    def feed(self, events: list[Event]) -> None:
        """Adds events."""
        for event in events:
            if isinstance(event, Text):
                self._text += event.text.encode("utf-8", "surrogatepass")
                self.pieces += 1
            elif isinstance(event, ToolCall):
                call = self._calls.setdefault(event.index, [event.id, event.name])
                call.append(event.arguments)

    def record(self, generation: Generation) -> Record:
        """Returns the record of a generation that has ended: `text`, `finish` and `usage`, an `error`, or both."""
        exchange, stops, failure = generation.exchange, generation.stops, generation.failure
        record: Record = {}
        if failure is None or self.pieces:
            record["text"] = self._text.decode("utf-8", "surrogatepass")
        if self._calls:
            record["tool_calls"] = [
                {"id": id, "name": name, "arguments": "".join(pieces)} for id, name, *pieces in self._calls.values()
            ]
        if failure is None:
            stopped = stops is not None and stops.early
            record["finish"] = "cancelled" if stopped or exchange.finish is None else exchange.finish.reason
            usage = exchange.usage
            record["usage"] = None if usage is None else {k: v for k, v in usage.as_dict().items() if k != "type"}
            if not stopped:
                failure = report.verdict(exchange.finish, self._limited)
            if failure is None and stops is not None and not stops.met:
                failure = NotFound("the answer ended before a condition was met")
        if failure is not None:
            self.failure = one_line(failure)
            record |= error_record(failure)
        return record


def error_record(error: Error) -> Record:
    """Returns the record of a prompt that failed."""
    return {"error": {"status": error.status, "message": spell(one_line(error))}}


def one_line(error: Error) -> str:
    """Returns the message and the hint of an error as one line, with its options still marked."""
    return " ".join(f"{error.message} {error.hint}".split())


def exit_status(record: Record) -> int:
    """Returns the exit status that a record stands for: 0 unless it has an error."""
    error = record.get("error")
    return int(error["status"]) if error else 0


def record_head(row: Row) -> Record:
    """Returns the members that each record begins with: the index, and the id if the row has one."""
    return {"index": row.index, "id": row.id} if row.id is not None else {"index": row.index}
