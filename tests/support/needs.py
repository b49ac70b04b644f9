"""What a test needs beyond the package: it is skipped where that is missing, with what to install as the reason."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest


def has(module: str) -> bool:
    """Says whether a module could be imported, without importing it."""
    return find_spec(module.partition(".")[0]) is not None and find_spec(module) is not None


def package(module: str, extra: str) -> pytest.MarkDecorator:
    """Skips where a module is missing that an extra of this project brings."""
    return pytest.mark.skipif(not has(module), reason=f"{module} is not installed: pip install '.[{extra}]'")


def program(name: str, *others: str, debian: str = "") -> pytest.MarkDecorator:
    """Skips where neither the program nor one of the others is installed; `debian` names its package there."""
    installed = any(map(shutil.which, (name, *others)))
    return pytest.mark.skipif(not installed, reason=f"{name} is not installed: apt install {debian or name}")
