"""`llmstream man`: the manual page, also where it is out of `man`'s sight."""

from __future__ import annotations

import os
import shutil
import subprocess

import click

from .. import stdio
from ..errors import UsageError

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = (os.path.join(PACKAGE, "man"), os.path.join(os.path.dirname(PACKAGE), "man"))  # installed, checkout


@click.command("man")
@click.argument("topic", metavar="[COMMAND]", required=False)
def command(topic: str | None) -> None:
    """Show the manual page of COMMAND, or of llmstream itself.

    \b
    llmstream man
    llmstream man gen
    """
    page = f"llmstream-{topic}.1" if topic else "llmstream.1"
    path = next((path for folder in FOLDERS if os.path.isfile(path := os.path.join(folder, page))), None)
    if path is None or os.path.basename(page) != page:
        raise UsageError(f"no manual page for {topic!r}: llmstream --help lists the commands")
    if shutil.which("man"):
        raise SystemExit(subprocess.run(["man", "-l", path], check=False).returncode)
    if shutil.which("mandoc"):
        raise SystemExit(subprocess.run(["mandoc", "-a" if os.isatty(stdio.STDOUT) else "-Tutf8", path]).returncode)
    raise UsageError(f"neither man nor mandoc is installed: the page is {path}; --help says it in short")
