"""Names of the package's modules for tests that compare what is loaded: a name without a module fails."""

from __future__ import annotations

from importlib.util import find_spec


def existing(*names: str) -> set[str]:
    """Returns `llmstream.NAME` of each name. Raises ModuleNotFoundError where there is no such module."""
    found = {f"llmstream.{name}" for name in names}
    missing = sorted(name for name in found if find_spec(name) is None)
    if missing:
        raise ModuleNotFoundError(f"a test names modules that do not exist: {', '.join(missing)}")
    return found
