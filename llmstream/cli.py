"""The command group, and the one place that maps what happened to an exit status."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from . import __version__, stdio
from .errors import Error, Incomplete, ReaderGone, UsageError, command_line, followed, nearest, spell
from .plain_option import help_option, version_option
from .terminal import columns

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from .config.file import Config
    from .terminal import Display

COMMANDS = {
    "gen": "Stream a model's answer to a prompt.",
    "map": "Answer many prompts at once, a line of JSON for each.",
    "until": "Copy text until a condition is met, and stop its producer.",
    "code": "Print the code in fenced blocks while it arrives.",
    "json-objects": "Print each JSON object in a text as one line.",
    "fields": "Print fields of JSON documents while they arrive.",
    "text": "Print the text in a provider's or an agent's raw stream.",
    "pretty": "Draw Markdown on a terminal while it arrives.",
    "serve": "Answer prompts over HTTP: a page, and OpenAI's protocol.",
    "models": "List the models that -m can name.",
    "completion": "Print the completion script for a shell.",
    "man": "Show the manual page of a command.",
}
SIMILAR = {"ask": "gen", "chat": "gen", "generate": "gen", "prompt": "gen", "run": "gen", "batch": "map", "help": "man"}


class Group(click.Group):
    """Loads a subcommand's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f".commands.{cmd_name.replace('-', '_')}", __package__).command
        assert isinstance(command, click.Command)
        if command.add_help_option:
            command.add_help_option = False  # click's own, which is slow to make
            command.params.append(help_option())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        commands = [CompletionItem(name, help=help) for name, help in COMMANDS.items() if name.startswith(incomplete)]
        return commands or click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(_unknown_command(args), ctx)
        return super().resolve_command(ctx, args)


@click.command("llmstream", cls=Group, add_help_option=False, params=[version_option(__version__), help_option()])
def cli() -> None:
    """Small filters for language models that stream.

    \b
    llmstream gen 'Name three rivers.'
    git diff | llmstream gen 'Write a commit message for this.'
    llmstream gen 'A Python script that prints the date.' | llmstream code
    """


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
    from .api.base import PreparedRequest, prepare
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


def _unknown_command(words: Sequence[str]) -> str:
    """Returns the message about arguments that begin with no command: without one that is near, they are a prompt."""
    if SIMILAR.get(words[0]) or (" " not in words[0] and nearest(words[0], COMMANDS)):
        return _unknown("command", words[0], COMMANDS)
    from itertools import takewhile
    from shlex import quote

    from .core.kinds import shorten

    prompt = " ".join(takewhile(lambda word: not word.startswith("-"), words))
    meant = f"llmstream gen {quote(shorten(' '.join(prompt.split())))}"
    return f"No such command {shorten(words[0])!r}: did you mean {meant}?"


def _unknown(what: str, word: str, words: Iterable[str]) -> str:
    near = SIMILAR.get(word, "") if what == "command" else ""
    near = near or nearest(word, words)
    return f"No such {what} {word!r}" + (f": did you mean {near}?" if near else "")


# What --continue was: others use that name for the last conversation, so neither meaning is guessed.
CONTINUE = "--resume-cut resumes a cut answer, --messages FILE continues a conversation"


def _commands_with(option: str, ctx: click.Context) -> list[str]:
    """Returns the commands that have an option, in the order of COMMANDS."""
    commands = {name: command for name in COMMANDS if (command := cli.get_command(ctx, name))}
    return [name for name, command in commands.items() if any(option in param.opts for param in command.params)]


def _explain(error: click.ClickException) -> str:
    """Returns the message of click's error; for an unknown option, with a better guess."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        command = error.ctx.command
        if isinstance(command, Group) and (names := _commands_with(error.option_name, error.ctx)):
            listed = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
            return f"{error.option_name} is an option of {listed}: llmstream {names[0]} {error.option_name} ..."
        params = command.get_params(error.ctx)
        if error.option_name == "--continue" and {"resume_cut", "messages"} <= {param.name for param in params}:
            return f"No such option '--continue': {CONTINUE}"
        return _unknown(
            "option", error.option_name, [name for param in params for name in param.opts if name[0] == "-"]
        )
    return error.format_message().rstrip(".")


def _display(fd: int, wraps_words: bool) -> Display:
    """Makes what a terminal is to show visible: see `stdio.make_display`."""
    from functools import partial

    from .core.terminal.display import Display

    return Display(partial(columns, fd) if wraps_words else None)


def _call(args: list[str]) -> int:
    """Runs the command; returns its status. One that fails, or that a signal ends, writes the notes that it held."""
    try:
        result = cli.main(args, "llmstream", standalone_mode=False, obj=serve)
    except ReaderGone:
        raise
    except BaseException:
        stdio.release_notes()
        raise
    status = result if isinstance(result, int) else 0
    if status:
        stdio.release_notes()
    return status


def run(args: list[str]) -> int:
    """Runs the command line; returns the exit status. Raises Signalled."""
    stdio.make_display = _display
    name = next((arg for arg in args if arg in COMMANDS), "")
    try:
        return _call(args)
    except ReaderGone:
        return 0
    except Error as error:
        stdio.note(name, error.message)
        if error.hint:
            stdio.write_stderr_lines(spell(error.hint, command_line))
        return error.status
    except click.exceptions.NoArgsIsHelpError as error:
        stdio.write_stderr(f"{error.format_message()}\n".encode())
        return 2
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else f"llmstream {name}"
        stdio.note(name, followed(_explain(error), f"see {command.rstrip()} --help"))
        return 2
    except Exception:
        import traceback

        stdio.write_stderr_lines(traceback.format_exc().rstrip())
        stdio.note(name, "this is a bug: please report it with the lines above; the output may be incomplete")
        return Incomplete.status
