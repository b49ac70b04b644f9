"""The errors that are reported to users, each with the exit status that scripts rely on.

Foreign exceptions are translated into these where they arise; the command line maps them to statuses in one place. A
message says what is wrong and, after a colon, what to do. `option` marks the options in it, which each door spells its
own way:

    raise UsageError(f"no answer within 5 s ({option('timeout')}): add {option('api', 'chat')}")

`str(error)` has the plain spelling ("timeout", "api=chat") for Python, records and HTTP. `error.message` has the marks:
`stdio.note` spells them as the shell does ("--timeout", "--api chat"), and messages built from others keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

UNLIMITED = 1000  # retries: more than any policy allows
OPTION_START, OPTION_END = "\x0e", "\x0f"  # control characters, which no message contains otherwise
SHORT_OPTIONS = {"model": "-m", "options": "-o", "no_stdin": "-n", "var": "-v"}  # by which users know these best


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


def followed(message: str, text: str) -> str:
    """Returns a message and what follows it, after a colon, or after the question mark that the message ends with."""
    return f"{message} {text}" if message.endswith("?") else f"{message}: {text}"


class Error(Exception):
    """Base of every error that is reported to the user.

    `message` has its options marked (see `option`); `str(error)` spells them plainly. `hint` is further lines that
    follow the message, "" for none. `status` is the exit status of the command line, and `description` what the man
    pages say of it. `max_retries` is how often the same request may be retried: 0 where a retry cannot help.
    `http_status` is that of the response which is the error, 0 where there was none or it does not matter.
    """

    status = 1
    description = ""
    max_retries = 0
    http_status = 0

    def __init__(self, message: str, *, max_retries: int | None = None, hint: str = "") -> None:
        super().__init__(spell(message))
        self.message = message
        self.hint = hint
        if max_retries is not None:
            self.max_retries = max_retries

    def __str__(self) -> str:
        return spell(self.message)


class NotFound(Error):
    """The input or the answer ended before what was looked for: a condition, an object, a field, a code block.

    Exit status 1. Raised at the end of the text, after all of it was passed on. A retry helps only where the model
    answers otherwise.
    """

    status = 1
    description = "nothing found: condition never met, no object, no such field, no code block"


class UsageError(Error):
    """The call or the configuration is wrong: an option, a missing key, an unreadable file, a model's name.

    Exit status 2. Raised before anything is sent, but where a file or an SDK's credentials turn out to be wrong later.
    A retry does not help: the message says what to change.
    """

    status = 2
    description = "usage or configuration: bad option, missing key, unreadable file"


class Refused(Error):
    """The provider or the model refuses this request: HTTP 4xx, no permission, no credit, a content filter.

    Exit status 3. Raised when the refusal arrives, which a content filter's may do after a part of the answer. A retry
    of the same request does not help.
    """

    status = 3
    description = "refused: the provider says no to this request; do not retry it as it is"


class BadRequest(Refused):
    """The provider finds a fault in the request itself: HTTP 400, 413 or 422, a prompt that is too long.

    Exit status 3, as of Refused. Another request may pass, with the same key and model.
    """


class Unavailable(Error):
    """The provider cannot be reached or cannot answer now: DNS, connection, TLS, time-out, rate limit, overload.

    Exit status 4. Raised before any output, once the retry policy gives up; after output the error is Incomplete. A
    later retry may help.
    """

    status = 4
    max_retries = UNLIMITED
    description = (
        "unavailable: DNS, connection, TLS, time-out, rate limit, overload; nothing was written, later may work"
    )


class Incomplete(Error):
    """The answer is not whole: the stream was cut, an error came after text, a length limit was reached, the provider
    ended it for a reason that llmstream does not know, or the input was malformed.

    Exit status 5. Raised after the output so far, which stays. A retry may help, and would begin the answer anew.
    """

    status = 5
    description = (
        "not whole: the stream was cut, an error came after text, a limit was hit, the input was malformed "
        "or the output failed"
    )


class OutputFailed(Incomplete):
    """stdout, or a file that a command writes, cannot be written: a full disk, for example.

    Exit status 5. A reader that leaves a pipe raises ReaderGone instead.
    """


class ReaderGone(Exception):
    """The reader of stdout has left. Not an error: the command stops quietly, with the status that it had so far."""


class Signalled(BaseException):
    """A signal that ends the process. After the clean-up the process ends by that signal (see `signals.die_by`)."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


STATUSES: tuple[type[Error], ...] = (NotFound, UsageError, Refused, Unavailable, Incomplete)


LEAST_PREFIX = 2  # characters of a word that may be the beginning of another


def nearest(word: str, words: Iterable[str]) -> str:
    """Returns the one of `words` that is meant, "" where none is close.

    It is the shortest that begins with the word, else the shortest with a part that does (`--tokens`, `--max-tokens`),
    else one of the same letters (`gne`, `gen`), else the most similar.
    """
    import difflib
    import re

    by_size, beginning = sorted(words, key=len), re.escape(word.lstrip("-"))
    if len(word.lstrip("-")) >= LEAST_PREFIX:
        for pattern in (f"-*{beginning}", rf".*[-_./]{beginning}"):
            if found := next((other for other in by_size if re.match(pattern, other)), ""):
                return found
    if same_letters := next((other for other in by_size if sorted(other) == sorted(word)), ""):
        return same_letters
    bare = {other.lstrip("-"): other for other in reversed(by_size)}
    return next((bare[near] for near in difflib.get_close_matches(word.lstrip("-"), bare, 1, cutoff=0.72)), "")
