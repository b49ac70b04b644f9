"""What can go wrong, and the exit status that each kind carries (the contract with scripts).

Foreign exceptions are translated into these at the seam where they arise; the command line maps them to
statuses in one place. A message says what happened and, after a colon, what to do.
"""

from __future__ import annotations

from collections.abc import Iterable

UNLIMITED = 1000


class Error(Exception):
    """Base of all that a user can be told.

    `status` is the exit status, `meaning` the man page's words for it; `again` is how many times it is worth sending
    the same request again, `advice` lines of our own that follow the message.
    """

    status = 1
    description = ""
    again = 0

    def __init__(self, message: str, *, again: int | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if again is not None:
            self.again = again


class NotFound(Error):
    status = 1
    description = "nothing found: condition never met, no object, no such field, no code block"


class UsageError(Error):
    status = 2
    description = "usage or configuration: bad option, missing key, unreadable file"


class Refused(Error):
    status = 3
    description = "refused: the provider says no to this request; do not retry it as it is"


class Unavailable(Error):
    status = 4
    again = UNLIMITED
    description = "unavailable: DNS, connection, TLS, time-out, rate limit, overload; later may work"


class Incomplete(Error):
    status = 5
    description = "not whole: the stream was cut, a limit was hit, the input was malformed or the output failed"


class OutputFailed(Incomplete):
    """stdout could not be written, for another reason than a reader that left."""


class ReaderGone(Exception):
    """stdout's reader left. Not an error: the command stops quietly with the status that it had so far."""


class Signalled(BaseException):
    """A signal that ends the process; after clean-up it is raised again, by the signal itself."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


STATUSES: tuple[type[Error], ...] = (NotFound, UsageError, Refused, Unavailable, Incomplete)


def nearest(word: str, words: Iterable[str]) -> str:
    """The word that was meant, "" where none is near."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(words), 1, cutoff=0.7)), "")
