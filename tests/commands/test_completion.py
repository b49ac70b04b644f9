"""Completion as it is typed: TAB in bash and zsh on a terminal, and what fish's `complete` lists."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from llmstream.commands.completion import SCRIPTS

from ..conftest import ROOT, environment
from ..support import docs, examples
from ..support.limits import WAIT_S

TYPED = [
    ("llmstream g", "llmstream gen"),
    ("llmstream gen --ev", "llmstream gen --events"),
    ("llmstream gen -m openai/", "llmstream gen -m openai/gpt-6-luna"),
    ("llmstream gen -m ol", "llmstream gen -m ollama/"),
    ("llmstream gen -m loc", "llmstream gen -m local"),
    ("llmstream gen --api resp", "llmstream gen --api responses"),
    ("llmstream gen --api=resp", "llmstream gen --api=responses"),
    ("llmstream gen --api=chat --model=openai/", "llmstream gen --api=chat --model=openai/gpt-6-luna"),
    ("llmstream gen -m quic", "llmstream gen -m quickest"),
    ("llmstream models openr", "llmstream models openrouter"),
    ("llmstream man comp", "llmstream man completion"),
    ("llmstream man pi", "llmstream man pipelines"),
    ("llmstream completion f", "llmstream completion fish"),
    ("llmstream gen -f no", "llmstream gen -f notes.md"),
    ("llmstream gen --record no", "llmstream gen --record notes.md"),
    ("llmstream gen --record=no", "llmstream gen --record=notes.md"),
    ("llmstream gen --stats-file no", "llmstream gen --stats-file notes.md"),
    ("llmstream gen -a no", "llmstream gen -a notes.md"),
    ("llmstream gen -s @no", "llmstream gen -s @notes.md"),
    ("llmstream gen -s @fo", "llmstream gen -s @folder/"),
    ("llmstream gen --schema no", "llmstream gen --schema notes.md"),
    ("llmstream gen --messages no", "llmstream gen --messages notes.md"),
    ("llmstream gen --tools ./fo", "llmstream gen --tools ./folder/"),
    ("llmstream gen -m ./no", "llmstream gen -m ./notes.md"),
    ("llmstream gen -m replay:no", "llmstream gen -m replay:notes.md"),
    ("llmstream map --journal no", "llmstream map --journal notes.md"),
    ("llmstream until --words 3 no", "llmstream until --words 3 notes.md"),
    ("llmstream code no", "llmstream code notes.md"),
    ("llmstream json-objects -k 1 no", "llmstream json-objects -k 1 notes.md"),
    ("llmstream text ~/no", "llmstream text ~/notes.md"),
    ("llmstream text tw", r"llmstream text two\ words.md"),
    ("llmstream text fo", "llmstream text folder/"),
]


def lay_out(folder: Path) -> None:
    """Makes the files whose names are typed."""
    for name in ("notes.md", "two words.md"):
        (folder / name).touch()
    (folder / "folder").mkdir()


CONFIG = 'aliases = { quickest = "local" }'
RC = {  # with Ctrl-T the shell prints the line
    "bash": (
        "PS1=; bind 'set bell-style none'; show() { printf '<%s>' \"$READLINE_LINE\"; }; bind -x '\"\\C-t\": show'\n"
        "source \"$SCRIPT\"; printf 'RE''ADY'\n"
    ),
    "zsh": (
        "PS1=; setopt no_beep; autoload -Uz compinit; compinit -u -D\n"
        "show() { print -rn -- \"<$BUFFER>\"; }; zle -N show; bindkey '^T' show; source $SCRIPT; print -n RE''ADY\n"
    ),
}


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not _has(shell), reason=f"{shell} is not installed, or too old")


def _has(shell: str) -> bool:
    if not shutil.which(shell):
        return False
    newer = "((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404))"
    return shell != "bash" or subprocess.run(["bash", "-c", newer]).returncode == 0


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_command_prints_the_file(invoke, shell):
    done = invoke("completion", shell)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (ROOT / "completions" / SCRIPTS[shell]).read_bytes()


@pytest.mark.parametrize("layout", ["llmstream/completions", "completions"])  # of the wheel, of the checkout
def test_the_scripts_are_found_in_both_layouts(run, layout, tmp_path):
    shutil.copytree(ROOT / "llmstream", tmp_path / "llmstream", ignore=shutil.ignore_patterns("__pycache__"))
    missing = run("completion", "zsh", env=environment(PYTHONPATH=str(tmp_path)), cwd=tmp_path)
    assert (missing.returncode, missing.stdout) == (2, b"")
    assert b"the file completions/_llmstream is missing: install llmstream again" in missing.stderr
    shutil.copytree(ROOT / "completions", tmp_path / layout)
    done = run("completion", "zsh", env=environment(PYTHONPATH=str(tmp_path)), cwd=tmp_path)
    assert done.stdout == (ROOT / "completions" / "_llmstream").read_bytes()


@pytest.mark.parametrize("shell", [pytest.param("bash", marks=needs("bash")), pytest.param("zsh", marks=needs("zsh"))])
def test_tab(shell, tmp_path):
    (tmp_path / "rc").write_text(RC[shell])
    (tmp_path / ".zshrc").write_text(RC["zsh"])
    command = {"bash": ["bash", "--noprofile", "--rcfile", tmp_path / "rc", "-i"], "zsh": ["zsh", "-d", "-i"]}[shell]
    (tmp_path / "config.toml").write_text(CONFIG)
    more = {
        "TERM": "dumb",
        "LLMSTREAM_CONFIG": str(tmp_path / "config.toml"),
        "ZDOTDIR": str(tmp_path),
        "SCRIPT": str(ROOT / "completions" / SCRIPTS[shell]),
    }
    env = examples.on_path(tmp_path / "bin", environment(**more))
    (home := tmp_path / "home").mkdir()
    lay_out(home)
    with Terminal(command, {**env, "HOME": str(home)}, home) as terminal:
        terminal.expect("READY")
        for typed, completed in [*TYPED, ("llmstream gen -m ol\tm", "llmstream gen -m ollama/m")]:
            terminal.type(f"{typed}\t\x14")
            assert terminal.expect("<(llmstream[^>]*)>") == completed
            terminal.type("\x15")  # Ctrl-U: an empty line again


@pytest.mark.parametrize("shell", SCRIPTS)
def test_nothing_is_noted_behind_a_word_that_is_no_command(shell, run):
    words = {"COMP_WORDS": "llmstream foo b", "COMP_CWORD": "b" if shell == "fish" else "2"}
    done = run(env=environment(_LLMSTREAM_COMPLETE=f"{shell}_complete", **words))
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"", b"")


@needs("fish")
def test_fish(tmp_path):
    env = examples.on_path(tmp_path / "bin", environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path)))
    (tmp_path / "llmstream").mkdir()
    (tmp_path / "llmstream" / "config.toml").write_text(CONFIG)
    source = f"source {shlex.quote(str(ROOT / 'completions' / SCRIPTS['fish']))}"
    lay_out(tmp_path)
    for typed, completed in TYPED:
        script = f"{source}; complete -C '{typed}'"
        command = ["fish", "--no-config", "-c", script]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
        words = [line.partition("\t")[0] for line in done.stdout.splitlines()]
        assert (words, done.stderr) == ([re.split(r"(?<!\\) ", completed)[-1].replace("\\", "")], "")


@needs("fish")
def test_fish_describes_each_option(tmp_path):
    env = examples.on_path(tmp_path / "bin", environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path)))
    script = f"source {shlex.quote(str(ROOT / 'completions' / SCRIPTS['fish']))}; complete -C 'llmstream gen -'"
    done = subprocess.run(["fish", "--no-config", "-c", script], env=env, capture_output=True, text=True)
    described = dict(line.split("\t") for line in done.stdout.splitlines())
    listed = docs.options(docs.commands()["llmstream-gen"])
    assert described == {name: option.help for option in listed for name in option.opts}


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command: list[str | Path], env: dict[str, str], cwd: Path) -> None:
        self._fd, inner = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=env, cwd=cwd, start_new_session=True
        )
        os.close(inner)
        self._seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def expect(self, pattern: str) -> str:
        """Waits for the pattern; its first group, or all of it, less blanks. What came before it is forgotten."""
        deadline = time.monotonic() + WAIT_S
        while not (found := re.search(pattern, self._seen)):
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {pattern} in {self._seen!r}")
            self._seen += os.read(self._fd, 65536).decode("utf-8", "replace")
        self._seen = self._seen[found.end() :]
        return found[found.lastindex or 0].strip()
