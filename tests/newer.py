"""Tries the newer Pythons of this machine: python -m tests.newer [PYTEST ARGUMENT...]

For each python3.12 and later on the PATH or in pyenv's folder: installs the project with the extras `local` and `test`
in a fresh environment, runs a filter from outside of the checkout, and the quick tests of what depends on the version
of Python: the cores, the doors' checks, files, start-up and processes. The browser, the model and the clouds are the
same under each, and the whole suite runs on the oldest. uv makes the environments: pip takes two minutes for each.

Prints the versions, and how many tests passed. Exits with 1 where something fails.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .lowest import ROOT, run, test

TESTS = [
    *(f"tests/{room}" for room in ("api", "config", "core", "dialects", "providers", "request")),
    *(f"tests/commands/test_{name}.py" for name in ("fields", "json_objects", "until")),
    *(f"tests/test_{name}.py" for name in ("errors", "floors", "startup", "stdio")),
]
SELECTED = "not slow and not browser and not model and not clouds"
FILTER = (["fields", "items[?@.p > 1].name"], '{"items":[{"p":1,"name":"a"},{"p":2,"name":"b"}]}')
MATCH = """{"path":"$['items'][1]['name']","value":"b"}\n"""


def minor(program: str) -> int:
    """Returns the x of Python 3.x, or 0 where a program does not run: pyenv's shims may not."""
    done = subprocess.run([program, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    match = re.fullmatch(r"3 (\d+)\n", done.stdout)
    return int(match[1]) if match else 0


def newer_pythons() -> dict[int, str]:
    """Returns a program for each Python after 3.11, by the x of 3.x."""
    pyenv = os.environ.get("PYENV_ROOT") or Path("~/.pyenv").expanduser()
    found = [program for x in range(12, 30) if (program := shutil.which(f"python3.{x}"))]
    found += sorted(glob.glob(f"{pyenv}/versions/3.*/bin/python"))
    programs = {minor(program): program for program in found}
    return {x: program for x, program in sorted(programs.items()) if x > 11}


def try_python(program: str, uv: Path, folder: Path, arguments: list[str]) -> bool:
    """Installs the project for one Python and tests it; returns whether all is well."""
    start = time.monotonic()
    run(uv, "venv", "--quiet", "--python", program, folder)
    python = folder / "bin/python"
    run(uv, "pip", "install", "--quiet", "--python", python, f"{ROOT}[local,test]")
    command, text = FILTER
    done = subprocess.run([folder / "bin/llmstream", *command], cwd=folder, input=text, capture_output=True, text=True)
    print(f"installed in {time.monotonic() - start:.0f} s", done.stderr, sep="\n", end="", flush=True)
    good = test(python, "-W", "error", *(arguments or ["-m", SELECTED, *TESTS]))
    print(f"{time.monotonic() - start:.0f} s", flush=True)
    return good and done.stdout == MATCH


def main(arguments: list[str]) -> int:
    good = True
    with tempfile.TemporaryDirectory() as name:
        run(sys.executable, "-m", "venv", f"{name}/uv")
        run(f"{name}/uv/bin/pip", "install", "--disable-pip-version-check", "uv")
        for x, program in newer_pythons().items():
            print(f"Python 3.{x}: {program}", flush=True)
            good &= try_python(program, Path(name) / "uv/bin/uv", Path(name) / str(x), arguments)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
