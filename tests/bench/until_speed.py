"""What `until` and `code` cost: bulk text from a pipe, small chunks, memory.

    python -m tests.bench.until_speed [MEGABYTES [RUNS]]

Goals: a chunk of 4 characters takes at most 3 us; memory does not grow with the length of a line.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from llmstream.core.markdown.code import Code
from llmstream.core.stop.conditions import CONDITIONS, Settings
from llmstream.core.stop.until import Until

from ..conftest import LLMSTREAM
from .measure import RSS_UNIT, Cost, environment, goal, in_turn, machine, progress, section

LINE = b"The quick brown fox jumped over the lazy dog, and 12 others saw it; nothing else happened.\n"
INDENTED = b"def f(x):\n    if x:\n        return [1, 2, 3]\n"
LL = " ".join(map(shlex.quote, LLMSTREAM))


def piped(command: str, path: str) -> Callable[[], Cost]:
    """The command with the file in a pipe as its stdin, its output dropped; status 1 is well."""

    def measure() -> Cost:
        with open("/dev/null", "wb") as null, open(path, "rb") as file:
            started = time.perf_counter()
            cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
            pid = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], stdin=cat.stdout, stdout=null, stderr=null, env=environment()
            )
            assert cat.stdout
            cat.stdout.close()
            _, status, usage = os.wait4(pid.pid, 0)
            pid.returncode = os.waitstatus_to_exitcode(status)
            cat.wait()
            wall = time.perf_counter() - started
        if pid.returncode not in (0, 1, 5):
            sys.exit(f"{command}: status {pid.returncode}")
        return Cost(wall, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT, 0)

    return measure


def bulk(path: str, markdown: str, runs: int) -> None:
    commands = {
        "cat": "cat",
        "grep -m1 ENDMARK": "grep -m1 ENDMARK",
        "sed /ENDMARK/q": "sed /ENDMARK/q",
        "until -F ENDMARK": f"{LL} until -F ENDMARK",
        "until -e ENDMARK": f"{LL} until -e ENDMARK",
        "until -e 'END|STOP'": f"{LL} until -e 'END|STOP'",
        "until -e '[0-9]{3,}'": f"{LL} until -e '[0-9]{{3,}}'",
        "until --words 1e9": f"{LL} until --words 1000000000",
        "until --code-block": f"{LL} until --code-block",
        "code (prose)": f"{LL} code",
    }
    measures = {name: piped(command, path) for name, command in commands.items()}
    measures["code (one block)"] = piped(f"{LL} code", markdown)
    costs = in_turn(measures, runs)
    size = os.path.getsize(path) / 1e6
    section(f"MB/s, {size:.0f} MB from a pipe", {k: [size / c.wall for c in v] for k, v in costs.items()}, "cat", 0)


def small(runs: int) -> None:
    """Microseconds a chunk of 4 characters, in process."""
    text = LINE * 2000
    code = b"```py\n" + INDENTED * 4000
    rows: dict[str, list[float]] = {}

    def take(name: str, feed: Callable[[bytes], bytes], data: bytes) -> None:
        chunks = [data[i : i + 4] for i in range(0, len(data), 4)]
        started = time.perf_counter()
        for chunk in chunks:
            feed(chunk)
        rows.setdefault(name, []).append((time.perf_counter() - started) / len(chunks) * 1e6)

    options = {option.name: option for option in CONDITIONS}
    cases = [("fixed", "ENDMARK"), ("regex", "ENDMARK"), ("regex", "[0-9]{3,}"), ("regex", "END|STOP"),
             ("regex", r"\bEND\b"), ("regex", "fox.*catx"), ("lines", 10**9), ("words", 10**9), ("code-block", True),
             ("json", True)]  # fmt: skip
    for _ in range(runs):
        for name, value in cases:
            copy = Until([options[name].make(value, Settings())])
            take(f"until --{name} {'' if value is True else value}", copy.feed, text)
        take("code (prose)", Code(every=True).feed, text)
        take("code (one block)", Code(every=True).feed, code)
    section("us a chunk of 4 characters", rows, "", 2)
    for name, values in rows.items():
        goal(name, statistics.median(values), 3.0)


def memory(megabytes: int) -> None:
    """Peak memory over one line without an end."""
    print(f"\n{'peak memory, MB, over a line of':34}{megabytes:>10}{megabytes * 10:>10} MB")
    for arguments in ("-F ENDMARK", "-e ENDMARK", "--lines 2", "--code-block"):
        peaks = []
        for size in (megabytes, megabytes * 10):
            progress(f"memory {arguments} {size}")
            line = LINE.strip().decode()
            writer = f"yes {shlex.quote(line)} | tr '\\n' ' ' | head -c {size * 1_000_000}"
            script = (
                "import resource,subprocess,sys;"
                f"subprocess.run(['bash','-c',{writer + f' | {LL} until {arguments} > /dev/null 2>&1'!r}]);"
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            )
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment(), check=True)
            peaks.append(int(done.stdout) * RSS_UNIT / 1e6)
        progress("")
        print(f"  until {arguments:26}{peaks[0]:>10.1f}{peaks[1]:>10.1f}")


def main(megabytes: int = 100, runs: int = 5) -> None:
    print(machine())
    small(runs)
    with tempfile.TemporaryDirectory() as folder:
        path, markdown = os.path.join(folder, "prose"), os.path.join(folder, "markdown")
        with open(path, "wb") as file:
            file.write(LINE * (megabytes * 1_000_000 // len(LINE)))
        with open(markdown, "wb") as file:
            file.write(b"```py\n" + INDENTED * (megabytes * 1_000_000 // len(INDENTED)))
        bulk(path, markdown, runs)
    memory(megabytes)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
