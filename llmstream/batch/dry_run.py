"""What `map --dry-run` prints: the tokens and the cost of the first prompt and of all, by estimate."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from ..config import max_cost
from ..core.report import dollars
from ..errors import Error
from ..net.loop import Loop
from .journal import Entry
from .prompts import FIRST_OUTPUT_TOKENS, Job, Prompts

DONE = "done earlier"


class Amount(NamedTuple):
    """Tokens of prompts, and their price in US dollars, None where one is unknown."""

    input_tokens: int
    output_tokens: int
    usd: float | None

    def __str__(self) -> str:
        unit = "token" if self.input_tokens == 1 else "tokens"
        price = "price unknown" if self.usd is None else dollars(self.usd)
        return f"{self.input_tokens:,} {unit} in, {self.output_tokens:,} out, {price}"

    def plus(self, other: Amount) -> Amount:
        """Returns the sum."""
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Amount(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens, usd)


class DryRun:
    """Reads all prompts and sends none. `waiting` are those that a batch has; `tier` is that of the service.

    `failure` is the first one's that is wrong, `status` the worst of them.
    """

    def __init__(self, loop: Loop, prompts: Prompts, tier: str = "", waiting: Set[Entry] = frozenset()) -> None:
        self._tier, self._waiting = tier, waiting
        self._amounts = Amount(0, 0, 0.0)
        self._first: Amount | None = None
        self._count = self._earlier = self._queued = self._wrong = self.status = 0
        self.failure = ""
        for job in prompts.read(loop):
            self._add(job)

    def _add(self, job: Job) -> None:
        try:
            is_done = job.record or job.queued or not self._waiting.isdisjoint(job.entries)
            amount = None if is_done else _amount(job, self._tier)
        except Error as error:
            job.fail(error)
            amount = None
        if amount:
            self._count += 1
            self._first = self._first or amount
            self._amounts = self._amounts.plus(amount)
        elif job.earlier:
            self._earlier += 1
        elif not job.record:
            self._queued += 1
        else:
            self._wrong += 1
            self.status = max(self.status, job.record["error"]["status"])
            self.failure = self.failure or job.failure

    @property
    def usd(self) -> float:
        """What the prompts that would be sent may cost, in US dollars, 0 where a price is unknown."""
        return self._amounts.usd or 0.0

    def text(self, has_journal: bool) -> str:
        """Returns a line for the first prompt that would be sent, and one for all."""
        prompts = f"{self._count:,} prompt{'' if self._count == 1 else 's'}"
        counts = ((self._earlier, DONE), (self._queued, "queued earlier"), (self._wrong, "wrong"))
        others = [f"{count:,} {words}" for count, words in counts if count]
        if has_journal and not (self._earlier or self._queued):
            others.insert(0, f"0 {DONE}")
        lines = [f"first: {self._first}"] if self._first else []
        return "\n".join([*lines, f"all: {', '.join([prompts, *others])}, {self._amounts}", ""])


def _amount(job: Job, tier: str) -> Amount:
    """Estimates a prompt at the first of its models."""
    target, request = job.choices[0][:2]
    size = max_cost.size(target, request, tier)
    output_tokens = size.max_output or FIRST_OUTPUT_TOKENS
    return Amount(size.input_tokens, output_tokens, max_cost.cost(target, size, output_tokens))
