"""What to write so that a terminal shows finished rows, and below them a draft, which is drawn anew as it changes.

The cursor always rests at the beginning of the draft. So the draft is erased with one sequence, whatever became of its
rows: where the window is resized, or where another process has written there, nothing above it is lost or drawn twice.
The draft is never higher than the screen, and none of it scrolls away: what has scrolled away is finished, once.

Rows of the draft are not wrapped by the terminal, so that one row here is one row there, even where the two disagree
about the width of a character. Finished rows may be: long lines of code are copied in one piece.
"""

from __future__ import annotations

ERASE_BELOW, ERASE_LINE = "\x1b[J", "\x1b[K"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"  # the cursor
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"  # what is written between appears at once, where terminals know it
NEXT = "\r\n"


class Screen:
    """Knows the draft that is on the screen."""

    def __init__(self) -> None:
        self._draft: list[str] = []
        self._is_hidden = False

    def update(self, finished: list[str], draft: list[str]) -> str:
        """Returns what adds finished rows above the draft, and replaces the draft."""
        if not finished and draft == self._draft:
            return ""
        out = [BEGIN]
        if finished:
            out += [self._erase(), *[f"{row}{NEXT}" for row in finished]]
        if draft and not self._is_hidden:
            out.append(HIDE)
            self._is_hidden = True
        out += [self._replace(draft), END, "\r"]
        return "".join(out)

    def _replace(self, draft: list[str]) -> str:
        """Returns what draws a draft over the one on the screen, from the first row that differs on."""
        old, self._draft = self._draft, draft
        same = _common(old, draft)
        rows = draft[same:]
        down = _move(same - 1, "B") + NEXT if same and same == len(old) else _move(same, "B")
        erase = ERASE_BELOW if len(draft) < len(old) else ""
        if not rows:
            return f"{down}{erase}{_move(same, 'A')}"
        end = ERASE_LINE if old and not erase else ""
        drawn = NEXT.join(f"{row}{end}" for row in rows)
        return f"{down}{erase}{NO_WRAP}{drawn}{WRAP}\r{_move(len(draft) - 1, 'A')}"

    def _erase(self) -> str:
        """Returns what erases the draft."""
        was_drawn, self._draft = bool(self._draft), []
        return f"\r{ERASE_BELOW}" if was_drawn else ""

    def clear(self) -> str:
        """Returns what takes the draft off the screen, before something else is written there."""
        show, self._is_hidden = SHOW if self._is_hidden else "", False
        out = self._erase() + show
        return f"{out}\r" if out else ""

    def close(self, finished: list[str]) -> str:
        """Returns what draws the last rows in place of the draft."""
        return self.clear() + "".join(f"{row}{NEXT}" for row in finished)


def _common(old: list[str], new: list[str]) -> int:
    """Returns the number of rows that both begin with."""
    for number, (a, b) in enumerate(zip(old, new, strict=False)):
        if a != b:
            return number
    return min(len(old), len(new))


def _move(rows: int, direction: str) -> str:
    """Returns what moves the cursor up (A) or down (B)."""
    return f"\x1b[{rows}{direction}" if rows else ""
