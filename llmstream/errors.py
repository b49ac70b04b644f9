"""What can go wrong, and the exit status that each kind carries (the contract with scripts).

Foreign exceptions are translated into these at the seam where they arise; the command line maps them to
statuses in one place. A message says what happened and, after a colon, what to do.

A message names options without knowing the door that they came through, and each door spells them its own way:

    raise UsageError(f"no answer within 5 s ({option('timeout')}): add {option('api', 'chat')}")

`option` marks the name inside the text; `spell` replaces the marks. `str(error)` has the plain spelling ("timeout",
"api=chat"), which Python's callers, map's records and serve's clients read. The command line passes `error.message`
to `stdio.note`, which spells every note "--timeout", "--api chat". Code that builds a message from another error's
uses `error.message` as well, since `str(error)` has lost the marks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

UNLIMITED = 1000
OPTION_START, OPTION_END = "\x0e", "\x0f"  # control characters, which no message holds for itself
SHORT_OPTIONS = {"model": "-m", "options": "-o"}  # known best by these names


def option(name: str, value: object = "") -> str:
    """Marks an option in a message, with the value to give it, if any; `name` is the option table's."""
    return f"{OPTION_START}{plain(name, str(value))}{OPTION_END}"


def plain(name: str, value: str) -> str:
    """Spells an option for Python, records and clients: `max_tokens`, `api=chat`."""
    return f"{name}={value}" if value else name


def command_line(name: str, value: str) -> str:
    """Spells an option for the shell: `--max-tokens`, `--api chat`."""
    flag = SHORT_OPTIONS.get(name) or f"--{name.replace('_', '-')}"
    return f"{flag} {value}" if value else flag


def spell(message: str, style: Callable[[str, str], str] = plain) -> str:
    """Replaces the options marked in a message by `style(name, value)`, where a value of "" means the name alone."""
    before, *marked = message.split(OPTION_START)
    for part in marked:
        inside, _, after = part.partition(OPTION_END)
        name, _, value = inside.partition("=")
        before += style(name, value) + after
    return before


class Error(Exception):
    """Base of every error that is reported to the user.

    `message` has its options marked (see `option`), and `str(error)` has them plain. `status` is the exit status,
    `description` the man page's words for it; `max_retries` is how often the same request is worth sending
    again, `hint` lines of our own that follow the message.
    """

    status = 1
    description = ""
    max_retries = 0

    def __init__(self, message: str, *, max_retries: int | None = None, hint: str = "") -> None:
        super().__init__(spell(message))
        self.message = message
        self.hint = hint
        if max_retries is not None:
            self.max_retries = max_retries

    def __str__(self) -> str:
        return spell(self.message)


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
    max_retries = UNLIMITED
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
