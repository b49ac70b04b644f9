"""The prompts that are read and not sent yet. A prompt that waits for its provider does not delay those of others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .pace import Pace
from .prompts import Job, Prompts

MAX_WAITING = 1000  # prompts that wait for a pace


class Pending:
    """Returns the next job to try. Those of one pace keep their order.

    In a round, each pace is tried until it lets a job wait. `may_start(index)` says whether a prompt may be sent at
    all for now.
    """

    def __init__(self, prompts: Prompts, may_start: Callable[[int], bool]) -> None:
        self._prompts, self._may_start = prompts, may_start
        self._next: Job | None = None
        self._waiting: dict[Pace, deque[Job]] = {}
        self._blocked: set[Pace] = set()  # those that let a job wait in this round
        self._count = 0
        self._has_waited = False  # whether the job that was taken last did

    def __bool__(self) -> bool:
        return self._next is not None or self._count > 0

    def begin_round(self) -> None:
        """Begins a round: each pace is tried again."""
        self._blocked.clear()

    def take(self) -> Job | None:
        """Returns the next job to try in this round, None where there is none."""
        for pace, queue in self._waiting.items():
            if queue and pace not in self._blocked:
                self._count -= 1
                self._has_waited = True
                return queue.popleft()
        if self._next is None and self._count < MAX_WAITING:
            self._next = self._prompts.next()
        job = self._next
        if job is None or not self._may_start(job.row.index):
            return None
        self._next, self._has_waited = None, False
        return job

    def put_back(self, job: Job) -> None:
        """Takes back the job that was taken last, and could not be tried."""
        if self._has_waited:
            self._add(job)
        else:
            self._next = job

    def wait(self, job: Job) -> None:
        """Lets the job that was taken last wait for its pace."""
        self._add(job)
        self._blocked.add(job.pace)

    def _add(self, job: Job) -> None:
        queue = self._waiting.setdefault(job.pace, deque())
        (queue.appendleft if self._has_waited else queue.append)(job)
        self._count += 1

    def clear(self) -> None:
        """Drops all jobs."""
        self._next = None
        self._waiting.clear()
        self._count = 0
