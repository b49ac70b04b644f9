"""`llmstream text`: a raw stream of any provider as plain text, or as llmstream's events."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from .. import stdio
from ..core import report
from ..core.events import Event
from ..core.render import EventRenderer, TextRenderer
from ..dialects.detect import StreamReader
from ..errors import Error, OutputFailed

NAME = "text"
GRACE_S = 2.0  # for frames that may follow the end mark


@click.command(NAME)
@click.argument("file", nargs=-1)
@click.option("--events", is_flag=True, help="Write NDJSON events, as gen has them, instead of text.")
@click.option("--no-newline", is_flag=True, help="Add no final newline.")
def command(file: tuple[str, ...], events: bool, no_newline: bool) -> None:
    """Print the text in a raw stream while it arrives: what curl gets from a provider, or what an agent prints.

    Each FILE, or stdin, is one stream: the events of OpenAI (Chat Completions, Responses), Anthropic, Gemini and
    compatible servers, Ollama's lines, `gen --events`, `claude -p --output-format stream-json` or `codex exec --json`.

    \b
    curl -sN http://localhost:11434/api/generate -d '{"model":"qwen3","prompt":"Hi"}' | llmstream text
    claude -p 'Fix it.' --output-format stream-json --verbose | llmstream text | llmstream until --lines 3
    llmstream gen --events 'Hi' | tee log.ndjson | llmstream text
    """
    stdio.require_stdout()
    for source in stdio.open_operands(file):
        reader = StreamReader(GRACE_S)
        if events:
            _write_events(source, reader)
        else:
            _write_text(source, reader, TextRenderer(not no_newline))
        if reader.exchange is not None:
            if reader.exchange.warning:
                stdio.note(NAME, reader.exchange.warning)
            if error := report.verdict(reader.exchange.finish, limited=False):
                raise error


def _batches(source: stdio.Input, reader: StreamReader) -> Iterator[list[Event]]:
    """Yields the events, a list for each chunk; raises the error of an answer that is not complete."""
    while not reader.over:
        deadline = reader.deadline()
        chunk = source.read(None if deadline is None else max(0.0, deadline - time.monotonic()))
        now = time.monotonic()
        if chunk is None:
            events = reader.expire(now)
        elif chunk:
            events = reader.feed(chunk, now)
        else:
            events = reader.close(now)
        if events:
            yield events
    if reader.failure is not None:
        raise reader.failure


def _write_text(source: stdio.Input, reader: StreamReader, renderer: TextRenderer) -> None:
    for batch in _batches(source, reader):
        stdio.write(renderer.feed(batch))
    stdio.write(renderer.close())


def _write_events(source: stdio.Input, reader: StreamReader) -> None:
    renderer = EventRenderer(None)
    try:
        for batch in _batches(source, reader):
            stdio.write(renderer.feed(batch, 0.0))
    except OutputFailed:
        raise
    except Error as error:
        stdio.write(renderer.error(error, 0.0))
        raise
