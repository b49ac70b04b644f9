"""Writes what is derived from tables: the options in the manual pages and in api/options.py, the tables of providers.

    python -m tests.support.generate [--check]

A block stands between two markers, and the rest of its file is written by hand. With --check nothing is written; the
status is 1 if a block is stale, and the blocks are named.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from llmstream.core import kinds as plain
from llmstream.core.kinds import ANSWER, MODEL, NETWORK, PROMPT
from llmstream.core.stop.conditions import CONDITIONS, SETTINGS, ConditionOption, Setting
from llmstream.providers.registry import PROVIDERS
from llmstream.request import kinds
from llmstream.request.options import COMMAND, OPTIONS, PYTHON, Option, at

ROOT = Path(__file__).parent.parent.parent
MARK = re.compile(r'^( *)(\.\\"|#) begin: (.+)\n(?:.*\n)*?\1\2 end: \3\n', re.M)
MARKUP = re.compile(r"``([^`]+)``|`([^`]+)`|\*(\w+)\*|(?<=see )([A-Z ]{4,})\b(?=[.,;])")
PUNCTUATION = re.compile(r"[.,;:)]+(?= |$)")


def escaped(text: str) -> str:
    """Text as roff wants it."""
    return text.replace("\\", r"\e").replace("'", r"\(aq").replace('"', r"\(dq")


def prose(text: str) -> Iterator[str]:
    """The mdoc lines of sentences, one a line: ``--option``, `literal` and *argument* become macros."""
    for sentence in text.split("\n"):
        if not sentence:
            yield ".Pp"
        rest = sentence
        while rest:
            match = MARKUP.search(rest)
            if not match:
                yield escaped(rest.strip())
                break
            if before := rest[: match.start()].strip():
                yield escaped(before)
            rest = rest[match.end() :]
            flag, literal, argument, section = match.groups()
            words = re.sub(r"(?<!\S)--?(?=\w)", "", flag) if flag else ""
            double = "-" if flag and flag.startswith("--") else ""
            macro = (
                f"Fl {double}{words}"
                if flag
                else f"Ar {argument}"
                if argument
                else f"Sx {section}"
                if section
                else f"Cm {literal}"
                if literal.isalnum()
                else f"Ql {escaped(literal)}"
            )
            after = PUNCTUATION.match(rest)
            yield f".{macro}" + (f" {' '.join(after[0])}" if after else "")
            rest = rest[after.end() :].lstrip() if after else rest.lstrip()


def value(metavar: str, kind_choices: tuple[str, ...]) -> str:
    """The macros of an option's value."""
    if kind_choices:
        return "Cm " + " | ".join(kind_choices)
    parts = re.split(r"(=|\||@)", metavar.lower())
    return "Ar " + "".join({"=": " Ns = Ns Ar ", "|": " | ", "@": "Pf @ Ar "}.get(part, part) for part in parts)


def item(short: str, long: str, operand: str) -> str:
    names = [f"Fl {short}"] if short else []
    return ".It " + " , ".join(f"{name} {operand}".rstrip() for name in [*names, f"Fl -{long}"])


def options(rows: list[Option], short: bool = False) -> Iterator[str]:
    """The items of a list of options; short ones say no more than --help does."""
    for row in rows:
        operand = "" if row.kind.is_flag else value(row.metavar, row.kind.choices)
        yield item(row.short, row.long, operand)
        yield from prose(brief(row.help, row.metavar) if short or not row.text else row.text)
        if row.kind.repeatable:
            yield "May be given more than once."
        if row.default is not None:
            yield f"The default is {default(row)}."


def default(row: Option) -> str:
    """A default as --help and the pages show it."""
    if not row.default:
        return "none"
    return plain.show_time(row.default) if isinstance(row.kind, plain.Seconds) else f"{row.default:g}"


def conditions() -> Iterator[str]:
    """The options of stop conditions as gen and map have them, in one paragraph."""
    rows = [*CONDITIONS, *SETTINGS]
    for row in rows:
        operand = f" Ar {row.metavar.lower()}" if row.metavar else ""
        yield f".Fl -until-{row.name}{operand} {',' if row is not rows[-1] else '.'}"


def until(rows: tuple[ConditionOption | Setting, ...]) -> Iterator[str]:
    """The items of options of until."""
    for row in rows:
        yield item(row.short, row.name, value(row.metavar, ()) if row.metavar else "")
        yield from prose(row.text or brief(row.help, row.metavar))
        if row.kind.repeatable:
            yield "May be given more than once."
        if getattr(row, "default", False):
            yield f"The default is {row.default}."


def brief(help: str, metavar: str) -> str:
    """The sentence of --help for a page: without the default, the argument's name marked, as the item has it."""
    help = re.sub(r" \([^)]*\)\.$", ".", help)
    for name in re.findall(r"\b[A-Z]+\b", metavar):
        help = re.sub(rf"\b{name}\b", f"*{name.lower()}*", help)
    return help


def providers() -> Iterator[str]:
    for name, row in PROVIDERS.items():
        yield f".It {name} Ta {row.api} Ta {row.model or 'none'}"


def addresses() -> Iterator[str]:
    for name, row in PROVIDERS.items():
        first, *others = [f"Ev {key}" for key in row.key_env] or ["none"]
        url = f"Ev {row.url_env}" if row.url_env else "none"
        yield f".It {name} Ta {first}{' ,' if others else ''} Ta {url}"
        for number, key in enumerate(others, 1):  # a line each, so that the table is not wider than a terminal
            yield f".It Ta {key}{' ,' if number < len(others) else ''} Ta"


ANNOTATIONS: dict[type[plain.Kind], str] = {
    plain.Flag: "bool",
    plain.Integer: "int",
    plain.Number: "float",
    plain.Seconds: "float | str",
    plain.Texts: "str | Sequence[str]",
    kinds.Files: "str | Sequence[str]",
    kinds.Schema: "Mapping[str, Any] | str | type[Any]",
    kinds.Items: "Sequence[Mapping[str, Any]] | str",
    kinds.Fields: "Mapping[str, Any]",
    kinds.Conditions: "UntilOptions | Mapping[str, object]",
}  # all others are strings


def typed() -> Iterator[str]:
    for row in at(PYTHON):
        annotation = ANNOTATIONS.get(type(row.kind), "str")
        if isinstance(row.kind, kinds.Callback):
            annotation = f"Callable[[{row.kind.argument}], object]"
        if row.name != "model":
            line = f"    {row.name}: {annotation} | None"
            yield line if len(line) + len(row.help) > 116 else f"{line}  # {row.help.replace('--', '')}"


ROW_GROUPS = (PROMPT, MODEL, ANSWER, NETWORK)
BLOCKS: dict[str, Callable[[], Iterator[str]]] = {
    "options": typed,
    **{f"{group.lower()} options": partial(options, at(COMMAND, group)) for group in ROW_GROUPS},
    **{f"{group.lower()} options, brief": partial(options, at(COMMAND, group), short=True) for group in ROW_GROUPS},
    "model option": lambda: options([OPTIONS["model"]], short=True),
    "conditions": conditions,
    "until conditions": lambda: until(CONDITIONS),
    "until settings": lambda: until(SETTINGS),
    "providers": providers,
    "addresses": addresses,
}


def files() -> list[Path]:
    """The files with blocks."""
    paths = [*sorted((ROOT / "man").rglob("*.[17]")), ROOT / "llmstream" / "api" / "options.py"]
    return [path for path in paths if MARK.search(path.read_text())]


def written(text: str) -> str:
    """The text with its blocks as they should be."""

    def block(match: re.Match[str]) -> str:
        indent, comment, name = match.groups()
        lines = "".join(f"{line}\n" for line in BLOCKS[name]())
        return f"{indent}{comment} begin: {name}\n{lines}{indent}{comment} end: {name}\n"

    return MARK.sub(block, text)


def stale() -> list[Path]:
    """The files with a stale block."""
    return [path for path in files() if written(path.read_text()) != path.read_text()]


def main() -> int:
    paths = stale()
    for path in paths:
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(written(path.read_text()))
    return int(bool(paths) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
