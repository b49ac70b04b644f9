"""The page, put together from its files, and the headers that restrict it to them and to requests to this server.

Style and scripts stand in the page itself, so that it is one response, whose policy allows these very bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re

ASSETS = os.path.join(os.path.dirname(__file__), "assets")
LINK = re.compile(r'<link rel="stylesheet" href="([^"]+)">|<script src="([^"]+)"></script>')


def read() -> tuple[bytes, dict[str, str]]:
    """Returns the page and its headers. The Content-Security-Policy allows script and style by their hashes."""
    digests: dict[str, list[str]] = {"style": [], "script": []}

    def insert(match: re.Match[str]) -> str:
        tag, name = ("style", match[1]) if match[1] else ("script", match[2])
        content = _file(name)
        digests[tag].append(f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'")
        return f"<{tag}>{content}</{tag}>"

    body = LINK.sub(insert, _file("page.html")).encode()
    policy = [
        "default-src 'none'",
        f"script-src {' '.join(digests['script'])}",
        f"style-src {' '.join(digests['style'])}",
        "connect-src 'self'",
        "img-src data:",  # the icon
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no text becomes HTML or script, whatever the scripts do
        "trusted-types 'none'",
    ]
    return body, {
        "content-security-policy": "; ".join(policy),
        "cache-control": "no-cache",
        "etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def is_current(etags: str, headers: dict[str, str]) -> bool:
    """Whether the page is among those that a browser has, by the header If-None-Match (RFC 9110, 13.1.2)."""
    return headers["etag"] in (etag.strip().removeprefix("W/") for etag in etags.split(","))


def _file(name: str) -> str:
    with open(os.path.join(ASSETS, name), encoding="utf-8", newline="") as file:
        return file.read()
