"""Hides secrets, such as keys, in what is shown or written to a file.

A secret of SHORTEST characters or more is hidden wherever it stands, within a longer word too. A shorter one, such as
the "ollama" that a local server is happy with, may be part of any text by chance: it is hidden only where a credential
stands, as a whole word.

A URL is shown without the user and the password in it, and without its query, which may hold a signature or a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import Error

if TYPE_CHECKING:
    from .secret_stream import SecretStream

HIDDEN = "[key]"
SHORTEST = 8  # characters
MAX_URL = 300  # characters of a URL that are shown
LONGEST_WORD = 16  # characters of a name with digits and small letters that is no key


class Secrets:
    """Secrets, and the ways to hide them."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = {value for value in values if value}
        self._long = sorted((value for value in self._values if len(value) >= SHORTEST), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Returns a text without the secrets."""
        if not self._long:
            return text
        stream = self.stream()
        data = text.encode("utf-8", "surrogatepass")
        return (stream.feed(data) + stream.close()).decode("utf-8", "surrogatepass")

    def hide_credential(self, text: str) -> str:
        """Returns a text that may be a credential, such as a header's value, without the secrets: short ones, too."""
        return " ".join(HIDDEN if word in self._values else word for word in self.hide(text).split(" "))

    def hide_values(self, value: Any) -> Any:
        """Returns a JSON value with the secrets hidden in all strings but the names."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            return {name: self.hide_values(item) for name, item in value.items()}
        return [self.hide_values(item) for item in value] if isinstance(value, list | tuple) else value

    def hide_in_error(self, error: Error, message: str = "") -> Error:
        """Returns the error without secrets, or another of its class; `message` replaces its own."""
        message = self.hide(message or error.message)
        if message == error.message:
            return error
        hidden = type(error)(message, max_retries=error.max_retries, hint=error.hint)
        hidden.http_status = error.http_status
        return hidden

    def stream(self) -> SecretStream:
        """Returns what hides the secrets in bytes that arrive in chunks."""
        from .secret_stream import SecretStream

        return SecretStream([value.encode() for value in self._long], HIDDEN.encode())


def looks_like_key(text: str) -> bool:
    """Returns whether a text that stands where a name is expected may be a key itself, which no message may show."""
    has_both = re.search("[0-9]", text) and re.search("[a-z]", text)
    return bool(len(text) > LONGEST_WORD and has_both and re.fullmatch(r"[\w+=.-]+", text, re.ASCII))


def is_variable(text: str) -> bool:
    """Returns whether a text is the name of an environment variable, and not a key in its place."""
    return bool(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", text)) and not looks_like_key(text)


def show_url(url: str) -> str:
    """Returns a URL, or a part of one, as it may be shown: without user, password and query, and not too long."""
    scheme, user, rest = _split(url)
    if any(character in user for character in "/?#"):  # nothing says for certain where the host begins
        return f"{scheme}[hidden]"
    shown = scheme + rest.partition("?")[0].partition("#")[0]
    return shown if len(shown) <= MAX_URL else f"{shown[: MAX_URL - 3]}..."


def url_secrets(url: str) -> list[str]:
    """Returns what is secret in a URL: user and password, as they stand, unescaped and, if malformed, in pieces."""
    _, user, _ = _split(url)
    if not user:
        return []
    password = user.partition(":")[2] or user
    unescaped = re.sub("%([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), password)
    return [url, user, password, unescaped, *password.replace("/", "#").replace("?", "#").split("#")]


def _split(url: str) -> tuple[str, str, str]:
    """Returns the scheme with its ://, user and password, and the rest of a URL.

    A password may hold a / ? or # that should be escaped. So it extends to the last @, where a : or an @ comes before.
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    end = next((i for i, character in enumerate(rest) if character in "/?#"), len(rest))
    if "@" in rest[end:] and (":" in rest[:end] or "@" in rest[:end]):
        end = len(rest)
    user, at, _ = rest[:end].rpartition("@")
    return scheme + separator, user, rest[len(user + at) :]
