"""The page, and the headers that restrict it to its own script and style and to requests to this server."""

from __future__ import annotations

import base64
import hashlib
import os
import re

PATH = os.path.join(os.path.dirname(__file__), "page.html")


def read() -> tuple[bytes, dict[str, str]]:
    """Returns the page and its headers. The Content-Security-Policy allows script and style by their hashes."""
    with open(PATH, encoding="utf-8") as file:
        text = file.read()
    policy = [
        "default-src 'none'",
        f"script-src {_hashes('script', text)}",
        f"style-src {_hashes('style', text)}",
        "connect-src 'self'",
        "img-src data:",  # the icon
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return text.encode(), {
        "content-security-policy": "; ".join(policy),
        "cache-control": "no-cache",
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def _hashes(tag: str, text: str) -> str:
    contents = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
