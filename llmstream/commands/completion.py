"""`llmstream completion`: the shell's completion script.

The scripts are files of the folder completions/. They are click's templates with three repairs, since click completes
the value in `--option=VALUE`, but its scripts put the answer in place of the whole word (zsh), find that it does not
fit the word (fish), or pass "=" as a word of its own (bash); and in fish a description ends at its first comma.
"""

from __future__ import annotations

import click

from .. import stdio
from ..errors import UsageError
from .data import find

SCRIPTS = {"bash": "llmstream.bash", "zsh": "_llmstream", "fish": "llmstream.fish"}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    cd ~/.local/share/bash-completion/completions
    llmstream completion bash > llmstream
    llmstream completion zsh > ~/.zfunc/_llmstream
    llmstream completion fish > ~/.config/fish/completions/llmstream.fish
    """
    path = find("completions", SCRIPTS[shell])
    if path is None:
        raise UsageError(f"the file completions/{SCRIPTS[shell]} is missing: install llmstream again")
    with open(path, "rb") as file:
        stdio.write(file.read())
