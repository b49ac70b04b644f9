"""`llmstream completion`: the shell's completion script."""

from __future__ import annotations

import click

from .. import stdio

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    llmstream completion bash > ~/.local/share/bash-completion/completions/llmstream
    llmstream completion zsh > ~/.zfunc/_llmstream
    llmstream completion fish > ~/.config/fish/completions/llmstream.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root().command
    source = kind(root, {}, "llmstream", "_LLMSTREAM_COMPLETE")
    stdio.write((source.source_template % source.source_vars()).strip().encode() + b"\n")
