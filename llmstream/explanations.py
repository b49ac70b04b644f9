"""What a command line may have meant that is wrong: the messages, with words of other tools in mind."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import click

from .commands import COMMANDS, load
from .commands.parameters import Command, Option
from .errors import nearest

SIMILAR_COMMANDS = {
    **dict.fromkeys(("ask", "chat", "generate", "prompt", "run"), "gen"),
    "batch": "map",
    "help": "--help",
    "version": "--version",
    "list": "models",
}
OTHER_COMMANDS = {  # commands of other tools, and what stands for them
    "keys": "keys are variables of the environment, and llmstream models lists those that are set",
    "logs": "nothing is logged: --chat FILE keeps a conversation, and tee keeps an answer",
    "config": "the configuration is a file, and llmstream man says where",
    "templates": "gen -f FILE reads a prompt file",
    "aliases": "llmstream models lists them",
}
SIMILAR_OPTIONS = {  # of other tools, and ours, of which a command may have one or none
    "--silent": "--quiet",
    "--verbose": "--usage",
    "--debug": "--dry-run",
    "--thinking": "--reasoning",
    "--template": "--file",
    "--image": "--attach",
    "--attachment": "--attach",
    "--save": "--output",
    "--out": "--output",
    "--stop-sequence": "--stop",
    "--num-predict": "--max-tokens",
    "-P": "--jobs",
    "--parallel": "--jobs",
    "--concurrency": "--jobs",
    "--conversation": "--chat",
    "-V": "--version",
}
OTHER_OPTIONS = {
    "--stream": "an answer always streams",
    "--no-stream": "-O FILE writes the answer whole",
    "--format": "--json or --schema requires JSON, and --events writes it",
    "--extract": "llmstream code prints the code in an answer",
    "-x": "llmstream code prints the code in an answer",
    "--prompt": "the prompt is an operand: llmstream gen 'Name three rivers.'",
    "-p": "the prompt is an operand: llmstream gen 'Name three rivers.'",
    "--continue": "--resume-cut resumes a cut answer, gen --chat FILE a conversation, map --journal FILE a run",
    "-c": "gen --chat FILE goes on with a conversation",
    "--api-key": "the variable of the provider has the key, such as OPENAI_API_KEY, or --key-env names another",
    "--key": "the variable of the provider has the key, such as OPENAI_API_KEY, or --key-env names another",
}
NO_VALUE = "-="  # the option that click misses where a flag is followed by =


def explain(error: click.ClickException) -> str:
    """Returns the message of click's error; for an unknown option, with what may be meant."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        name = error.ctx.command.name or ""
        is_command = name in COMMANDS
        return _unknown_option(error.option_name, load(name)) if is_command else _misplaced(error.option_name)
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def unknown_command(words: Sequence[str]) -> str:
    """Returns the message about arguments that begin with no command: without one that is near, they are a prompt."""
    word = words[0]
    if word in OTHER_COMMANDS:
        return f"no such command {word!r}: {OTHER_COMMANDS[word]}"
    if near := SIMILAR_COMMANDS.get(word) or (nearest(word, COMMANDS) if " " not in word else ""):
        return f"no such command {word!r}: did you mean {near}?"
    from itertools import takewhile
    from shlex import quote

    from .core.kinds import shorten

    prompt = " ".join(takewhile(lambda word: not word.startswith("-"), words))
    meant = f"llmstream gen {quote(shorten(' '.join(prompt.split())))}"
    return f"no such command {shorten(word)!r}: did you mean {meant}?"


def _unknown_option(name: str, command: Command) -> str:
    """Returns the message about an option that a command does not have."""
    if name == NO_VALUE:
        return "an option without a value is followed by =: leave that out"
    names = [name for each in command.parameters if isinstance(each, Option) for name in each.names]
    if name in OTHER_OPTIONS and "--max-tokens" in names:  # the command asks a model
        return f"no such option {name!r}: {OTHER_OPTIONS[name]}"
    near = SIMILAR_OPTIONS.get(name, "")
    near = near if near in names else next((each for each in sorted(names, key=len) if each.startswith(name)), "")
    if not near and (others := _commands_with(name)):
        return f"no such option {name!r}: only {_listed(others)} {'has' if len(others) == 1 else 'have'} it"
    near = near or nearest(name, names)
    return f"no such option {name!r}" + (f": did you mean {near}?" if near else "")


def _misplaced(name: str) -> str:
    """Returns the message about an option before the command."""
    if others := _commands_with(name):
        return f"{name} is an option of {_listed(others)}: llmstream {others[0]} {name} ..."
    near = SIMILAR_OPTIONS.get(name, "") if name == "-V" else nearest(name, ("--version", "--help"))
    return f"no such option {name!r}" + (f": did you mean {near}?" if near else "")


def _commands_with(option: str) -> list[str]:
    """Returns the commands that have an option, in the order of COMMANDS."""
    return [name for name in COMMANDS if option in _names(load(name))]


def _names(command: Command) -> Collection[str]:
    return {name for each in command.parameters if isinstance(each, Option) for name in each.names}


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
