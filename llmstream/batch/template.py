"""Prompts with placeholders that each record fills: `{}` is the record itself, `{name}` a field of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.json_codec import to_compact_json
from ..errors import UsageError, nearest

# Any other brace is text. A backslash makes any opening brace text, and is removed.
PLACEHOLDER = re.compile(r"\\\{|\{([\w-]+(?:\.[\w-]+)*)?\}")
ESCAPED_BRACE = "\\{"


class Template:
    """A prompt's template; `names` are the fields that it uses, as they stand between the braces.

    Without any placeholder in it the record follows after an empty line.
    """

    def __init__(self, text: str) -> None:
        placeholders = [match[1] for match in PLACEHOLDER.finditer(text) if match[0] != ESCAPED_BRACE]
        if not placeholders:
            text = f"{text}\n\n{{}}" if text else "{}"
        self._text = text
        self.names = {name for name in placeholders if name}

    def fill(self, prompt: str | None, fields: Mapping[str, object]) -> str:
        """Returns the prompt for one record. Values are not searched for placeholders.

        A string goes in as it is, any other value as JSON; a dot leads into an object. Raises UsageError for a
        placeholder that has no value.
        """

        def value_of(match: re.Match[str]) -> str:
            if match[0] == ESCAPED_BRACE:
                return "{"
            if name := match[1]:
                value = _find(name, fields)
                return value if isinstance(value, str) else to_compact_json(value)
            if prompt is None:
                raise _missing("prompt", fields, "add one, or use another field by {name}")
            return prompt

        return PLACEHOLDER.sub(value_of, self._text)


def _find(name: str, fields: Mapping[str, object]) -> object:
    """Returns the value of a field, by its name with dots."""
    value: Any = fields
    prefix = ""
    for part in name.split("."):
        members = value if isinstance(value, Mapping) else ()
        if part not in members:
            raise _missing(name, [prefix + key for key in members], f"write \\{{{name}}} for the text {{{name}}}")
        value = value[part]
        prefix += f"{part}."
    return value


def _missing(name: str, names: Iterable[str], hint: str) -> UsageError:
    near = nearest(name, names)
    return UsageError(f"there is no field {name}: {f'did you mean {near}?' if near else hint}")
