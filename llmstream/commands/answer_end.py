"""The end of an answer of `llmstream gen`: its notes, and what --usage and --stats-file report, however it ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import stdio
from ..core import report
from .stats_file import StatsFile

if TYPE_CHECKING:
    from ..core.exchange import Exchange
    from ..net.generation import Generation
    from ..providers.target import Target
    from .gen_options import GenOptions

NAME = "gen"


class AnswerEnd:
    """Reports an answer. Raises UsageError where the file of the statistics cannot be opened."""

    def __init__(self, values: GenOptions) -> None:
        self._values = values
        self._stats = StatsFile(values.stats_file, NAME) if values.stats_file is not None else None

    def note_lacks(self, exchange: Exchange, chat_path: str | None) -> None:
        """Notes what the output does not show; `chat_path` is that of the conversation, if there is one."""
        finish = exchange.finish
        if exchange.tool_calls and chat_path is not None:
            stdio.note(NAME, f"the answer has tool calls, which wait for their results in {chat_path}")
        elif exchange.tool_calls and not (self._values.writes_events or self._values.line):
            stdio.note(NAME, "the answer has tool calls: --events shows them", stays=True)
        if finish and finish.reason == "length" and not exchange.characters and not exchange.tool_calls:
            text = "the answer has no text: the token limit was reached first, perhaps by reasoning: raise --max-tokens"
            stdio.note(NAME, text, stays=True)

    def report(
        self,
        generation: Generation,
        target: Target,
        earlier: Sequence[Exchange],
        status: int,
        reason: str,
        *,
        failed: bool = False,
    ) -> None:
        """Writes notes, the usage line and the statistics of an answer, and of the exchanges before it.

        `failed`: another error, the last line, ends the command. Raises OutputFailed.
        """
        exchange, now = generation.exchange, time.monotonic()
        if status:
            stdio.release_notes()
        for note in generation.notes:
            stdio.note(NAME, note, stays=True)
        if not self._values.usage and self._stats is None:
            return
        from ..config import prices

        provider, model = target.provider, target.model
        paid = provider if target.row.has_address else target.row.transport  # a recording has its provider's name
        cost = prices.cost(paid, model, report.total_usage([*earlier, exchange]), exchange.model)
        record = report.record(provider, model, exchange, now, status=status, reason=reason, cost=cost, earlier=earlier)
        if self._values.usage:
            stdio.note(NAME, report.line(record), stays=True)
        if self._stats is not None:
            self._stats.append(record, failed)
