"""The floors of the package: imports point down only, and the cores know nothing of the world.

Imports within functions count, and so do those for type checkers. A call of `import_module` counts as an import of
every module of the rooms in COMPUTED. The package itself loads its rooms by name when a program asks for them; its
`__version__` is a constant, and to import it loads no room.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import llmstream

PACKAGE = Path(llmstream.__file__).parent

FLOORS = {  # by the first part of a module's name
    "": 7, "cli": 7, "__main__": 7,
    "commands": 6, "serve": 6, "api": 6,
    "batch": 5,
    "request": 4, "config": 4,
    "net": 3,
    "providers": 2,
    "dialects": 1, "core": 1,
    "errors": 0, "signals": 0, "stdio": 0, "inputs": 0, "terminal": 0, "output_file": 0, "locked_file": 0,
    "click_commands": 7, "explanations": 7,
}  # fmt: skip
DOORS = ("commands", "serve", "api")
WORLDLESS = ("core", "dialects")
COMPUTED = {  # rooms whose modules import_module loads, by the module that calls it
    "": ("api", "core", "errors"),
    "commands": ("commands",),
    "dialects": ("dialects",),
    "dialects.detect": ("dialects",),
    "net.clients": (),  # packages of others
}
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


def room(name: str) -> str:
    return name.partition(".")[0]


def called(node: ast.AST) -> str:
    """The name of the function that a node calls, "" if it calls none."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def imports(name: str) -> tuple[set[str], set[str]]:
    """What a module imports: modules of the package, by their names below it, and all others."""
    own, other = set(), set()
    parts = [part for part in name.split(".") if part]
    package = parts if PATHS[name].stem == "__init__" else parts[:-1]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            other |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            other.add(node.module or "")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                module = ".".join([*base, alias.name])
                if module != "__version__":
                    own.add(module if module in PATHS else ".".join(base))
        elif called(node) in ("import_module", "__import__"):
            assert name in COMPUTED, f"{name} imports a module by name: say in COMPUTED which rooms it may be of"
            own |= {module for module in PATHS if room(module) in COMPUTED[name] and module != name}
    assert not any(room(module) == "llmstream" for module in other), "imports within are relative"
    return own - {name}, other


IMPORTS = {name: imports(name) for name in PATHS}


def loaded(name: str) -> set[str]:
    """A module and all modules of the package that it loads, directly or through others."""
    names, queue = {name}, [name]
    for module in queue:
        new = IMPORTS[module][0] - names
        names |= new
        queue += new
    return names


def floor(name: str) -> int:
    assert room(name) in FLOORS, f"{name} has no floor: which room does it belong to?"
    return FLOORS[room(name)]


@pytest.mark.parametrize("name", PATHS)
def test_imports_point_down(name):
    assert [module for module in loaded(name) if floor(module) > floor(name)] == []


@pytest.mark.parametrize("name", [name for name in PATHS if room(name) in DOORS])
def test_no_door_imports_another(name):
    assert {room(module) for module in loaded(name)} & set(DOORS) == {room(name)}


def test_no_imports_in_circles():
    by_name = {name: {module for module in IMPORTS[name][0] if name not in COMPUTED} for name in PATHS}
    tuple(TopologicalSorter(by_name).static_order())


@pytest.mark.parametrize("name", [name for name in PATHS if room(name) in WORLDLESS])
def test_cores_know_nothing_of_the_world(name):
    modules = loaded(name)
    assert {room(module) for module in modules} <= {*WORLDLESS, "errors"}
    assert {room(package) for module in modules for package in IMPORTS[module][1]} & WORLD == set()
    calls = {called(node) for node in ast.walk(TREES[name]) if isinstance(getattr(node, "func", None), ast.Name)}
    assert calls & DEEDS == set()


def test_every_room_of_the_table_exists():
    assert {room(name) for name in PATHS} == FLOORS.keys()
    assert COMPUTED.keys() <= PATHS.keys()
