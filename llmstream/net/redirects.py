"""Follows the redirects of a request."""

from __future__ import annotations

MAX_REDIRECTS = 5


class Redirects:
    """The URL of a request, through at most MAX_REDIRECTS redirects.

    `same_origin` is for requests that carry a key: it is sent to no other host, port or scheme.
    """

    def __init__(self, url: str, *, same_origin: bool) -> None:
        self.url = url
        self._same_origin = same_origin
        self._count = 0

    @property
    def exhausted(self) -> bool:
        """Whether no further redirect is followed."""
        return self._count >= MAX_REDIRECTS

    def follow(self, location: str | None) -> bool:
        """Sets the URL to that of a Location header; returns False where the redirect is not followed."""
        from urllib.parse import urljoin, urlsplit

        if not location or not location.isascii() or self.exhausted:
            return False
        try:
            url = urljoin(self.url, location)
            old, new = urlsplit(self.url), urlsplit(url)
            if new.scheme not in ("http", "https") or not new.hostname or new.port == 0:
                return False
        except ValueError:  # half an IPv6 address, or a port that is none
            return False
        if self._same_origin and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            return False
        self._count += 1
        self.url = url
        return True
