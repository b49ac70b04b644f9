"""`llmstream completion`: the shell's completion script."""

from __future__ import annotations

import click

from .. import stdio

SHELLS = ("bash", "zsh", "fish")

# click completes the value in `--option=VALUE`, but its scripts would put the answer in place of the whole word (zsh),
# find that it does not fit the word (fish), or pass "=" as a word of its own (bash). In fish, a description would end
# at its first comma. Their text: ours.
REPAIRS = {
    "bash": {
        "    local response\n": """\
    local response i words=() cword=$COMP_CWORD

    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        if [[ ${COMP_WORDS[i]} == '=' ]] && ((i < COMP_CWORD)); then
            ((cword--))
        else
            words+=("${COMP_WORDS[i]}")
        fi
    done
""",
        'COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD': 'COMP_WORDS="${words[*]}" COMP_CWORD=$cword',
    },
    "zsh": {
        "    local -a response\n": """\
    local -a response
    local option=
    [[ $words[CURRENT] == --*=* ]] && option="${words[CURRENT]%%=*}="
""",
        '+=("$key"': '+=("$option$key"',
    },
    "fish": {
        "    for completion in": """\
    set -l option (string match -r -- '^--[^=]*=' (commandline -ct));

    for completion in""",
        'string split ","': 'string split --max 1 ","',
        "echo $metadata[2]": 'echo "$option"$metadata[2]',
    },
}


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
    source = kind(ctx.find_root().command, {}, "llmstream", "_LLMSTREAM_COMPLETE")
    script = source.source_template % source.source_vars()
    for theirs, ours in REPAIRS[shell].items():
        script = script.replace(theirs, ours)
    stdio.write(script.strip().encode() + b"\n")
