"""Shows the progress of a run: a line on the terminal that is redrawn.

tqdm draws: it fits the line to the width, clears it, and estimates the time left. It is imported at the first draw,
and only on a terminal, because the import takes 60 ms.

A reader of stdout, such as jq, may write to the same terminal: the line gives way to what it writes. It is cleared
before each write to stdout, and drawn again after a moment without one, on a line of its own.
"""

from __future__ import annotations

import os
import sys
from math import inf
from typing import Any

from .. import stdio, terminal
from ..core.report import dollars

REDRAW_S = 0.1
QUIET_S = 0.2  # after other output, for which a reader of stdout may have more to write
MAX_QUIET_S = 1.0  # after other output, for a reader that has not read all of it
SMOOTHING = 0.1  # of the time left, over about twenty draws: the answers of an earlier run come all at once


class Progress:
    """The progress line on stderr, without colours; `total` is the number of prompts, None where it is unknown."""

    def __init__(self, total: int | None, quiet: bool) -> None:
        self._total = total
        self.shown = not quiet and os.environ.get("TERM", "") not in ("", "dumb") and os.isatty(stdio.STDERR)
        self._bar: Any = None
        self._on_screen = False
        self._gives_way, self._gave_way_at = False, -inf  # since the last draw there was other output; when
        self._started = self._due = -inf
        self._first_tokens = 0  # at the first draw

    def update(
        self, done: int, failed: int, running: int, tokens: int, cost: float | None, now: float, waits_for: str = ""
    ) -> None:
        """Draws, at most once in REDRAW_S. `cost` is in US dollars, `now` in seconds of any clock.

        `waits_for` is why no more prompts are sent, "" where they are.
        """
        if not self.due(now):
            return
        self._due = now + REDRAW_S
        if self._bar is None:
            self._started, self._first_tokens = now, tokens
        parts = [f"{done:,} done" if self._total is None else f"{done:,}/{self._total:,}"]
        parts += [f"{failed:,} failed"] if failed else []
        parts += [f"{running:,} running", f"{_short(tokens)} tokens"]
        if seconds := now - self._started:
            parts.append(f"{_short((tokens - self._first_tokens) / seconds)}/s")
        parts += [] if cost is None else [dollars(cost)]
        parts += [f"waits: {waits_for}"] if waits_for else []
        text = ", ".join(parts)
        if self._gives_way and terminal.may_have_other_text():
            stdio.write_stderr(terminal.line_start())
        self._gives_way = False
        if self._bar is None:
            self._bar = _open(self._total, done + failed, text)
        else:
            self._bar.ncols = _width()
            self._bar.set_description_str(text, refresh=False)
            step = done + failed - self._bar.n
            if step:  # a step of 0 would spoil the estimate of the time left
                self._bar.update(step)
            else:
                self._bar.refresh()
        self._on_screen = True

    def due(self, now: float) -> bool:
        """Returns whether an update would draw."""
        if self._gives_way and self._gave_way_at == -inf:
            self._gave_way_at = now
        quiet_s = now - self._gave_way_at
        if self._gives_way and (quiet_s < QUIET_S or (quiet_s < MAX_QUIET_S and terminal.unread_bytes())):
            return False
        return self.shown and now >= self._due

    def hide(self) -> None:
        """Clears the line for other output; the next update draws again."""
        if self._on_screen:
            self._bar.clear()
            self._on_screen = False

    def give_way(self) -> None:
        """Clears the line for output, of which a reader may make more; it is drawn again after a moment without any."""
        self.hide()
        self._gives_way, self._gave_way_at = True, -inf

    def close(self) -> None:
        """Clears the line for good; later updates do nothing."""
        self.hide()
        self.shown = False


class _Terminal:
    """stderr as tqdm's file; failed writes are ignored."""

    encoding = getattr(sys.stderr, "encoding", "ascii")

    def write(self, text: str) -> None:
        """Writes; the cursor goes to the start of the line, where other output overwrites the progress."""
        stdio.write_stderr(text.encode(self.encoding) + b"\r")


def _open(total: int | None, finished: int, text: str) -> Any:
    from threading import RLock

    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread of tqdm's that draws
    tqdm.set_lock(RLock())  # tqdm's default is shared with other processes and costs a semaphore
    return tqdm(
        total=total,
        initial=finished,
        desc=text,
        bar_format="{elapsed}, {desc}" if total is None else "{percentage:3.0f}%|{bar}| {remaining} left, {desc}",
        file=_Terminal(),  # type: ignore[arg-type, unused-ignore]
        ncols=_width(),
        leave=False,
        mininterval=0,
        miniters=0,
        smoothing=SMOOTHING,
    )


def _width() -> int:
    """Returns the columns to fill, all but the last. tqdm's own choice cuts the end off where the terminal says 0."""
    return max(1, (terminal.columns(stdio.STDERR) or 80) - 1)


def _short(number: float) -> str:
    from tqdm import tqdm

    return f"{number:,.0f}" if number < 10_000 else tqdm.format_sizeof(number)
