"""`llmstream man`: the manual page, also where `man` itself does not find it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from .. import stdio
from ..config import file as config
from ..errors import Error, UsageError
from ..providers.child_environment import without_keys
from ..providers.registry import BUILT_IN
from . import COMMANDS, parameters
from .data import find
from .parameters import operand

# Commands to which a path is added. man takes an argument with a slash for a path, also where it has no -l (macOS).
ON_TERMINAL = (["man"], ["mandoc", "-a"])
IN_PIPE = (["man"], ["mandoc", "-Tutf8"])
TOPICS = ("pipelines", "python")  # pages of section 7
OVERSTRUCK = re.compile(".\b")  # a character under another one: bold or underlined


def _complete_topic(incomplete: str) -> list[str]:
    return [name for name in [*COMMANDS, *TOPICS] if name.startswith(incomplete)]


@parameters.command("man")
@operand("topic", metavar="[COMMAND]", complete=_complete_topic)
def command(topic: str | None) -> None:
    """Show the manual page of COMMAND, or of llmstream itself.

    Two more pages are `pipelines`, a cookbook, and `python`. On a terminal
    the page opens in man's pager; into a pipe or a file it is plain text.

    \b
    llmstream man
    llmstream man gen
    llmstream man pipelines
    """
    stdio.require_stdout()
    path = _find(topic)
    if os.isatty(stdio.STDOUT):
        viewer = _installed(ON_TERMINAL, path)
        os.execvpe(viewer[0], [*viewer, path], _environment())
    stdio.write(_plain([*_installed(IN_PIPE, path), path]))


def _find(topic: str | None) -> str:
    """Returns the path of a page, which man's name for it finds as well; raises UsageError where there is none."""
    name = (topic or "").removeprefix("llmstream").removeprefix("-")
    section = 7 if name in TOPICS else 1
    path = find(f"man/man{section}", f"llmstream-{name}.{section}" if name else "llmstream.1")
    if path is None:
        raise UsageError(f"no manual page for {topic or 'llmstream'!r}: llmstream --help lists the commands")
    return path


def _environment() -> dict[str, str]:
    """Returns the environment of man and its pager, which need no keys."""
    try:
        catalogue = config.read(os.environ).catalogue
    except Error:  # the page may say how to correct the configuration
        catalogue = BUILT_IN
    return without_keys(os.environ, catalogue)


def _installed(viewers: tuple[list[str], ...], path: str) -> list[str]:
    """Returns the first command whose program is installed; `path` is for the message where there is none."""
    for viewer in viewers:
        if shutil.which(viewer[0]):
            return viewer
    raise UsageError(f"neither man nor mandoc is installed: install one, read {path}, or use --help")


def _plain(viewer: list[str]) -> bytes:
    """Returns the page without bold and underlined characters, whatever the user's pager is."""
    env = {k: v for k, v in _environment().items() if k != "MAN_KEEP_FORMATTING"} | {"MANPAGER": "cat"}
    done = subprocess.run(viewer, stdin=subprocess.DEVNULL, capture_output=True, env=env, check=False)
    if done.returncode or not done.stdout:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it printed nothing"]
        raise UsageError(f"{viewer[0]} cannot show {viewer[-1]}: {reason[0]}")
    return OVERSTRUCK.sub("", done.stdout.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
