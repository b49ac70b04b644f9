"""The output of `llmstream gen`: the events of an answer as text, as lines of events, or in one record."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from .. import stdio
from ..core.events import Event, Reasoning
from ..core.render import EventRenderer, SourceList, TextRenderer
from ..errors import Error, OutputFailed

if TYPE_CHECKING:
    from ..batch.record_builder import RecordBuilder
    from ..output_file import OutputFile
    from .gen_options import GenOptions


class AnswerOutput:
    """Writes the events of an answer to stdout, its reasoning and its sources to stderr.

    `ends_with_match` returns whether a stop condition has ended the text. With --line the events go to `record`, and
    `write_record` is called after them, with the error that ended them.
    """

    record: RecordBuilder | None = None

    def __init__(
        self,
        values: GenOptions,
        ends_with_match: Callable[[], bool],
        write_record: Callable[[Error | None], object],
    ) -> None:
        self._values, self._ends_with_match, self._write_record = values, ends_with_match, write_record
        self._sources = SourceList()  # stays empty without --sources

    def clear(self, file: OutputFile | None) -> None:
        """Drops the answer so far, which another one replaces."""
        if file:
            file.clear()
        self._sources = SourceList()

    def write(self, events: Generator[list[Event]], started: float) -> None:
        """Writes the events, and closes their source; `started` is the time of the request."""
        self._reasoning = TextRenderer(kind=Reasoning)
        if self._values.sources:
            events = self._collect_sources(events)
        try:
            if self._values.writes_events:
                self._write_events(events, started)
            elif self.record:
                self._add_to_record(events, self.record)
            else:
                self._write_text(events)
        finally:
            events.close()  # and with it the provider's connection, before anything else
            if self._values.pretty:
                stdio.end_output()  # the last block is drawn before any note
            if self._values.reasoning:
                stdio.write_stderr_text(self._reasoning.close())
            for line in self._sources.lines():  # beside the answer, before any note
                stdio.write_stderr_line(line)

    def _collect_sources(self, events: Generator[list[Event]]) -> Generator[list[Event]]:
        try:
            for batch in events:
                self._sources.feed(batch)
                yield batch
        finally:
            events.close()

    def _write_text(self, events: Generator[list[Event]]) -> None:
        shows_reasoning, reasoning = self._values.reasoning, self._reasoning
        renderer = TextRenderer(not self._values.no_newline)
        for batch in events:
            text = renderer.feed(batch)
            if shows_reasoning:
                stdio.write_stderr_text(reasoning.feed(batch) + (reasoning.close() if text else b""))
            stdio.write(text)
        if not self._ends_with_match():
            stdio.write(renderer.close())

    def _write_events(self, events: Generator[list[Event]], started: float) -> None:
        renderer = EventRenderer(started if self._values.timing else None)
        try:
            for batch in events:
                stdio.write(renderer.feed(batch, time.monotonic()))
        except OutputFailed:
            raise
        except Error as error:
            stdio.write(renderer.error(error, time.monotonic()))
            raise

    def _add_to_record(self, events: Generator[list[Event]], record: RecordBuilder) -> None:
        try:
            for batch in events:
                record.feed(batch)
                if self._values.reasoning:
                    stdio.write_stderr_text(self._reasoning.feed(batch))
        except Error as error:
            self._write_record(error)
            raise
        self._write_record(None)
