"""Tries the lowest versions that pyproject.toml allows: python -m tests.lowest [--quick] [PYTEST ARGUMENT...]

Makes two environments in a temporary folder: one with the extras `local` and `test`, in which the suite runs (with
--quick without the slow tests), and one with what a user may have, where the tests judge by later versions than the
program needs: there run the tests that reach the clouds through the SDKs. pip cannot look for lowest versions, uv can
(`--resolution lowest-direct`: what our dependencies depend on is as new as it gets), and is installed for that.

Prints a table of the versions, and how many tests passed. Exits with 1 where a test fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
SDK_TESTS = ["tests/net/test_sdk.py", "tests/net/test_sdk_faults.py"]


def run(*command: str | Path) -> str:
    """Runs a command in the project's root; returns its output, which is printed if it fails."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def install(folder: Path, uv: Path, extras: list[str]) -> Path:
    """Makes an environment with the lowest versions of the dependencies; returns its interpreter."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin/python"
    lowest = ("--resolution", "lowest-direct", "-r", "pyproject.toml")
    run(uv, "pip", "install", "--python", python, *lowest, *(f"--extra={extra}" for extra in extras))
    run(uv, "pip", "install", "--python", python, "--no-deps", "--editable", ".")
    return python


def versions(python: Path) -> dict[str, str]:
    """Returns the versions in an environment, by package."""
    lines = run(python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check").split()
    return dict(line.lower().replace("_", "-").split("==") for line in lines)


def table(installed: dict[str, str]) -> str:
    """Returns our dependencies, their bounds in pyproject.toml (of the extras, too) and the versions installed."""
    bounds: dict[str, list[str]] = {}
    for requirement in (*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)):
        name, bound = re.fullmatch(r"([\w.-]+)(?:\[.*\])?(.*)", requirement).groups()
        bounds.setdefault(name, []).extend([bound] if bound else [])
    names = sorted(bounds.keys() & installed.keys() - {PROJECT["name"]})
    return "\n".join(f"{name:20} {installed[name]:16} {' and '.join(bounds[name])}" for name in names)


def test(python: Path, *arguments: str) -> bool:
    """Runs tests; prints the last lines of pytest, and says whether all passed."""
    # A warning of an old version is no failure.
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", "--override-ini", "filterwarnings=default", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    summary = [line for line in done.stdout.splitlines() if re.match(r"FAILED|ERROR|\d+ \w+|=+ .* =+$", line)]
    print(*summary, done.stderr, sep="\n", flush=True)
    return done.returncode == 0


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    arguments = [argument for argument in arguments if argument != "--quick"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "venv", folder / "uv")
        run(folder / "uv/bin/pip", "install", "--disable-pip-version-check", "uv")
        uv = folder / "uv/bin/uv"

        print("The lowest versions for the tests:", flush=True)
        python = install(folder / "tests", uv, ["local", "test"])
        print(table(versions(python)), flush=True)
        good = test(python, *(["-m", "not slow"] if quick else []), *arguments)

        print("The lowest versions of the SDKs for users:", flush=True)
        python = install(folder / "users", uv, [extra for extra in EXTRAS if extra not in ("local", "test")])
        tools = [each for each in EXTRAS["test"] if not re.match(r"openai|anthropic|llmstream", each)]
        run(uv, "pip", "install", "--python", python, *tools)
        print(table(versions(python)), flush=True)
        return 0 if test(python, *SDK_TESTS) and good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
