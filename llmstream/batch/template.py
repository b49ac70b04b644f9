"""A prompt with places that each record fills: `{}` for the record itself, `{name}` for a field of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UsageError, nearest

# Any other brace is text; a backslash makes any brace text, and goes.
PLACE = re.compile(r"\\\{|\{([\w-]+(?:\.[\w-]+)*)?\}")
ESCAPED = "\\{"

to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Template:
    """A template without any place gets one: the record follows after an empty line.

    `names` are the fields that it uses, as they stand between the braces; `whole`: it uses the record itself.
    """

    def __init__(self, text: str) -> None:
        places = [found[1] for found in PLACE.finditer(text) if found[0] != ESCAPED]
        if not places:
            text, places = f"{text}\n\n{{}}" if text else "{}", [None]
        self._text = text
        self.names = {name for name in places if name}
        self.whole = None in places

    def fill(self, prompt: str | None, fields: Mapping[str, object]) -> str:
        """The text for one record. What fills a place is not searched for places.

        A string goes in as it is, any other value as JSON; a dot leads into an object. Raises UsageError for a place
        that nothing fills.
        """

        def fill(found: re.Match[str]) -> str:
            if found[0] == ESCAPED:
                return "{"
            if name := found[1]:
                value = _find(name, fields)
                return value if isinstance(value, str) else to_json(value)
            if prompt is None:
                raise _missing("prompt", fields, "give one, or name the field to use as {name}")
            return prompt

        return PLACE.sub(fill, self._text)


def _find(name: str, fields: Mapping[str, object]) -> object:
    value: Any = fields
    above = ""
    for part in name.split("."):
        known = value if isinstance(value, Mapping) else ()
        if part not in known:
            raise _missing(name, [above + key for key in known], f"\\{{{name}}} would be text")
        value = value[part]
        above += f"{part}."
    return value


def _missing(name: str, known: Iterable[str], hint: str) -> UsageError:
    near = nearest(name, known)
    return UsageError(f"there is no field {name}: {f'did you mean {near}?' if near else hint}")
