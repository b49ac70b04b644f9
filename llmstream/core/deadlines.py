"""The time limits of one response."""

from __future__ import annotations

from .timing import Timeouts, Timing


class Deadlines:
    """Tells when a response is late.

    `life` is when the last bytes arrived, and `frame` when the last frame that is no ping did. `is_suspended`: no
    request is sent yet, or reading is paused, so that only the limit of the whole answer runs.
    """

    __slots__ = ("_timeouts", "_timing", "frame", "is_suspended", "life")

    def __init__(self, timeouts: Timeouts, timing: Timing, now: float) -> None:
        self._timeouts, self._timing = timeouts, timing
        self.is_suspended = False
        self.restart(now)

    def restart(self, now: float) -> None:
        """Restarts all limits but that of the whole answer."""
        self.life = self.frame = now

    def progress(self, is_finished: bool) -> float | None:
        """Returns when something must have arrived, None for never; `is_finished`: at most a usage record follows."""
        if self.is_suspended:
            return None
        if is_finished:
            return self.frame + self._timeouts.grace
        limit = self._timeouts.first_token if self._timing.first is None else self._timeouts.stall
        return None if limit is None else self.life + limit

    def total(self) -> float | None:
        """Returns when the answer must be complete, None for never."""
        return None if self._timeouts.total is None else self._timing.started + self._timeouts.total

    def is_stalled(self, now: float) -> bool:
        """Whether no bytes have come for the time of the stall time-out."""
        stall = self._timeouts.stall
        return stall is not None and not self.is_suspended and now >= self.life + stall
