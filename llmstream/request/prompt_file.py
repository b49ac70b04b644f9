"""Prompt files: a prompt with places to fill, and before it, between lines of +++, what to ask with.

A file is as good as a script, and may be one: its first line may be `#!/usr/bin/env -S llmstream gen -f`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from .. import stdio
from ..config.textfile import read_text
from ..config.toml import Document, kind
from ..errors import UsageError, nearest
from . import prompt as prompts

FENCE = "+++"
PLACE = re.compile(
    r"(\\?)\{\{[ \t]*([A-Za-z_][\w-]*)[ \t]*\}\}"
)  # any other braces are text; a backslash makes these so
STDIN, OPERANDS = "stdin", "args"  # places that the command line fills


class PromptFile:
    """A prompt file. Raises UsageError, which names file and line, where its head does not parse.

    `head` is the document between the fences; `folder` is where relative paths in it start.
    """

    def __init__(self, path: str, command: str) -> None:
        self._command = command
        self.from_stdin = path == "-"
        self.path = "stdin" if self.from_stdin else path
        self.folder = os.path.dirname(os.path.abspath(path))
        lines = [line.removesuffix("\r") for line in self._read(path).split("\n")]
        begin = 1 if lines[0].startswith("#!") else 0
        head, end = "", begin
        if begin < len(lines) and lines[begin].rstrip() == FENCE:
            end = next((n for n, line in enumerate(lines) if n > begin and line.rstrip() == FENCE), 0)
            if not end:
                raise UsageError(f"{self.path}:{begin + 1}: the head is not closed: end it with a line {FENCE}")
            head, begin, end = "\n".join([*lines[begin + 1 : end], ""]), begin + 1, end + 1
        self.head = Document(head, self.path, begin + 1)
        self._first = end + 1  # line of the file at which the body begins
        self._body = "\n".join(lines[end:])
        self._defaults = self._variables()

    def prompt(self, operands: tuple[str, ...], no_stdin: bool, given: Mapping[str, str], required: bool = True) -> str:
        """The body, its places filled; after it, where they have no place, the operands, and stdin if it is data.

        What fills a place is not searched for places. Raises UsageError for a place that nothing fills, and for an
        empty prompt that is required.
        """
        for name in {STDIN, OPERANDS} & given.keys():
            raise UsageError(f"-v cannot set {name}: the command line fills {{{{{name}}}}}")
        places = {found[2] for found in PLACE.finditer(self._body) if not found[1]}
        for name in given:
            if name not in places:
                near = nearest(name, places)
                raise UsageError(
                    f"{self.path} has no {{{{{name}}}}}: {f'did you mean {near}?' if near else 'leave it out'}"
                )
        values = {**self._defaults, **given, OPERANDS: " ".join(operands)}
        if STDIN in places and not (no_stdin or self.from_stdin):
            values[STDIN] = prompts.read_stdin(self._command)
        parts = [PLACE.sub(lambda found: self._filled(found, values), self._body).strip("\n")]
        if OPERANDS not in places:
            parts.append(" ".join(operands))
        if not (no_stdin or self.from_stdin or STDIN in places) and prompts.is_data(stdio.STDIN):
            parts.append(prompts.read_stdin(self._command))
        text = "\n\n".join(part for part in parts if part)
        if not text.strip():
            if not required:
                return ""
            raise UsageError(f"{self.path}: the prompt is empty: write one below the head, or give operands")
        return text

    def _read(self, path: str) -> str:
        if self.from_stdin:
            return prompts.read_stdin(self._command)
        return read_text(path)

    def _variables(self) -> dict[str, str]:
        """The defaults of variables, as texts."""
        texts = {}
        for name, value in self.head.table(("vars",), self.head.data.get("vars", {})).items():
            if name in (STDIN, OPERANDS):
                raise self.head.error(("vars", name), f"this has no default: the command line fills {{{{{name}}}}}")
            if not isinstance(value, str | int | float):
                raise self.head.error(("vars", name), f"this is {kind(value)}: a string or a number is wanted")
            texts[name] = str(value).lower() if isinstance(value, bool) else str(value)
        return texts

    def _filled(self, found: re.Match[str], values: Mapping[str, Any]) -> str:
        escaped, name = found.groups()
        if escaped:
            return found[0][1:]
        if name not in values:
            line = self._first + self._body.count("\n", 0, found.start())
            how = "leave out -n, or what else reads stdin" if name == STDIN else f"give it with -v {name}=..."
            raise UsageError(f"{self.path}:{line}: nothing is said of {{{{{name}}}}}: {how}")
        return str(values[name])
