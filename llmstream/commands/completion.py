"""`llmstream completion`: the shell's completion script.

The scripts are files of the folder completions/. They are click's templates with three repairs, since click completes
the value in `--option=VALUE`, but its scripts put the answer in place of the whole word (zsh), find that it does not
fit the word (fish), or pass "=" as a word of its own (bash); and in fish a description ends at its first comma.
"""

from __future__ import annotations

from .. import stdio
from ..core.kinds import Choice
from ..errors import UsageError
from . import parameters
from .data import find
from .parameters import operand

SCRIPTS = {"bash": "llmstream.bash", "zsh": "_llmstream", "fish": "llmstream.fish"}


@parameters.command("completion")
@operand("shell", kind=Choice(*SCRIPTS), metavar="{bash|zsh|fish}", required=True)
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    mkdir -p ~/.local/share/bash-completion/completions
    cd ~/.local/share/bash-completion/completions
    llmstream completion bash > llmstream
    mkdir -p ~/.zfunc
    llmstream completion zsh > ~/.zfunc/_llmstream
    echo 'fpath+=(~/.zfunc); autoload -Uz compinit; compinit' >> ~/.zshrc
    mkdir -p ~/.config/fish/completions
    llmstream completion fish > ~/.config/fish/completions/llmstream.fish
    """
    stdio.require_stdout()
    path = find("completions", SCRIPTS[shell])
    if path is None:
        raise UsageError(f"the file completions/{SCRIPTS[shell]} is missing: install llmstream again")
    with open(path, "rb") as file:
        stdio.write(file.read())
