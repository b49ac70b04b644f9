"""A prompt file as the template of records: its `{{name}}` are their fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..errors import nearest, option
from ..request.prompt_file import OPERANDS, STDIN, PromptFile
from .numbers import to_text

PLACES = (STDIN, OPERANDS)  # of the record itself, which `gen` reads from stdin or gets as operands


class FileTemplate:
    """A prompt file that each record fills. A field counts before a variable, and that before the header's default.

    The record follows after an empty line where the file has no place for it. `fields` are those that all records
    have, None where each has its own.
    Raises UsageError for a variable without a place, and for a place that no record can fill.
    """

    names: frozenset[str] = frozenset()  # the places that no field fills are checked here
    has_prompt = True

    def __init__(self, file: PromptFile, variables: Mapping[str, str], fields: Collection[str] | None) -> None:
        file.check(variables)
        self.fields = file.places
        self._file, self._variables, self._has_own = file, variables, fields is None
        self._places = {*PLACES, "prompt"} if fields is None else {*PLACES}
        if fields is not None:
            self.fill("", dict.fromkeys(fields, ""))

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
            how = field if self._has_own else f"read objects with {option('jsonl')}"
            return f"{how}, or set it with {option('var')}"

        text = self._file.fill(values, advice)
        return text if prompt is None or self._places & self._file.places else f"{text}\n\n{prompt}"
