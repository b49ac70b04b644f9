"""Runs commands and says what they cost; prints tables.

Noise is met by taking the commands in turn, so that it hits all alike, by medians, and by ratios within one run;
figures of two runs are not comparable.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes
HIDES_COSTS = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")


class Cost(NamedTuple):
    """What one process cost: seconds from its start, seconds of user and system time, bytes.

    Linux counts into a process's peak what its parent held when it began: less than 20 MB or so cannot be seen.
    """

    first: float  # until the first byte from its stdout, or its end where it wrote nothing
    wall: float
    cpu: float
    peak: int
    written: int  # bytes of stdout


def least_seconds(make: Callable[[], Callable[[str], object]], chunks: Sequence[str], runs: int) -> float:
    """Returns the CPU seconds in which what `make` returns takes the chunks, the least of several runs."""
    best = 9e9
    for _ in range(runs):
        feed = make()
        started = time.process_time()
        for chunk in chunks:
            feed(chunk)
        best = min(best, time.process_time() - started)
    return best


def environment(**more: str) -> dict[str, str]:
    """The environment of a user without proxies and keys, plus `more`."""
    env = {k: v for k, v in os.environ.items() if k not in HIDES_COSTS and not k.endswith(("_API_KEY", "_BASE_URL"))}
    return {k: v for k, v in env.items() if not k.lower().endswith("_proxy")} | {"LC_ALL": "C.UTF-8"} | more


def pin(core: int) -> str:
    """Keeps this process, and what it starts from now on, to one core, where there are two; says so."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        return "share the cores"
    os.sched_setaffinity(0, {core})
    return "are on cores of their own"


def run(argv: Sequence[str], env: Mapping[str, str], stdin: str = os.devnull) -> Cost:
    """Runs a command, its stdin a file, its stdout a pipe that is read at once. Stops the program where it fails."""
    return run_with_stderr(argv, env, stdin)[0]


def run_with_stderr(argv: Sequence[str], env: Mapping[str, str], stdin: str = os.devnull) -> tuple[Cost, str]:
    """The same, and what it wrote to stderr."""
    path = shutil.which(argv[0])
    if path is None:
        sys.exit(f"{argv[0]}: not found")
    ours, theirs = os.pipe()
    with tempfile.TemporaryFile() as stderr:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, theirs, 1),
            (os.POSIX_SPAWN_DUP2, stderr.fileno(), 2),
        ]
        started = time.perf_counter()
        pid = os.posix_spawn(path, argv, env, file_actions=actions)
        os.close(theirs)
        written = len(os.read(ours, 65536))
        first = time.perf_counter() - started
        while chunk := os.read(ours, 65536):
            written += len(chunk)
        os.close(ours)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - started
        stderr.seek(0)
        message = stderr.read().decode(errors="replace")
        if status:
            sys.exit(f"{' '.join(argv)}: status {os.waitstatus_to_exitcode(status)}\n{message}")
    return Cost(first, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT, written), message


def in_turn(measures: Mapping[str, Callable[[], Cost]], runs: int) -> dict[str, list[Cost]]:
    """The costs of each of the measures, taken in turn `runs` times, after one turn that warms the caches."""
    costs: dict[str, list[Cost]] = {name: [] for name in measures}
    for turn in range(runs + 1):
        for name, measure in measures.items():
            progress(f"{turn}/{runs} {name}")
            cost = measure()
            if turn:
                costs[name].append(cost)
    progress("")
    return costs


def progress(text: str) -> None:
    """What is being measured now, where somebody watches."""
    if os.isatty(2):
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def section(title: str, rows: Mapping[str, Sequence[float]], base: str, digits: int = 1) -> dict[str, float]:
    """Prints one part of the table: median, minimum, and the median's ratio to that of `base`. Returns the medians."""
    medians = {name: statistics.median(values) for name, values in rows.items()}
    print(f"\n{title:44} {'median':>9} {'min':>9} {'ratio':>8}")
    for name, values in rows.items():
        ratio = f"{medians[name] / medians[base]:8.2f}" if base in medians else f"{'-':>8}"
        print(f"  {name:42} {medians[name]:9.{digits}f} {min(values):9.{digits}f} {ratio}")
    return medians


def goal(text: str, value: float, limit: float) -> bool:
    """Prints whether value is at most the limit."""
    met = value <= limit
    print(f"  {'met    ' if met else 'NOT MET'}  {text}: {value:.3g}, at most {limit:.3g}")
    return met


def machine() -> str:
    """Where the figures are from."""
    load = os.getloadavg()[0]
    kind = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, load {load:.1f}"
    return f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {kind}"
