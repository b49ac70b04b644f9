"""Turns names of files into prompts: the content of each file, or a template that it fills."""

from __future__ import annotations

import os

from .. import inputs
from ..errors import UsageError
from ..request.prompt import MAX_PROMPT_BYTES
from .file_template import FileTemplate
from .rows import Row, Rows
from .template import Template

NAME = "name"  # the field of each file beside its content


class FileRows(Rows):
    """Makes rows of records that are files' names. `undecodable` counts the files with invalid UTF-8.

    A row's id is the file's name. The content follows a template without a place for it. Raises UsageError for a
    template with a field that files do not have.
    """

    def __init__(self, template: Template | FileTemplate | None, keeps_input: bool = False) -> None:
        super().__init__(False, None, keeps_input)
        if template and (names := template.names - {NAME}):
            raise UsageError(f"a file has no field {min(names)}: {{}} is its content, and {{{NAME}}} is its name")
        self._of_file = template or Template("{}")

    def row(self, record: bytes) -> Row | None:
        """Returns the row of the file, which is read now, or None for a blank record. An error names the line."""
        self._line += 1
        if not record.strip():
            return None
        index = self._index
        self._index += 1
        name = record.decode("utf-8", "replace")
        row = Row(index, name, "", {}, line=self._line, input=name if self._keeps_input else None)
        try:
            data = inputs.read_file(os.fsdecode(record), limit=MAX_PROMPT_BYTES, only_regular=True)
            text = self._decode(data.removeprefix(b"\xef\xbb\xbf"))
            text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
            if not text.strip():
                raise UsageError(f"{name} is empty")
            prompt = self._of_file.fill(text, {NAME: name})
        except UsageError as error:
            return row._replace(error=self._at_line(error))
        return row._replace(prompt=prompt if self._of_file.has_prompt else f"{prompt}\n\n{text}")
