"""`llmstream text`: a raw stream of any provider as plain text, or as llmstream's events."""

from __future__ import annotations

import time
from collections.abc import Iterator

from .. import inputs, stdio
from ..core import report
from ..core.events import Event
from ..core.render import EventRenderer, TextRenderer
from ..dialects.reader import Batch, StreamReader
from ..errors import Error
from . import parameters
from .parameters import FILE, operand, plain_option, raw_control

NAME = "text"
CALLS = "the answer has tool calls: --events shows them"
GRACE_S = 2.0  # for what may follow the end mark: a usage record, or another answer


@parameters.command(NAME)
@operand("file", repeatable=True, kind=FILE)
@plain_option("--events", is_flag=True, help="Write NDJSON events, as gen has them, instead of text.")
@plain_option("--no-newline", is_flag=True, help="Add no final newline.")
@raw_control
def command(file: tuple[str, ...], events: bool, no_newline: bool) -> int:
    """Print the text in a raw stream while it arrives: what curl gets from a provider, or what an agent prints.

    Each FILE, or stdin, has one answer, or several one after the other: the events of OpenAI (Chat Completions,
    Responses), Anthropic, Gemini, Cohere, Bedrock and compatible servers, Ollama's lines, `gen --events` and
    `gen --record`, and what Claude Code, Codex, Gemini CLI and opencode print as JSON.

    \b
    curl -sN localhost:11434/api/generate -d @request.json | llmstream text
    claude -p 'Fix it.' --output-format stream-json --verbose | llmstream text
    llmstream gen --events 'Hi' | tee log.ndjson | llmstream text
    """
    stdio.require_stdout()
    stdio.ends_lines = not no_newline
    output: _Events | _Text = _Events() if events else _Text(not no_newline)
    outcomes = _Outcomes(several=len(file) > 1)
    operands = inputs.Operands(NAME, file, "a stream")
    for name, source in operands:
        reader = StreamReader(GRACE_S)
        for answer, batch, ends in _batches(source, reader):
            output.write(batch)
            if ends:
                error = answer.failure or report.verdict(answer.finish, limited=False)
                output.end(answer.failure)
                warning = answer.warning or (CALLS if answer.tool_calls and not events else "")
                outcomes.add(name, answer.place, warning, error)
        if reader.failure is not None:
            output.end(reader.failure)
            outcomes.add(name, f"answer {reader.count + 1}", "", reader.failure)
    return max(outcomes.close(), operands.status)


def _batches(source: inputs.Input, reader: StreamReader) -> Iterator[Batch]:
    """Yields what the reader makes of the source, while it arrives."""
    while not reader.over:
        deadline = reader.deadline()
        chunk = source.read(None if deadline is None else max(0.0, deadline - time.monotonic()))
        now = time.monotonic()
        if chunk is None:
            yield from reader.expire(now)
        elif chunk:
            yield from reader.feed(chunk, now)
        else:
            yield from reader.close(now)


class _Text:
    """Writes the text of answers, each on lines of its own."""

    def __init__(self, final_newline: bool) -> None:
        self._final_newline = final_newline
        self._renderer = TextRenderer(final_newline)
        self._lacks_newline = self._begins = False  # whether the output does, and the next text is another answer's

    def write(self, events: list[Event]) -> None:
        """Writes the text of events."""
        data = self._renderer.feed(events)
        if data:
            stdio.write(b"\n" + data if self._begins and self._lacks_newline else data)
            self._lacks_newline, self._begins = data[-1:] != b"\n", False

    def end(self, failure: Error | None) -> None:
        """Ends an answer: a newline follows the text of a whole one."""
        last = self._renderer.close()
        if last and failure is None:
            stdio.write(last)
            self._lacks_newline = False
        self._begins = True


class _Events:
    """Writes the events of answers."""

    def __init__(self) -> None:
        self._renderer = EventRenderer(None)

    def write(self, events: list[Event]) -> None:
        """Writes events."""
        stdio.write(self._renderer.feed(events, 0.0))

    def end(self, failure: Error | None) -> None:
        """Ends an answer: an event says why one is not whole."""
        if failure is not None:
            stdio.write(self._renderer.error(failure, 0.0))


class _Outcomes:
    """Notes what is wrong with answers, and which they are, where there are several; finds the exit status."""

    def __init__(self, several: bool) -> None:
        self._names_files = several
        self._count = self._status = 0
        self._notes: list[str] = []  # of the first answer: with its number, once there is a second one
        self._first = ""

    def add(self, file: str, place: str, warning: str, error: Error | None) -> None:
        """Adds an answer that has ended, or an unknown part; `place` is where it stands in the file."""
        self._count += 1
        which = place
        if self._names_files:
            which = f"{file}: {place}" if place != "answer 1" else file
        if self._count == 2:
            self._write(self._first)
        if self._count == 1:
            self._first = which
        self._notes += [text for text in (warning, error.message if error else "") if text]
        self._status = max(self._status, error.status if error else 0)
        if self._count > 1:
            self._write(which)

    def _write(self, which: str) -> None:
        for text in self._notes:
            stdio.note(NAME, f"{which}: {text}" if which else text)
        self._notes.clear()

    def close(self) -> int:
        """Notes the rest; returns the highest exit status of all answers."""
        self._write(self._first if self._names_files else "")
        return self._status
