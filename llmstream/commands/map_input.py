"""The prompts of `llmstream map`: what its options make of stdin."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .. import inputs, stdio
from ..batch.record_splitter import RecordSplitter
from ..batch.source import Source
from ..errors import UsageError, option
from ..net.loop import Loop
from ..request.prompt import SILENCE_S, join_words
from .map_options import MapOptions

if TYPE_CHECKING:
    from ..batch.file_template import FileTemplate
    from ..batch.rows import Rows
    from ..batch.template import Template

NAME = "map"


class MapInput:
    """The prompts on stdin, which `source` reads on `loop`. Raises UsageError for a wrong template."""

    def __init__(self, values: MapOptions) -> None:
        self._separator = b"\0" if values.null else b"\n"
        self._rows = _rows(values)
        self.loop = Loop()
        self.source = Source(self.loop, RecordSplitter(self._separator), self._rows)

    def note_oddities(self) -> None:
        """Notes what the prompts had that is not sent as it was, or that does not do what it may be meant to."""
        if count := self._rows.undecodable:
            prompts = "1 prompt is" if count == 1 else f"{count:,} prompts are"
            stdio.note(NAME, f"{prompts} not valid UTF-8: invalid bytes are replaced by U+FFFD", stays=True)
        if unset := self._rows.unset_options:
            parts = [
                f"{name} of line {n} is data: {option(name)} is for all records" for name, n in sorted(unset.items())
            ]
            stdio.note(NAME, "; ".join(parts))

    def explain_silence(self) -> None:
        """Notes that prompts are expected, and how they are separated, if stdin stays silent."""
        if os.isatty(stdio.STDIN):
            form = "one a line" if self._separator == b"\n" else "a NUL after each"
            inputs.explain_terminal(NAME, f"prompts, {form}")
            return

        def explain() -> None:
            if not self.source.has_read:
                stdio.note(NAME, "waiting for prompts on stdin")

        self.loop.call_at(self.loop.now() + SILENCE_S, explain)

    def count(self) -> int | None:
        """Returns the number of separators on stdin, about that of the prompts; None if stdin is no file."""
        import stat

        try:
            if not stat.S_ISREG(os.fstat(stdio.STDIN).st_mode) or not os.isatty(stdio.STDERR):
                return None
            position, records = os.lseek(stdio.STDIN, 0, os.SEEK_CUR), 0
            while chunk := os.pread(stdio.STDIN, 1 << 20, position):
                position += len(chunk)
                records += chunk.count(self._separator)
        except OSError:
            return None
        return records


def _rows(values: MapOptions) -> Rows:
    template = _template(values)
    if values.files:
        from ..batch.file_rows import FileRows

        return FileRows(template, values.has_input)
    from ..batch.rows import Rows

    return Rows(values.jsonl, template, values.has_input)


def _template(values: MapOptions) -> Template | FileTemplate | None:
    """Returns the template of all prompts, None where there is none."""
    operand = values.template
    if values.file:
        if operand is not None:
            raise UsageError(f"{values.file.path} is the template: leave {operand} out")
        if values.file.from_stdin:
            raise UsageError("stdin has the prompts, so -f cannot read it: name a file")
        from ..batch.file_template import FileTemplate

        fields = None if values.jsonl else ["name"] if values.files else []
        return FileTemplate(values.file, values.variables, fields)
    if operand is None:
        return None
    from ..batch.template import Template

    if os.path.isfile(operand):
        stdio.note(NAME, f"{operand} is a file, but its name is the template here: < {operand} reads prompts from it")
    return Template(join_words(NAME, (operand,)))
