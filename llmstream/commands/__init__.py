"""The commands, each a module with its function and the parameters that it takes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .parameters import Command

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


def load(name: str) -> Command:
    """Imports the module of a command of the table."""
    command: Command = import_module(f".{name.replace('-', '_')}", __name__).command
    return command
