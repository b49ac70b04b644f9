"""A limit of CPU time for work that a user's pattern can make endless.

The cores have no clock. A command's clock interrupts the program after each interval of CPU time and calls `charge`,
which finds out what is running from the stack. So the work itself pays nothing for its limit.
"""

from __future__ import annotations

from types import FrameType

from ..errors import Error, Unavailable

STRIDE = 64 * 1024  # characters of text for which the CPU time of a limit may be used


class Limited:
    """Base of objects whose methods may take any time. `cpu_s` is what they have taken since the last renewal.

    `limits` is how many times the limit they may take.
    """

    __slots__ = ("cpu_s",)
    cpu_s: float
    limits = 1

    def renew(self) -> None:
        """Sets `cpu_s` back where the work has come on since."""

    def too_slow(self, limit_s: float) -> Error:
        """Returns the error for work that takes longer than its limit."""
        raise NotImplementedError


def charge(frame: FrameType | None, seconds: float, limit_s: float) -> None:
    """Charges CPU time to the work at `frame`, if that is within limited work. Raises its error beyond the limit."""
    if work := _running(frame):
        _charge(work, seconds, limit_s)


class SharedLimit:
    """The CPU time of all limited work together, beside the limit of each: `most_s`, and `refill` more in each second.

    Work may use more than is left. Nothing is left then until the debt is refilled, and meanwhile work is ended that
    two calls in a row find running. All times are in seconds, those of the clock from any start.
    """

    def __init__(self, most_s: float, refill: float) -> None:
        self._most_s, self._refill = most_s, refill
        self._left_s, self._counted_at = most_s, 0.0
        self._last: Limited | None = None  # the work that the last call found running

    def left_s(self, now: float) -> float:
        """Returns the CPU time that is left, below 0 for a debt."""
        return min(self._most_s, self._left_s + self._refill * (now - self._counted_at))

    def charge(self, frame: FrameType | None, seconds: float, limit_s: float, now: float) -> None:
        """Charges CPU time as the function `charge` does, and to this limit. Raises Unavailable beyond this one."""
        work = _running(frame)
        last, self._last = self._last, work
        if work is None:
            return
        self._left_s, self._counted_at = self.left_s(now) - seconds, now
        _charge(work, seconds, limit_s)
        if work is last:
            self.check(now)

    def check(self, now: float) -> None:
        """Raises Unavailable if no CPU time is left."""
        if self.left_s(now) <= 0:
            raise Unavailable("regular expressions and checks have used their CPU time: try again later")


def _running(frame: FrameType | None) -> Limited | None:
    """Returns the limited work at `frame`, if there is any."""
    while frame is not None:
        work = frame.f_locals.get("self")
        if isinstance(work, Limited) and hasattr(work, "cpu_s"):  # else it is being made
            return work
        frame = frame.f_back
    return None


def _charge(work: Limited, seconds: float, limit_s: float) -> None:
    work.renew()
    work.cpu_s += seconds
    if work.cpu_s > limit_s * work.limits:
        raise work.too_slow(limit_s * work.limits)
