"""What one prompt of many came to: the record that is printed, and kept."""

from __future__ import annotations

from typing import Any

from ..core import report
from ..core.events import Event, Text, ToolCall
from ..errors import Error, NotFound, spell
from ..net.generation import Generation
from .rows import Row

Record = dict[str, Any]


class Answer:
    """Collects a prompt's events. `limited` says that its length was limited on purpose."""

    def __init__(self, limited: bool) -> None:
        self._limited = limited
        self._text = bytearray()  # a list would hold many times as much: pieces are short, and strings are not
        self._calls: dict[int, list[str]] = {}  # by index: id, name, pieces of arguments
        self.pieces = 0

    def feed(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Text):
                self._text += event.text.encode("utf-8", "surrogatepass")
                self.pieces += 1
            elif isinstance(event, ToolCall):
                call = self._calls.setdefault(event.index, [event.id, event.name])
                call.append(event.arguments)

    def record(self, generation: Generation) -> Record:
        """What it came to: `text`, `finish` and `usage`, an `error` with its status, or both."""
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
            record["error"] = error(failure)
        return record


def error(failure: Error) -> Record:
    """A failure as records have it; the advice of several lines goes into one."""
    return {"status": failure.status, "message": " ".join(f"{failure} {spell(failure.hint)}".split())}


def status(record: Record) -> int:
    """The exit status that a record stands for."""
    failure = record.get("error")
    return int(failure["status"]) if failure else 0


def head(row: Row) -> Record:
    """What a record begins with."""
    return {"index": row.index, "id": row.id} if row.id is not None else {"index": row.index}
