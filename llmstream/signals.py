"""Signals: INT, TERM and HUP end a command by an exception, and then by the signal itself.

The handler raises, so that a blocked read, write or poll ends at once. Inside libcurl, which would print and swallow an
exception from its callbacks, the signal is deferred until libcurl returns.

A second signal does not undo the clean-up after the first. Within REPEAT_S it is the same one again: `timeout` and
supervisors signal the process and then its group. Later it is that of a user who does not want to wait: it raises
again, which leaves out the step of the clean-up that takes long, and none that follows it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from .errors import Signalled

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REPEAT_S = 2.0  # after the first signal, in which further ones add nothing

deferring = False  # within SignalsDeferred, or what sets it as that does
pending = 0  # the signal that arrived there
_first_at = 0.0  # the time of the first signal that was raised, 0 before


def catch_signals() -> None:
    """Makes INT, TERM and HUP raise Signalled, unless they are ignored (nohup, background jobs)."""
    for signum in CAUGHT:
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, _on_signal)


def _on_signal(signum: int, frame: FrameType | None) -> None:
    global pending, _first_at
    now = time.monotonic()
    if _first_at and now - _first_at < REPEAT_S:
        return
    if deferring:
        pending = signum
        return
    _first_at = _first_at or now
    raise Signalled(signum)


class SignalsDeferred:
    """A context at whose end a signal that arrived within it is raised; of nested ones, at the end of the outermost."""

    def __enter__(self) -> None:
        global deferring
        self._is_inner = deferring
        deferring = True

    def __exit__(self, *exc: object) -> None:
        global deferring
        deferring = self._is_inner
        if pending and not deferring:
            raise_pending()


def raise_pending() -> None:
    """Raises the signal that was deferred."""
    global pending
    signum, pending = pending, 0
    _on_signal(signum, None)


CPU_INTERVAL_S = 0.02


def call_after_cpu_time(callback: Callable[[FrameType | None, float], object]) -> None:
    """Calls `callback(frame, seconds)` after each CPU_INTERVAL_S of CPU time, while the process runs.

    Each call interrupts the main thread, at `frame` and perhaps within C code that looks at signals, as `re` does; an
    exception is raised there, also within SignalsDeferred. `seconds` is the main thread's CPU time since the last call.
    An idle process is not woken.
    """
    last = time.thread_time()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.thread_time()
        seconds, last = now - last, now
        callback(frame, seconds)

    signal.signal(signal.SIGVTALRM, on_signal)
    signal.siginterrupt(signal.SIGVTALRM, False)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_INTERVAL_S, CPU_INTERVAL_S)


def restore_default() -> None:
    """Lets signals end the process at once, as what is left to do does not matter."""
    for signum in CAUGHT:
        if signal.getsignal(signum) == _on_signal:
            signal.signal(signum, signal.SIG_DFL)


def die_by(signum: int) -> None:
    """Ends the process by the signal, so that a shell sees it (130, 143, 129) and stops its own loop."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
