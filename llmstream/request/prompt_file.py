"""Prompt files: a template with `{{placeholders}}`, after an optional TOML header between lines of +++.

A file can be a command: its first line may be `#!/usr/bin/env -S llmstream gen -f`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

from .. import stdio
from ..config.textfile import read_text
from ..config.toml import Document, kind
from ..errors import UsageError, nearest, option
from ..inputs import Input
from . import prompt as prompts

FENCE = "+++"
PLACEHOLDER = re.compile(
    r"(\\?)\{\{[ \t]*([A-Za-z_][\w-]*)[ \t]*\}\}"
)  # other braces are text; a backslash makes these text
STDIN, OPERANDS = "stdin", "args"  # placeholders that the command line fills


class PromptFile:
    """A prompt file. Raises UsageError, with file and line, for an invalid header.

    `head` is the document of the header; relative paths in it start at `folder`. `places` are the names of the
    placeholders, and `defaults` the values that the header gives to some.
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
                raise UsageError(f"{self.path}:{begin + 1}: the header is not closed: end it with a line {FENCE}")
            head, begin, end = "\n".join([*lines[begin + 1 : end], ""]), begin + 1, end + 1
        self.head = Document(head, self.path, begin + 1)
        self._first = end + 1  # line of the file at which the body begins
        self._body = "\n".join(lines[end:])
        self.places = {match[2] for match in PLACEHOLDER.finditer(self._body) if not match[1]}
        self.defaults = self._variables()

    def prompt(
        self,
        operands: tuple[str, ...],
        no_stdin: bool,
        variables: Mapping[str, str],
        required: bool = True,
        source: Input | None = None,
    ) -> str:
        """Returns the body with its placeholders filled; operands and stdin without a placeholder follow it.

        Values are not searched for placeholders. `source` is stdin, as for `prompt.read`. Raises UsageError for a
        placeholder without a value, for a variable without a placeholder, and for an empty prompt that is required.
        """
        self.check(variables)
        placeholders = self.places
        operands, _ = prompts.split_stdin(operands)  # stdin is read where it has data, or has a placeholder
        prompts.note_files(self._command, operands)
        words = prompts.join_words(self._command, operands)
        values = {**self.defaults, **variables, OPERANDS: words}
        advice = f"leave out {option('no_stdin')}, or the option that reads stdin"
        if STDIN in placeholders and not (no_stdin or self.from_stdin):
            piped = prompts.read_stdin(self._command, source=source)
            if piped or not prompts.is_empty_data():
                values[STDIN] = piped
            else:
                advice = f"{prompts.EMPTY}: has the program before it failed?"
        parts = [self.fill(values, lambda name: advice if name == STDIN else f"pass {option('var', f'{name}=...')}")]
        if OPERANDS not in placeholders:
            parts.append(words)
        if not (no_stdin or self.from_stdin or STDIN in placeholders) and prompts.is_data(stdio.STDIN):
            parts.append(piped := prompts.read_stdin(self._command, source=source))
            if not piped and prompts.is_empty_data():
                operands_too = " and the operands" if words else ""
                stdio.note(self._command, f"{prompts.EMPTY}: the prompt is only {self.path}{operands_too}")
        text = "\n\n".join(part for part in parts if part)
        if not text.strip():
            if not required:
                return ""
            raise UsageError(f"{self.path}: the prompt is empty: write one below the header, or pass operands")
        return text

    def check(self, variables: Mapping[str, str]) -> None:
        """Raises UsageError for a variable that cannot be set, or has no placeholder."""
        for name in {STDIN, OPERANDS} & variables.keys():
            raise UsageError(f"{option('var')} cannot set {name}: the command line fills {{{{{name}}}}}")
        for name in variables:
            if name not in self.places:
                near = nearest(name, self.places)
                raise UsageError(
                    f"{self.path} has no {{{{{name}}}}}: {f'did you mean {near}?' if near else 'leave it out'}"
                )

    def fill(self, values: Mapping[str, str], advice: Callable[[str], str]) -> str:
        """Returns the body with its placeholders filled, without empty lines around it.

        Values are not searched for placeholders. Raises UsageError for one without a value; `advice` returns what to
        do about it.
        """

        def value_of(match: re.Match[str]) -> str:
            escaped, name = match.groups()
            if escaped:
                return match[0][1:]
            if name not in values:
                line = self._first + self._body.count("\n", 0, match.start())
                raise UsageError(f"{self.path}:{line}: {{{{{name}}}}} has no value: {advice(name)}")
            return values[name]

        return PLACEHOLDER.sub(value_of, self._body).strip("\n")

    def _read(self, path: str) -> str:
        if self.from_stdin:
            return prompts.read_stdin(self._command)
        return read_text(path)

    def _variables(self) -> dict[str, str]:
        """Returns the defaults of variables, as text."""
        texts = {}
        for name, value in self.head.table(("vars",), self.head.data.get("vars", {})).items():
            if name in (STDIN, OPERANDS):
                raise self.head.error(("vars", name), f"cannot have a default: the command line fills {{{{{name}}}}}")
            if not isinstance(value, str | int | float):
                raise self.head.error(("vars", name), f"must be a string or a number, not {kind(value)}")
            texts[name] = str(value).lower() if isinstance(value, bool) else str(value)
        return texts
