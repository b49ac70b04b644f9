"""The command line: runs a command, and maps what happened to an exit status, in one place."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import commands, stdio
from .commands.parameters import WrongValue
from .errors import Error, Incomplete, ReaderGone, UsageError, followed
from .terminal import columns

if TYPE_CHECKING:
    from .config.file import Config
    from .terminal import Display

ASYNC_CURL = "pycurl.async_multi"  # pycurl imports it, for asyncio alone, and with it dataclasses and inspect: 6 ms
COMPLETION = "_LLMSTREAM_COMPLETE"  # the variable in which shells ask for the completion of a word


def serve(host: str, port: int, config: Config, network: Mapping[str, Any], **settings: Any) -> None:
    """Runs the HTTP server over the library's streams. `settings` are serve.settings.Settings by name.

    Doors do not import each other, so they meet here. Raises UsageError without the extra `serve`.
    """
    try:
        from .serve import app, run
        from .serve.notes import FallbackNotes
        from .serve.request import HOP_HEADER, ChatRequest, Item, Note
        from .serve.settings import Settings
    except ModuleNotFoundError as error:
        raise UsageError(f"serve needs {error.name}: pip install 'llmstream-cli[serve]'") from None
    import asyncio
    import secrets
    from functools import partial

    from .api.astream import AsyncStream
    from .api.prepared import PreparedRequest, prepare
    from .net.aio import in_thread

    bounds = Settings(**settings, hop=secrets.token_hex(8))
    fallbacks = FallbackNotes()

    async def generate(request: ChatRequest) -> AsyncGenerator[Sequence[Item], None]:
        notes: list[Note] = []
        note = {"note": lambda text: notes.append(Note(text))}
        hop = f"{HOP_HEADER}: {' '.join([*request.hops.split(), bounds.hop])}"
        arguments = request.prompt, {**request.options, **network, **note}, config, [hop]
        if request.is_large:
            prepared = await in_thread(asyncio.get_running_loop(), partial(prepare, *arguments))
        else:
            prepared = PreparedRequest(*arguments)
        async with AsyncStream(prepared, bounds.jobs, fallbacks.write) as stream:
            async for batch in stream.batches():
                yield [*notes, *batch] if notes else batch
                notes.clear()
        if notes:
            yield notes

    run.run(app.create(generate, bounds), host, port)


def _display(fd: int, wraps_words: bool) -> Display:
    """Makes what a terminal is to show visible: see `stdio.make_display`."""
    from functools import partial

    from .core.terminal.display import Display

    return Display(partial(columns, fd) if wraps_words else None)


def run(words: list[str]) -> int:
    """Runs the command line; returns the exit status. Raises Signalled."""
    stdio.make_display = _display
    _leave_out_async_curl()
    name = next((word for word in words if word in commands.COMMANDS), "")
    try:
        return _run(words)
    except ReaderGone:
        return 0
    except WrongValue as error:
        stdio.note(name, followed(error.message, f"see llmstream {name} --help"))
        return WrongValue.status
    except Error as error:
        stdio.note(name, error.message)
        for line in error.hint.splitlines():
            stdio.note(name, line)
        return error.status
    except Exception:
        import traceback

        stdio.write_stderr_lines(traceback.format_exc().rstrip())
        stdio.note(name, "this is a bug: please report it with the lines above; the output may be incomplete")
        return Incomplete.status


def _leave_out_async_curl() -> None:
    """Puts an empty module in the place of the one that pycurl imports and no command uses."""
    empty = ModuleType(ASYNC_CURL)
    vars(empty).update(AsyncCurlMulti=None)
    sys.modules.setdefault(ASYNC_CURL, empty)


def _run(words: list[str]) -> int:
    """Runs the command; returns its status. One that fails, or that a signal ends, writes the notes that it held."""
    try:
        result = _run_command(words)
        status = _run_click(words) if result is None else result
    except ReaderGone:
        raise
    except BaseException:
        stdio.release_notes()
        raise
    if status:
        stdio.release_notes()
    return status


def _run_command(words: list[str]) -> int | None:
    """Runs a line that is right; returns its status. Returns None for any other: it may ask for help."""
    if not words or words[0] not in commands.COMMANDS or COMPLETION in os.environ:
        return None
    command = commands.load(words[0])
    arguments = command.parse(words[1:])
    return None if arguments is None else command.run(arguments, serve) or 0


def _run_click(words: list[str]) -> int:
    """Has click say what is wrong with a line, show help, or complete a word; returns the status."""
    import click

    from . import click_commands, explanations

    try:
        return click_commands.run(words, serve) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        stdio.write_stderr(f"{error.format_message()}\n".encode())
    except click.ClickException as error:
        ctx = error.ctx if isinstance(error, click.UsageError) else None
        name = next((word for word in words if word in commands.COMMANDS), "")
        path = ctx.command_path if ctx else f"llmstream {name}"
        stdio.note(name, followed(explanations.explain(error), f"see {path.rstrip()} --help"))
    return UsageError.status
