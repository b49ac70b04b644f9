"""The end of a run of `llmstream map`, of streams or of batches: what it reports, however it ends."""

from __future__ import annotations

import time

from .. import stdio
from ..batch.totals import Totals
from .map_options import MapOptions
from .stats_file import StatsFile

NAME = "map"


class RunEnd:
    """Writes the totals to stderr, and the line of --stats-file. Raises UsageError where that cannot be opened."""

    def __init__(self, totals: Totals, values: MapOptions) -> None:
        self._totals, self._usage = totals, values.usage
        self._shows_totals = values.usage or not values.quiet
        self._stats = StatsFile(values.stats_file, NAME) if values.stats_file is not None else None
        self._started = time.monotonic()

    def report(self, unfinished: int, throttled: int, *, failed: bool, shows_totals: bool = True) -> None:
        """Reports. `unfinished` counts prompts, `throttled` answers with status 429.

        `failed`: another error, the last line, ends the command. `shows_totals` is False where the line would count
        answers as done that are not written. Raises OutputFailed.
        """
        totals, seconds = self._totals, time.monotonic() - self._started
        if totals.status:
            stdio.release_notes()
        if shows_totals and self._shows_totals:
            stdio.note(NAME, totals.summary(seconds, unfinished, priced=self._usage), stays=self._usage)
        if shows_totals and totals.failure:
            stdio.note(NAME, f"{'1 prompt' if totals.failed == 1 else 'the first'} failed: {totals.failure}")
        if self._usage:
            stdio.note(NAME, totals.times(throttled), stays=True)
        if self._stats:
            self._stats.append(totals.record(seconds, unfinished, throttled), failed)
