"""Many short prompts through `map`: whether memory stays flat, and the cost of a prompt among few and many.

    python -m tests.bench.map_prompts [PROMPTS] [--runs N]

1,000, 10,000 and PROMPTS (100,000) prompts with answers of 5 chunks, 64 at once, without and with --journal, in turn,
N (1) times. Memory is the process's resident size, read every 50 ms: the median of the first tenth of the run, without
its first second, against that of the last tenth. Costs are of the whole process, less those of a run with one prompt.
On two cores, the provider has one and `map` the other.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from . import crowd, measure
from .gen import llmstream

ROOT = Path(__file__).parent.parent.parent
JOBS = 64
MODEL = "5"
COUNTS = (1_000, 10_000)
SAMPLE_S = 0.05
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Outcome(NamedTuple):
    wall: float  # seconds
    cpu: float
    first_tenth: float  # bytes, the median of the time
    last_tenth: float
    peak: float


def run(url: str, folder: Path, count: int, journal: bool) -> Outcome:
    prompts = folder / "prompts"
    with prompts.open("w") as file:
        file.writelines(f"Tell me of a river, number {n}\n" for n in range(count))
    journal_path = folder / "journal"
    journal_path.unlink(missing_ok=True)
    env = measure.environment(PYTHONPATH=str(ROOT), OPENAI_BASE_URL=f"{url}/v1", OPENAI_API_KEY="sk-bench")
    argv = [*llmstream(), "map", "-q", "-m", f"openai/{MODEL}", "-j", str(JOBS)]
    argv += ["--journal", str(journal_path)] if journal else []
    output, samples = folder / "answers", list[int]()
    started = time.perf_counter()
    with prompts.open() as stdin, output.open("wb") as stdout:
        process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, env=env)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            samples.append(_resident(process.pid))
            time.sleep(SAMPLE_S)
    wall, (_, status, usage) = time.perf_counter() - started, ended
    process.returncode = os.waitstatus_to_exitcode(status)
    with output.open("rb") as answers:
        if status or sum(1 for _ in answers) != count:
            sys.exit(f"{' '.join(argv)}: status {process.returncode}")
    samples = samples[round(1 / SAMPLE_S) :] or samples
    tenth = max(1, len(samples) // 10)
    first, last = statistics.median(samples[:tenth]), statistics.median(samples[-tenth:])
    return Outcome(wall, usage.ru_utime + usage.ru_stime, first, last, usage.ru_maxrss * measure.RSS_UNIT)


def _resident(pid: int) -> int:
    """Returns the bytes of memory of a process; 0 where it has just ended, or there is no /proc."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.map_prompts", description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=int, nargs="?", default=100_000, metavar="PROMPTS")
    parser.add_argument("--runs", type=int, default=1, metavar="N")
    args = parser.parse_args()
    counts = (*(count for count in COUNTS if count < args.prompts), args.prompts)
    results: dict[tuple[bool, int], list[Outcome]] = {}
    print(f"map_prompts: {measure.machine()}; provider and map {measure.pin(0)}")
    with tempfile.TemporaryDirectory() as folder, crowd.running() as url:
        measure.pin(1)
        for _ in range(args.runs):
            for count in (1, *counts):
                for journal in (False, True):
                    measure.progress(f"{count} {'with a journal' if journal else ''}")
                    results.setdefault((journal, count), []).append(run(url, Path(folder), count, journal))
    measure.progress("")
    print("\n                    prompts   wall s    us a prompt  CPU us a prompt   MB first    last     peak")
    costs: dict[tuple[bool, int], tuple[float, float]] = {}
    for (journal, count), outcomes in results.items():
        wall, cpu, first, last, peak = (statistics.median(values) for values in zip(*outcomes, strict=True))
        one = results[journal, 1]
        base, base_cpu = (statistics.median(getattr(run, name) for run in one) for name in ("wall", "cpu"))
        if count > 1:
            costs[journal, count] = (wall - base) * 1e6 / count, (cpu - base_cpu) * 1e6 / count
        times = "{:14.0f} {:16.0f}".format(*costs.get((journal, count), (0, 0)))
        name = "with --journal" if journal else "without"
        print(f"{name:18} {count:8} {wall:8.1f} {times} {first / 1e6:10.1f} {last / 1e6:7.1f} {peak / 1e6:8.1f}")
    goals(costs, results, counts)


def goals(
    costs: dict[tuple[bool, int], tuple[float, float]],
    results: dict[tuple[bool, int], list[Outcome]],
    counts: tuple[int, ...],
) -> None:
    """Prints the goals of `map`, and what this run has reached."""
    print(f"\ngoals (load at the end {os.getloadavg()[0]:.1f})")
    for journal in (False, True):
        where = "with --journal" if journal else "without"
        least, *more = (costs[journal, count] for count in counts)
        for count, (wall, cpu) in zip(counts[1:], more, strict=True):
            measure.goal(f"{where}: CPU a prompt of {count:,}, ratio to {counts[0]:,}", cpu / least[1], 1.2)
            measure.goal(f"{where}: wall a prompt of {count:,}, ratio to {counts[0]:,}", wall / least[0], 1.2)
        last = results[journal, counts[-1]]
        growth = statistics.median(run.last_tenth / max(run.first_tenth, 1) for run in last)
        measure.goal(f"{where}: memory of the last tenth of {counts[-1]:,}, ratio to the first", growth, 1.1)


if __name__ == "__main__":
    main()
