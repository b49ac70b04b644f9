"""A prompt file as the template of records: its `{{name}}` are their fields."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import nearest, option
from ..request.prompt_file import OPERANDS, STDIN, PromptFile
from .numbers import to_text

PLACES = (STDIN, OPERANDS)  # of the record itself, which `gen` reads from stdin or gets as operands


class FileTemplate:
    """A prompt file that each record fills. A field counts before a variable, and that before the file's default.

    The record follows after an empty line where the file has no place for it. `has_fields`: the records are objects.
    Raises UsageError for a variable without a place, and for a place that no record can fill.
    """

    names: frozenset[str] = frozenset()  # those that no variable fills are checked here

    def __init__(self, file: PromptFile, variables: Mapping[str, str], has_fields: bool) -> None:
        file.check(variables)
        self._file, self._variables, self._has_fields = file, variables, has_fields
        self._places = {*PLACES, "prompt"} if has_fields else {*PLACES}
        if not has_fields:
            self.fill("", {})

    def fill(self, prompt: str | None, fields: Mapping[str, object]) -> str:
        """Returns the prompt for one record. Raises UsageError for a place that has no value."""
        values = {**self._file.defaults, **self._variables}
        if prompt is not None:
            values |= dict.fromkeys(PLACES, prompt)
        for name in self._file.places & fields.keys():
            value = fields[name]
            if value is not None and name not in PLACES:
                values[name] = value if isinstance(value, str) else to_text(value)

        def advice(name: str) -> str:
            if name in PLACES:
                return "add a field prompt"
            near = nearest(name, fields)
            field = f"use its field {near}" if near else f"add a field {name}"
            how = field if self._has_fields else f"read objects with {option('jsonl')}"
            return f"{how}, or set it with {option('var')}"

        text = self._file.fill(values, advice)
        return text if prompt is None or self._places & self._file.places else f"{text}\n\n{prompt}"
