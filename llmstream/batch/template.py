"""Prompts with placeholders that each record fills: `{}` is the record itself, `{name}` a field of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..core.kinds import shorten
from ..errors import UsageError, nearest
from .numbers import to_text

# A field's name: words with dots between them, or any text in brackets and quotes, as in user["first name"].
WORD = r"[\w-]+"
QUOTED = r"""\[(?:"[^"]*"|'[^']*')\]"""
# Any other brace is text. A backslash makes any opening brace text, and is removed.
PLACEHOLDER = re.compile(rf"\\\{{|\{{((?:{WORD}|{QUOTED})(?:\.{WORD}|{QUOTED})*)?\}}")
PART = re.compile(rf"\.?({WORD})|({QUOTED})")
ESCAPED_BRACE = "\\{"
LISTED_FIELDS = 8  # in a message


class Template:
    """A prompt's template; `names` are the fields that it uses, as they stand between the braces.

    `fields` are those without what leads into them. `has_prompt`: it has a place for the record itself. Without any
    placeholder the record follows after an empty line.
    """

    def __init__(self, text: str) -> None:
        placeholders = [match[1] for match in PLACEHOLDER.finditer(text) if match[0] != ESCAPED_BRACE]
        if not placeholders:
            text = f"{text}\n\n{{}}" if text else "{}"
        self._text = text
        self.names = {name for name in placeholders if name}
        self.fields = {match[1] or match[2][2:-2] for name in self.names if (match := PART.match(name))}
        self.has_prompt = not placeholders or None in placeholders

    def fill(self, prompt: str | None, fields: Mapping[str, object]) -> str:
        """Returns the prompt for one record. Values are not searched for placeholders.

        A string goes in as it is, any other value as JSON; a dot or brackets lead into an object. Raises UsageError for
        a placeholder that has no value.
        """

        def value_of(match: re.Match[str]) -> str:
            if match[0] == ESCAPED_BRACE:
                return "{"
            if name := match[1]:
                value = _find(name, fields)
                return value if isinstance(value, str) else to_text(value)
            if prompt is None:
                raise _missing_prompt(fields)
            return prompt

        return PLACEHOLDER.sub(value_of, self._text)


def _find(name: str, fields: Mapping[str, object]) -> object:
    """Returns the value of a field, by its name as it stands between the braces."""
    value: Any = fields
    prefix = ""
    for match in PART.finditer(name):
        part = match[1] or match[2][2:-2]
        members = value if isinstance(value, Mapping) else {}
        if part not in members:
            names = [prefix + _spelled(key, prefix) for key in members]
            if near := nearest(prefix + _spelled(part, prefix), names):
                raise UsageError(f"there is no field {name}: did you mean {near}?")
            raise UsageError(f"there is no field {name}{_only(names)}: write \\{{{name}}} for the text {{{name}}}")
        value = members[part]
        prefix += _spelled(part, prefix)
    return value


def _only(names: list[str]) -> str:
    """Returns what names the fields that there are: the first ones of many."""
    shown = [shorten(name) for name in names[:LISTED_FIELDS]]
    more = ["..."] if len(names) > LISTED_FIELDS else []
    return f", only {', '.join(shown + more)}" if names else ""


def _spelled(member: str, prefix: str) -> str:
    """Returns the name of an object's member as it stands in a placeholder, after the `prefix` there."""
    if re.fullmatch(WORD, member):
        return f".{member}" if prefix else member
    return f"['{member}']" if '"' in member else f'["{member}"]'


def _missing_prompt(fields: Mapping[str, object]) -> UsageError:
    how = "add one, or use another field by {name}"
    if "prompt" in fields:
        return UsageError(f"the field prompt is null: {how}")
    near = nearest("prompt", fields)
    return UsageError(f"there is no field prompt: {f'did you mean {near}?' if near else how}")
