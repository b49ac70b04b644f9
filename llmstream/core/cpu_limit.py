"""A limit of CPU time for work that a user's pattern can make endless.

The cores have no clock. A command's clock interrupts the program after each interval of CPU time and calls `charge`,
which finds out what is running from the stack. So the work itself pays nothing for its limit.
"""

from __future__ import annotations

from types import FrameType

from ..errors import Error


class Limited:
    """Base of objects whose methods may take any time. `cpu_s` is what they have taken since the last renewal."""

    __slots__ = ("cpu_s",)
    cpu_s: float

    def renew(self) -> None:
        """Sets `cpu_s` back where the work has come on since."""

    def too_slow(self, limit_s: float) -> Error:
        """Returns the error for work that takes longer than its limit."""
        raise NotImplementedError


def charge(frame: FrameType | None, seconds: float, limit_s: float) -> None:
    """Charges CPU time to the work at `frame`, if that is within limited work. Raises its error beyond the limit."""
    while frame is not None:
        work = frame.f_locals.get("self")
        if isinstance(work, Limited) and hasattr(work, "cpu_s"):  # else it is being made
            work.renew()
            work.cpu_s += seconds
            if work.cpu_s > limit_s:
                raise work.too_slow(limit_s)
            return
        frame = frame.f_back
