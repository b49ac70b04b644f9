"""What `re` raises for a pattern, as sentences for the user."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ...errors import UsageError, option

M = TypeVar("M", bound=Callable[..., Any])


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


def too_long(window: int) -> str:
    """Returns the note on a match that was given up."""
    return f"a match longer than {window} characters was not waited for: {option('window', 'N')} allows more"


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
