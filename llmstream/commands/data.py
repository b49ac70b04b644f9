"""Files that come with the package: within it where it is installed, beside it in a checkout."""

from __future__ import annotations

import os

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def find(folder: str, name: str) -> str | None:
    """Returns the path of a file of the package's or the checkout's folder, or None where it has no such file."""
    if os.path.basename(name) != name:
        return None
    paths = (os.path.join(parent, folder, name) for parent in (PACKAGE, os.path.dirname(PACKAGE)))
    return next(filter(os.path.isfile, paths), None)
