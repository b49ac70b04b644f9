"""The house's floors: imports point down only, and the lower floors know nothing of the world.

Imports within functions count as well; those by a name that is made up at run time cannot be seen. What the package
itself names for type checkers only, its face, is no import: it loads them when they are asked for.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import llmstream

PACKAGE = Path(llmstream.__file__).parent

FLOORS = {  # the longest name that fits a module says its floor
    "__main__": 7,
    "cli": 7,
    "commands": 6,
    "serve": 5,
    "serve.generation": 6,
    "api": 6,
    "commands.stop_options": 5,
    "commands.types": 5,
    "batch": 5,
    "request": 4,
    "config": 4,
    "net": 3,
    "providers": 2,
    "dialects": 1,
    "core": 1,
    "errors": 0,
    "stdio": 0,
    "": 0,
}
WORLDLESS = ("core", "dialects")
WORLD = {
    *("os", "sys", "io", "pathlib", "shutil", "tempfile", "fcntl", "subprocess", "signal", "threading"),
    *("socket", "select", "selectors", "ssl", "http", "urllib", "asyncio", "pycurl", "openai", "anthropic"),
    *("time", "datetime", "random", "secrets", "uuid", "locale", "logging", "click"),
}
DEEDS = {"print", "open", "input", "breakpoint", "exit"}


def name_of(path: Path) -> str:
    """The module's name below the package: "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), path) for name, path in PATHS.items()}
TREES[""].body = [node for node in TREES[""].body if not isinstance(node, ast.If)]


def imports(name: str) -> tuple[set[str], set[str]]:
    """What a module imports: modules of the package, by their names below it, and all others."""
    own, other = set(), set()
    package = name.split(".") if PATHS[name].stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            other |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            other.add(node.module or "")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                module = ".".join([*base, alias.name])
                own.add(module if module in PATHS else ".".join(base))
    assert not any(module.partition(".")[0] == "llmstream" for module in other), "imports within are relative"
    return own - {name}, other


def floor(name: str) -> int:
    fitting = [prefix for prefix in FLOORS if f"{name}.".startswith(f"{prefix}.")]
    assert fitting or not name, f"{name} has no floor: give it one in FLOORS"
    return FLOORS[max(fitting, key=len)] if name else FLOORS[""]


@pytest.mark.parametrize("name", PATHS)
def test_imports_point_down(name):
    assert [module for module in imports(name)[0] if floor(module) > floor(name)] == []


def test_no_imports_in_circles():
    tuple(TopologicalSorter({name: imports(name)[0] for name in PATHS}).static_order())


@pytest.mark.parametrize("name", [name for name in PATHS if name.startswith(WORLDLESS)])
def test_cores_know_nothing_of_the_world(name):
    assert {module.partition(".")[0] for module in imports(name)[1]} & WORLD == set()
    calls = [node.func for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    assert {call.id for call in calls if isinstance(call, ast.Name)} & DEEDS == set()
