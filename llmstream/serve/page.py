"""The page, and what its browser is told that it may do: nothing but itself, and requests to this server."""

from __future__ import annotations

import base64
import hashlib
import os
import re

PATH = os.path.join(os.path.dirname(__file__), "page.html")


def read() -> tuple[bytes, dict[str, str]]:
    """The page and its headers. Script and style are allowed by what they are, not by where they stand."""
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
    found = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode() for inner in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
