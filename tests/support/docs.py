"""The click tree and the manual pages, read for comparison.

A page is mdoc. Options stand in `.It Fl ...` items; an option that has a default says "The default is X."; what is
literal (examples, sample records) stands between `.Bd -literal` and `.Ed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from llmstream.click_commands import ParameterType, cli
from llmstream.commands.parameters import Parameter

from ..conftest import ROOT

# The commands.


def commands() -> dict[str, click.Context]:
    """Returns every command by the name of its manual page."""
    root = click.Context(cli, info_name="llmstream", **cli.context_settings)
    found, queue = {}, [("llmstream", root)]
    for page, ctx in queue:
        found[page] = ctx
        if isinstance(ctx.command, click.Group):
            for name in ctx.command.list_commands(ctx):
                command = ctx.command.get_command(ctx, name)
                assert command is not None
                queue.append((f"{page}-{name}", click.Context(command, ctx, name, **command.context_settings)))
    return found


def options(ctx: click.Context) -> list[click.Option]:
    return [param for param in ctx.command.get_params(ctx) if isinstance(param, click.Option)]


def names(ctx: click.Context) -> set[str]:
    return {name for option in options(ctx) for name in [*option.opts, *option.secondary_opts]}


def value(option: click.Option, ctx: click.Context) -> str:
    """Returns what a page shows as an option's value: the words to choose from, if there are any."""
    return "|".join(parameter(option).kind.choices) or option.make_metavar(ctx)


def parameter(option: click.Option) -> Parameter:
    """Returns the parameter of a command that an option of click shows."""
    assert isinstance(option.type, ParameterType)
    return option.type.parameter


def takes_value(option: click.Option) -> bool:
    return not option.is_flag and not option.count


# Manual pages.

MACRO = re.compile("[A-Z][a-z]")
ESCAPES = {r"\(ga": "`", r"\e": "\\", r"\(aq": "'", r"\(dq": '"', r"\-": "-", r"\(ti": "~", r"\&": ""}


class Item(NamedTuple):
    """An entry of a list: the words after `.It`, the lines below it."""

    words: list[str]
    body: list[str]

    def flags(self) -> list[str]:
        return [word for macro, word in arguments(self.words) if macro == "Fl"]

    def values(self) -> list[str]:
        return metavars(" ".join(word for macro, word in arguments(self.words) if macro != "Fl"))

    def text(self) -> str:
        return unescape(" ".join(self.body))

    def cells(self) -> list[list[str]]:
        """Returns the words of each cell of a table's row."""
        cells: list[list[str]] = [[]]
        for word in self.words:
            if word == "Ta":
                cells.append([])
            elif not MACRO.fullmatch(word) and word != ",":
                cells[-1].append(word)
        return cells


class Page:
    def __init__(self, text: str) -> None:
        self.lines = [line for line in text.splitlines() if not line.startswith('.\\"')]
        self.sections: dict[str, list[str]] = {}
        for line in self.lines:
            if line.startswith(".Sh "):
                self.sections[line[4:]] = []
            elif self.sections:
                list(self.sections.values())[-1].append(line)

    def items(self, section: str) -> list[Item]:
        found: list[Item] = []
        for line in self.sections.get(section, []):
            if line.startswith(".It "):
                found.append(Item(line.split()[1:], []))
            elif found:
                found[-1].body.append(line)
        return found

    def flags(self, section: str = "") -> set[str]:
        """Returns all options that a section, or the page, names anywhere."""
        lines = self.sections[section] if section else self.lines
        return {word for line in lines for macro, word in arguments(line[1:].split()) if macro == "Fl"}

    def displays(self, *sections: str) -> list[str]:
        """Returns the literal displays of some sections, or of all."""
        text = "\n".join(line for name in sections or self.sections for line in self.sections.get(name, []))
        return [unescape(found) for found in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S)]


COMMAND_PAGES = sorted(path.stem for path in (ROOT / "man" / "man1").iterdir())
TOPIC_PAGES = sorted(path.stem for path in (ROOT / "man" / "man7").iterdir())


def path(name: str) -> Path:
    """Returns the file of a page of either section."""
    section = 7 if name in TOPIC_PAGES else 1
    return ROOT / "man" / f"man{section}" / f"{name}.{section}"


def page(name: str) -> Page:
    return Page(path(name).read_text())


def arguments(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yields the words of a macro line, each with its macro; options with their first hyphen."""
    macro = ""
    for word in words:
        if MACRO.fullmatch(word):
            macro = word
        elif macro == "Fl" and re.fullmatch(r"-?\w[\w-]*", word):
            yield macro, f"-{word}"
        elif macro != "Fl":
            yield macro, word


def metavars(text: str) -> list[str]:
    """Returns the names in a metavar, in their order."""
    return list(dict.fromkeys(re.findall("[a-z]+", text.lower())))


def unescape(text: str) -> str:
    return re.sub(r"\\(?:\(..|.)", lambda found: ESCAPES[found[0]], text)
