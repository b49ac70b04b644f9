"""What both searches for a regular expression share: the state, and what `re` raises, as sentences for the user."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ...errors import UsageError, option
from ..cpu_limit import STRIDE, Limited
from ..kinds import shorten
from .condition import Condition

M = TypeVar("M", bound=Callable[..., Any])
# What stands in a pattern and is no repetition, though it may look so: escapes, sets, the beginnings of groups.
_NO_REPETITION = re.compile(r"\\.|\[\^?\]?(?:\\.|[^]\\])*\]|\(\?P?", re.DOTALL)


class Regex(Condition, Limited):
    """Base of the searches for the `count`-th match of a pattern, each sought from the end of the one before.

    A match of more than `window` characters does not count. The buffer begins `context` characters before the first
    start that is not decided: for lookbehind, `\\b` and `^`.
    """

    def __init__(self, pattern: str, count: int, window: int, context: int) -> None:
        super().__init__()
        self.pattern = pattern
        self._left, self._window, self._context = count, window, context
        self._text = ""
        self._base = 0  # the offset of _text
        self._open = 0  # the first undecided start, in _text
        self._charged_from = 0  # the offset from which cpu_s counts
        self.cpu_s = 0.0  # last: from now on the time is limited

    @property
    def start(self) -> int:
        return self._base + self._open

    def _trim(self) -> None:
        cut = self._open - self._context
        if cut > 0:
            self._text = self._text[cut:]
            self._base += cut
            self._open -= cut

    def renew(self) -> None:
        if self._base + self._open - self._charged_from > STRIDE:
            self._charged_from = self._base + self._open
            self.cpu_s = 0.0

    def too_slow(self, limit_s: float) -> UsageError:
        return UsageError(
            f"the regular expression {shorten(self.pattern)!r} took more than {limit_s:g} s: it tries too many ways to "
            "match this text, often by a repetition within a repetition: write it without"
        )

    def _too_long(self) -> str:
        return f"ignored a match longer than {self._window} characters: {option('window', 'N')} allows more"


@contextmanager
def compiling(pattern: str) -> Iterator[None]:
    """Guards the compilation of a pattern, and silences warnings about sets that a later Python may read otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except re.error as error:
            where = "" if error.pos is None else f" at character {error.pos + 1}"
            raise UsageError(f"{pattern!r} is not a valid regular expression: {error.msg}{where}") from None
        except (RecursionError, OverflowError, MemoryError):
            raise UsageError(f"the regular expression is too large: {pattern[:40]!r}...") from None


def can_backtrack(pattern: str) -> bool:
    """Whether a pattern has a repetition, or alternatives in a group: without, it takes no time worth a limit.

    The pattern need not be valid.
    """
    bare = _NO_REPETITION.sub(lambda match: "(" if match[0].startswith("(") else "", pattern)
    return any(mark in bare for mark in "*+?{") or ("(" in bare and "|" in bare)


def empty_match(pattern: str) -> UsageError:
    """Returns the error for a pattern that matches the empty text, and so everywhere."""
    return UsageError(f"{pattern!r} matches the empty text, which is everywhere: use + instead of * or ?")


def refuse_lost_captures(method: M) -> M:
    """Decorates a method that matches `self.pattern`, and translates its SystemError.

    CPython up to 3.12 loses the captures of a few patterns with possessive repetition (its issue 106052).
    """

    @functools.wraps(method)
    def guarded(self: Any, /, *args: Any) -> Any:
        try:
            return method(self, *args)
        except SystemError:
            message = f"Python cannot follow the regular expression {self.pattern!r}: write * for *+, + for ++"
            raise UsageError(message) from None

    return guarded  # type: ignore[return-value]
